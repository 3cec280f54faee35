"""Predictions on the test subjects → figures with intervals, beside the oracle and a model without covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from survlstm.judgement.bands import read_c_index
from survlstm.judgement.bootstrap import Interval, bootstrap_interval
from survlstm.survival.concordance import concordance_td
from survlstm.survival.covariate_free import covariate_free_hazard

CONVENTION = (
    "c_td: Antolini's time-dependent concordance on the visit clock, 0.5 = random; equal S counts 1/2, two events in "
    "one step are not compared. nll: negative log-likelihood in nats per subject, lower = better. Intervals: "
    "percentile bootstrap over subjects"
)


@dataclass(frozen=True)
class Contender:
    """Hazards of one model on the test subjects; entries behind a subject's last at-risk step don't matter."""

    name: str
    hazard: Float[np.ndarray, "subject step"]


@dataclass(frozen=True)
class Figures:
    """One row of the verdict's table; ``interval`` is None where there are too few events for one."""

    name: str
    c_td: float
    interval: Interval | None
    nll: float


@dataclass(frozen=True)
class Verdict:
    """What is said about a run: the model first, then what it is held against."""

    subjects: int
    events: int
    comparable_pairs: int
    figures: tuple[Figures, ...]
    sentence: str
    notes: tuple[str, ...]
    convention: str = CONVENTION


def judge(
    contenders: list[Contender],
    *,
    step: Int64[np.ndarray, " subject"],
    event: Bool[np.ndarray, " subject"],
    resamples: int,
    confidence: float,
    min_events: int,
    seed: int,
) -> Verdict:
    """Figures of every contender on the same subjects and the same resamples; the first one is the model."""
    events = int(event.sum())
    figures, notes = [], []
    if events < min_events:
        notes.append(f"no interval: {events} events among {len(step)} test subjects, {min_events} are needed")
    for contender in contenders:
        survival = np.cumprod(1 - contender.hazard, axis=1)
        found = concordance_td(survival, step=step, event=event)

        def of_resample(rows: np.ndarray, survival: np.ndarray = survival) -> float:
            return concordance_td(survival[rows], step=step[rows], event=event[rows]).c_td

        interval = None
        if events >= min_events:
            try:
                interval = bootstrap_interval(
                    of_resample, subjects=len(step), resamples=resamples, confidence=confidence, seed=seed
                )
            except ValueError as error:
                notes.append(f"no interval for {contender.name}: {error}")
        figures.append(Figures(contender.name, found.c_td, interval, mean_nll(contender.hazard, step, event)))
    return Verdict(
        subjects=len(step),
        events=events,
        comparable_pairs=found.comparable,
        figures=tuple(figures),
        sentence=_sentence(figures, events, confidence),
        notes=tuple(notes),
    )


def mean_nll(
    hazard: Float[np.ndarray, "subject step"], step: Int64[np.ndarray, " subject"], event: Bool[np.ndarray, " subject"]
) -> float:
    """Mean over subjects of -log likelihood in nats; infinite where an event had hazard 0."""
    number = np.arange(hazard.shape[1])
    here = (number == step[:, None]) & event[:, None]
    with np.errstate(divide="ignore"):
        terms = np.where(here, np.log(hazard), np.log1p(-hazard))
    return float(-np.where(number <= step[:, None], terms, 0.0).sum(axis=1).mean())


def covariate_free(
    train_step: Int64[np.ndarray, " train"], train_event: Bool[np.ndarray, " train"], *, subjects: int, steps: int
) -> Contender:
    """The life-table hazard of the training subjects, the same for everyone: its c_td is 0.5 by ties."""
    longest = max(steps, int(train_step.max()) + 1)
    hazard = covariate_free_hazard(train_step, train_event, steps=longest)[:steps]
    return Contender("covariate-free hazard", np.broadcast_to(hazard, (subjects, steps)))


def _sentence(figures: list[Figures], events: int, confidence: float) -> str:
    model, baseline = figures[0], figures[-1]
    if model.interval is None:
        return (
            f"Test C-index (c_td) {model.c_td:.3f} of {events} events, nll {model.nll:.3f} against {baseline.nll:.3f} "
            f"of the {baseline.name}: without an interval neither says anything."
        )
    low, high = model.interval
    said = f"Test C-index (c_td) {model.c_td:.3f} ({confidence:.0%} interval {low:.3f} to {high:.3f}): "
    said += f"{read_c_index(model.c_td)}."
    if low <= 0.5 <= high:
        said += " The interval holds 0.5: no evidence that it ranks better than chance."
    if not model.nll < baseline.nll:
        said += f" It does not beat the {baseline.name} (nll {model.nll:.3f} against {baseline.nll:.3f})."
    return said
