"""Sentences that summarise the tables of an evaluation, and definitions of the metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from survlstm.evaluation.c_index_interpretation import interpret_c_index
from survlstm.evaluation.results import Estimate, LandmarkResult, StepRow, best_by_c_index, best_by_nll

SEEN = {
    "train": "The model was fitted to these subjects: the metrics say nothing about new subjects.",
    "val": "The best epoch was chosen on these subjects: the metrics are too optimistic for new subjects.",
}
_CONVENTIONS = {
    "c_td": "C-index: Antolini's time-dependent concordance. The subject with the event at step t is compared by S(t) "
    "with every subject known to survive step t; 0.5 = random, 1 = perfect ranking; equal S(t) counts 1/2, two events "
    "in the same step are not compared",
    "nll": "negative log-likelihood in nats per subject over the steps at risk; lower = better",
    "landmark": "the subjects still at risk at the landmark, predicted from what was known at the landmark; time "
    "counts from the landmark",
    "c_harrell": "Harrell's C of the risk by the horizon, over the pairs of each event until then; equal risks count "
    "1/2",
    "c_uno": "Uno's C: the same pairs, each weighted by 1/G² at the time of its event",
    "auc": "cumulative/dynamic AUC: subjects with the event by the horizon against subjects event-free after it, "
    "weighted by 1/G",
    "brier": "Brier score at the horizon (Gerds & Schumacher, weights 1/G); 0 = perfect, 0.25 = a constant prediction "
    "of 1/2; ibs is its integral over every step up to the last horizon by the trapezoid rule",
    "nbll": "negative binomial log-likelihood at the horizon in nats, with the same weights; inbll is its integral",
    "d_calibration": "p-value of the test that S at the end of follow-up is uniform (10 bins; censored subjects and "
    "the jump of S in the step of an event are spread; follow-up is cut at the horizon); a small p speaks against "
    "calibration",
    "calibration": "predicted risk and Kaplan-Meier risk of groups of equal size; slope < 1: predictions are too "
    "extreme; in_the_large > 0: risks are predicted too low",
    "censoring": "G is the Kaplan-Meier curve of the censoring of the training subjects (for another cohort, of its "
    "own subjects), with events before censorings at ties; horizons after the follow-up or with G = 0 are left out",
    "oracle": "the hazards that drew the outcome: at every step no model has a better ranking or likelihood except by "
    "chance; from a landmark they are extrapolated like those of the model, and a model fitted at the landmark can be "
    "better",
    "steps": "a subject censored in its k-th step after the landmark is known to be event-free at horizon k and is "
    "censored before the next horizon",
    "interval": "percentile bootstrap over subjects, with G estimated again in each resample; a difference is the "
    "model minus the comparator on the same resamples, with a two-sided p-value",
}


_ON_DAYS = {
    "c_td": f"{_CONVENTIONS['c_td']}; a subject counts once for each of its prediction times, which are not compared "
    "with each other",
    "nll": "negative log-likelihood in nats per prediction time over the intervals at risk, with the observed share of "
    "the interval in which follow-up ends; lower = better",
    "landmark": "a set of prediction times at which the subjects are at risk, each predicted from what was known then; "
    "time counts from the prediction time, and every prediction time counts the same",
    "steps": "intervals of days after the prediction time; a censored subject is known to be event-free until the day "
    "on which its follow-up ends",
    "interval": "percentile bootstrap over subjects, each with all its prediction times, with G estimated again in "
    "each resample; a difference is the model minus the comparator on the same resamples, with a two-sided p-value",
}


_EXTRAPOLATION = (
    "a model on the visit clock predicts one step ahead; the later hazards of a landmark are extrapolated by logit "
    "h_k = l + log(1 + k)(a + b(l - mean l)), where l is the logit of the hazard at the landmark and a and b are "
    "fitted on the subjects of the {} split; hazards without covariates are used as they are"
)


_GROUPS = (
    "the model in groups of the evaluated subjects by sex, race and ethnicity as recorded and by age at time zero; the "
    "C-index compares subjects of one group only; the predicted risk is the mean by the horizon, the observed one that "
    "of the group's Kaplan-Meier curve; groups of fewer than 10 subjects are pooled and only counted"
)


class _AtLandmarks(NamedTuple):
    """Names of landmarks by what they show of the model, with the names of the baselines that it does not beat."""

    beaten: list[str]
    not_shown: list[str]
    undecided: list[str]


def conventions(*, clock: str, reference: str, groups: bool = False) -> dict[str, str]:
    """Return the definition of every metric.

    Args:
        clock: "visit", "landmark" or "days".
        reference: Name of the split to which the extrapolation of hazards is fitted.
        groups: Whether the model is evaluated in groups of subjects.

    Returns:
        Definitions by the name of the metric in files.
    """
    return (
        _CONVENTIONS
        | (_ON_DAYS if clock == "days" else {})
        | ({"carried hazard": _EXTRAPOLATION.format(reference)} if clock == "visit" else {})
        | ({"groups": _GROUPS} if groups else {})
    )


def summarize_evaluation(
    rows: Sequence[StepRow],
    landmarks: Sequence[LandmarkResult],
    *,
    split: str,
    events: int,
    min_events: int,
    confidence: float,
) -> tuple[str, ...]:
    """Summarise an evaluation in sentences.

    Args:
        rows: Results at every step, the model first.
        landmarks: Results from each landmark.
        split: Name of the evaluated split.
        events: Number of events.
        min_events: Number of events below which no interval is given.
        confidence: Confidence level of the intervals.

    Returns:
        The sentences: the conclusion first, then the numbers behind it.
    """
    model = rows[0]
    if math.isnan(model.c_td.value):
        return (f"No summary: {events} events, and no two subjects can be compared.",)
    best, likeliest = best_by_c_index(rows, "baseline"), best_by_nll(rows, "baseline")
    assert best is not None, "the covariate-free hazard is always evaluated"
    assert likeliest is not None, "the covariate-free hazard is always evaluated"
    at_landmarks = _at_landmarks(landmarks)
    lines = [_first_line(model, best, at_landmarks, events, min_events)]
    # A band of the table is a claim about the model, which needs an interval.
    interpretation = (
        f": {interpret_c_index(model.c_td.value)}" if model.c_td.interval is not None else ", without an interval"
    )
    lines.append(f"C-index {_with_interval(model.c_td, confidence)}{interpretation}.")
    if split in SEEN:
        lines.append(SEEN[split])
    if best.c_td_difference is not None:
        value, (low, high), p = best.c_td_difference
        lines.append(f"Model minus best baseline: {value:+.3f} ({low:+.3f} to {high:+.3f}, p = {p:.3f}).")
    for label, names in zip(
        ("Ranks better than every baseline at", "Not shown to rank better at", "Undecided, with too few events, at"),
        at_landmarks,
        strict=True,
    ):
        if names:
            lines.append(f"{label}: {', '.join(names)}.")
    if model.c_td.interval is not None and model.c_td.interval.low <= 0.5 <= model.c_td.interval.high:
        lines.append("The interval contains 0.5: there is no evidence that the model ranks better than chance.")
    if not model.nll.value < likeliest.nll.value:
        lines.append(
            f"Its likelihood is no higher than that of {likeliest.name} "
            f"(nll {model.nll.value:.3f} against {likeliest.nll.value:.3f})."
        )
    return tuple(lines)


def _first_line(model: StepRow, best: StepRow, at_landmarks: _AtLandmarks, events: int, min_events: int) -> str:
    comparison = f"C-index {model.c_td.value:.3f} against {best.c_td.value:.3f} of {best.name}"
    if best.c_td_difference is None:
        return f"Undecided with {events} events, where {min_events} are needed: {comparison}, the best baseline."
    if best.c_td_difference.interval.high < 0:
        return f"The model is worse than the best baseline: {comparison}."
    if best.c_td_difference.interval.low <= 0:
        return f"The model does not beat the best baseline: {comparison}."
    if at_landmarks.not_shown:
        names = ", ".join(at_landmarks.not_shown)
        return f"The model beats the best baseline at every step ({comparison}), but not at {names}."
    if at_landmarks.undecided:
        names = ", ".join(at_landmarks.undecided)
        return f"The model beats the best baseline at every step ({comparison}); undecided at {names}."
    return f"The model beats the best baseline: {comparison}."


def _at_landmarks(landmarks: Sequence[LandmarkResult]) -> _AtLandmarks:
    """Sort landmarks by whether the model ranks better than every baseline, by Harrell's C at the longest horizon."""
    at_landmarks = _AtLandmarks([], [], [])
    for landmark in landmarks:
        rows = [row for row in landmark.rows if row.role == "baseline" and row.cells[-1].c_harrell is not None]
        undecided = [row.name for row in rows if row.c_difference is None]
        unbeaten = [row.name for row in rows if row.c_difference is not None and row.c_difference.interval.low <= 0]
        if unbeaten:
            at_landmarks.not_shown.append(f"{landmark.name} ({', '.join(unbeaten)})")
        elif undecided or not rows:
            at_landmarks.undecided.append(landmark.name)
        else:
            at_landmarks.beaten.append(landmark.name)
    return at_landmarks


def _with_interval(estimate: Estimate, confidence: float) -> str:
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    low, high = estimate.interval
    return f"{estimate.value:.3f} ({confidence:.0%} interval {low:.3f} to {high:.3f})"
