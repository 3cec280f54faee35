"""Hazards of all contenders at every step → the main table: c_td and nll, with intervals and paired differences."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64
from tqdm import tqdm

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.results import Difference, Estimate, StepRow
from survlstm.survival.concordance import Concordance, concordance_td, weighted_pairs


def evaluate_steps(
    contenders: list[Comparator],
    *,
    step: Int64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    bootstrap: Bootstrap,
) -> tuple[tuple[StepRow, ...], list[str]]:
    """A row per contender, all on the same resamples, and notes on what is missing; the first one is the model."""
    found = [_figures(contender, step, event) for contender in contenders]
    notes = []
    events = int(event.sum())
    resampled = None
    if events < bootstrap.min_events:
        notes.append(f"no interval: {events} events among {len(step)} subjects, {bootstrap.min_events} are needed")
    else:
        resampled = _resample(contenders, [nll for _, nll in found], step, event, bootstrap)
        undefined = int(np.isnan(resampled).any(axis=(1, 2)).sum())
        if undefined:
            notes.append(f"no interval: c_td is undefined in {undefined} of {bootstrap.resamples} resamples")
    values = np.array([[concordance.c_td, nll.mean()] for concordance, nll in found])
    rows = []
    for place, contender in enumerate(contenders):
        c_td, nll = (_estimate(values[place, figure], resampled, (place, figure), bootstrap) for figure in (0, 1))
        in_c_td, in_nll = (_difference(values, resampled, place, figure, bootstrap) for figure in (0, 1))
        rows.append(StepRow(contender.name, contender.role, c_td, nll, in_c_td, in_nll))
    return tuple(rows), notes


def count_comparable_pairs(step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"]) -> int:
    """How many pairs ``c_td`` is made of: a property of the labels alone."""
    nothing = np.zeros((len(step), int(step.max()) + 1))
    return concordance_td(nothing, step=step, event=event).comparable


def nll_by_subject(
    hazard: Float[np.ndarray, "subject step"], step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"]
) -> Float[np.ndarray, " subject"]:
    """-log likelihood of each subject in nats; infinite where an event had hazard 0."""
    number = np.arange(hazard.shape[1])
    here = (number == step[:, None]) & event[:, None]
    at_risk = number <= step[:, None]
    known = np.where(at_risk, hazard, 0.5)
    with np.errstate(divide="ignore"):
        terms = np.where(here, np.log(known), np.log1p(-known))
    return -np.where(at_risk, terms, 0.0).sum(axis=1)


def _figures(contender: Comparator, step: np.ndarray, event: np.ndarray) -> tuple[Concordance, np.ndarray]:
    return concordance_td(contender.survival, step=step, event=event), nll_by_subject(contender.hazard, step, event)


def _resample(
    contenders: list[Comparator], nll: list[np.ndarray], step: np.ndarray, event: np.ndarray, bootstrap: Bootstrap
) -> Float[np.ndarray, "resample model figure"]:
    curves = [contender.survival for contender in contenders]
    blocks = []
    progress = tqdm(total=bootstrap.resamples, desc="Resampling all steps", disable=None, leave=False)
    for weight in bootstrap.weights(len(step)):
        c_td = [weighted_pairs(curve, step=step, event=event, weight=weight).c_td for curve in curves]
        blocks.append(np.stack([c_td, [_mean(loss, weight) for loss in nll]], axis=-1).swapaxes(0, 1))
        progress.update(len(weight))
    progress.close()
    return np.concatenate(blocks)


def _mean(loss: Float[np.ndarray, " subject"], weight: Float[np.ndarray, "resample subject"]) -> np.ndarray:
    """The weighted mean; infinite where a subject with an infinite loss has a weight."""
    finite = np.isfinite(loss)
    mean = weight @ np.where(finite, loss, 0.0) / len(loss)
    return np.where(weight[:, ~finite].any(axis=1), np.inf, mean)


def _estimate(value: float, resampled: np.ndarray | None, at: tuple[int, int], bootstrap: Bootstrap) -> Estimate:
    interval = None if resampled is None else bootstrap.interval(resampled[:, at[0], at[1]])
    return Estimate(float(value), interval)


def _difference(
    values: np.ndarray, resampled: np.ndarray | None, place: int, figure: int, bootstrap: Bootstrap
) -> Difference | None:
    if resampled is None or place == 0:
        return None
    return bootstrap.difference(
        values[0, figure] - values[place, figure], resampled[:, 0, figure], resampled[:, place, figure]
    )
