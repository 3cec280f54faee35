"""C-index and negative log-likelihood of all models at every step, with intervals and paired differences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from tqdm import tqdm

from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparators import Comparator
from survlstm.evaluation.results import Difference, Estimate, StepRow
from survlstm.survival.concordance import concordance_td, weighted_pairs


def evaluate_steps(
    comparators: list[Comparator],
    *,
    step: Int64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    bootstrap: Bootstrap,
    group: Int64[np.ndarray, " subject"] | None = None,
    exposure: Float[np.ndarray, " subject"] | None = None,
) -> tuple[tuple[StepRow, ...], list[str]]:
    """Evaluate models on the same subjects and the same resamples.

    Of a subject with several rows, the rows are not compared with each other, and are resampled together.

    Args:
        comparators: Hazards of each model; differences are taken from the first one.
        step: Last step at risk.
        event: Whether the event happens in that step.
        bootstrap: Settings of the intervals.
        group: Subject of each row, if a subject has several; None = every row is a subject.
        exposure: As in ``nll_by_subject``.

    Returns:
        One row for each model, in their order, and notes on what is missing.
    """
    rows_of = _Rows(step, event, group)
    losses = [nll_by_subject(comparator.hazard, step, event, exposure) for comparator in comparators]
    notes = []
    subject = np.arange(len(step)) if group is None else group
    events, subjects = len(np.unique(subject[event])), len(np.unique(subject))
    resampled = None
    if events < bootstrap.min_events:
        notes.append(f"no interval: {events} events among {subjects} subjects, {bootstrap.min_events} are needed")
    else:
        resampled = _resample(comparators, losses, rows_of, bootstrap)
        undefined = int(np.isnan(resampled).any(axis=(1, 2)).sum())
        if undefined:
            notes.append(f"no interval: the C-index is undefined in {undefined} of {bootstrap.resamples} resamples")
    values = np.array(
        [
            [
                concordance_td(comparator.survival, step=step, event=event, group=group).c_td,
                loss.mean(),
            ]
            for comparator, loss in zip(comparators, losses, strict=True)
        ]
    )
    rows = []
    for number, comparator in enumerate(comparators):
        c_td, nll = (_estimate(values[number, metric], resampled, (number, metric), bootstrap) for metric in (0, 1))
        differences = (_difference(values, resampled, number, metric, bootstrap) for metric in (0, 1))
        rows.append(StepRow(comparator.name, comparator.role, c_td, nll, *differences))
    return tuple(rows), notes


def count_comparable_pairs(
    step: Int64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    group: Int64[np.ndarray, " subject"] | None = None,
) -> int:
    """Count the pairs that the C-index compares; the number depends on the labels only.

    Args:
        step: Last step at risk.
        event: Whether the event happens in that step.
        group: Subject of each row, if a subject has several; None = every row is a subject.

    Returns:
        The number of pairs, of rows of different subjects.
    """
    constant = np.zeros((len(step), int(step.max()) + 1))
    return int(concordance_td(constant, step=step, event=event, group=group).comparable)


def nll_by_subject(
    hazard: Float[np.ndarray, "subject step"],
    step: Int64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    exposure: Float[np.ndarray, " subject"] | None = None,
) -> Float[np.ndarray, " subject"]:
    """Compute the negative log-likelihood of each subject (docs/conventions.md, Loss).

    Args:
        hazard: Hazard at each step; values after the last step at risk and the one with an exposure are not read.
        step: Last step at risk; -1 if the subject is censored within step 0.
        event: Whether the event happens in that step.
        exposure: Share of the step after ``step`` that a censored subject was observed in, from 0 to below 1, and 0 for
            events; None = 0. The rate of the event is taken as constant within a step, so that a share f of it is
            survived with probability (1 - h)^f.

    Returns:
        The negative log-likelihood in nats; infinite where an event had hazard 0.
    """
    number = np.arange(hazard.shape[1])
    is_event = (number == step[:, None]) & event[:, None]
    at_risk = number <= step[:, None]
    known = np.where(at_risk, hazard, 0.5)
    with np.errstate(divide="ignore"):
        terms = np.where(is_event, np.log(known), np.log1p(-known))
    loss = -np.where(at_risk, terms, 0.0).sum(axis=1)
    if exposure is not None:
        partly = np.flatnonzero(exposure)
        with np.errstate(divide="ignore"):
            loss[partly] -= exposure[partly] * np.log1p(-hazard[partly, step[partly] + 1])
    return loss


class _Rows(NamedTuple):
    step: np.ndarray
    event: np.ndarray
    group: np.ndarray | None


def _resample(
    comparators: list[Comparator], nll: list[np.ndarray], rows: _Rows, bootstrap: Bootstrap
) -> Float[np.ndarray, "resample model metric"]:
    curves = [comparator.survival for comparator in comparators]
    blocks = []
    progress = tqdm(total=bootstrap.resamples, desc="Resampling all steps", disable=None, leave=False)
    for weight in bootstrap.weights(len(rows.step) if rows.group is None else rows.group):
        c_td = [
            weighted_pairs(curve, step=rows.step, event=rows.event, weight=weight, group=rows.group).c_td
            for curve in curves
        ]
        blocks.append(np.stack([c_td, [_mean(loss, weight) for loss in nll]], axis=-1).swapaxes(0, 1))
        progress.update(len(weight))
    progress.close()
    return np.concatenate(blocks)


def _mean(loss: Float[np.ndarray, " subject"], weight: Float[np.ndarray, "resample subject"]) -> np.ndarray:
    """Return the weighted mean; infinite if a subject with an infinite loss has a weight."""
    finite = np.isfinite(loss)
    mean = weight @ np.where(finite, loss, 0.0) / weight.sum(axis=1)
    return np.where(weight[:, ~finite].any(axis=1), np.inf, mean)


def _estimate(value: float, resampled: np.ndarray | None, at: tuple[int, int], bootstrap: Bootstrap) -> Estimate:
    interval = None if resampled is None else bootstrap.interval(resampled[:, at[0], at[1]])
    return Estimate(float(value), interval)


def _difference(
    values: np.ndarray, resampled: np.ndarray | None, number: int, metric: int, bootstrap: Bootstrap
) -> Difference | None:
    if resampled is None or number == 0:
        return None
    return bootstrap.difference(
        values[0, metric] - values[number, metric], resampled[:, 0, metric], resampled[:, number, metric]
    )
