"""The tables of an evaluation → the sentences that people read first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from survlstm.evaluation.c_index_interpretation import interpret_c_index
from survlstm.evaluation.results import Estimate, LandmarkResult, StepRow, best_by_c_index, best_by_nll

SEEN = {
    "train": "These are the subjects that the model was fitted to: the figures say nothing about new ones.",
    "val": "The best epoch was chosen on these subjects: the figures are too good for new ones.",
}
_CONVENTIONS = {
    "c_td": "Antolini's time-dependent concordance, the C-index of every line: for an event at step t, S(t) against "
    "everyone known to outlive it; 0.5 = random, 1 = every event ranked ahead; equal S counts 1/2, two events in one "
    "step are not compared",
    "nll": "negative log-likelihood in nats per subject over the at-risk steps; lower = better",
    "landmark": "only subjects still at risk at the landmark, and only what was known of them there; time counts from "
    "the landmark",
    "c_harrell": "Harrell's C of the risk by the horizon, anchored at the events until then; equal risks count 1/2",
    "c_uno": "Uno's C: the same pairs, each weighted by 1/G² of its anchor",
    "auc": "cumulative/dynamic AUC: event by the horizon against event-free behind it, weighted by 1/G",
    "brier": "Brier score at the horizon (Gerds' form, weights 1/G); 0 = perfect, 0.25 = always 1/2; ibs integrates it "
    "over every step up to the last horizon by the trapezoid rule",
    "nbll": "negative binomial log-likelihood at the horizon in nats, weighted likewise; inbll integrates it",
    "d_calibration": "p of the test that S at the end of follow-up is uniform (10 bins, censored subjects and the jump "
    "of an event's step spread, follow-up cut at the horizon); a small p says that the curves are off",
    "calibration": "predicted risk beside Kaplan-Meier risk of equally large groups; slope < 1: predictions too "
    "extreme; in_the_large > 0: risk predicted too low",
    "censoring": "G is the Kaplan-Meier curve of censoring of the training subjects (of another cohort: its own), "
    "events before censorings at ties; no horizon lies behind the follow-up or where G = 0",
    "oracle": "the hazards that drew the outcome: at every step no model ranks better or is likelier but by chance; "
    "from landmarks they too are carried on, and a model made for the landmark may do better",
    "steps": "in steps, a subject censored in its k-th step after the landmark is known at k and hidden behind",
    "interval": "percentile bootstrap over subjects, G estimated again in each resample; a difference is the model's "
    "figure minus the other's on the same resamples, p two-sided",
}


_CARRIED = (
    "a model of the visit clock knows one step ahead; behind it the landmark's hazard is carried on, logit h_k = l + "
    "log(1 + k)(a + b(l - mean l)), a and b fitted on the subjects of the {} split; hazards that know no covariates "
    "are taken as they are"
)


class _AtLandmarks(NamedTuple):
    beaten: list[str]
    not_shown: list[str]
    undecided: list[str]


def conventions(*, clock: str, reference: str) -> dict[str, str]:
    """What every figure means, by its name; ``reference`` is the split on whom hazards learn to drift."""
    return _CONVENTIONS | ({"carried hazard": _CARRIED.format(reference)} if clock == "visit" else {})


def summarize_evaluation(
    rows: Sequence[StepRow],
    landmarks: Sequence[LandmarkResult],
    *,
    split: str,
    events: int,
    min_events: int,
    confidence: float,
) -> tuple[str, ...]:
    """The summary in its first line, what it is made of in those behind; the first row is the model's."""
    model = rows[0]
    if math.isnan(model.c_td.value):
        return (f"No summary: {events} events, and no pair of subjects that can be compared.",)
    best, likeliest = best_by_c_index(rows, "baseline"), best_by_nll(rows, "baseline")
    assert best is not None, "the covariate-free hazard is always there"
    assert likeliest is not None, "as above"
    at = _at_landmarks(landmarks)
    lines = [_first_line(model, best, at, events, min_events)]
    # A band is a claim; without an interval there is nothing to claim.
    reading = f": {interpret_c_index(model.c_td.value)}" if model.c_td.interval is not None else ", without an interval"
    lines.append(f"C-index (c_td) {_with_interval(model.c_td, confidence)}{reading}.")
    if split in SEEN:
        lines.append(SEEN[split])
    if best.c_td_difference is not None:
        value, (low, high), p = best.c_td_difference
        lines.append(f"Model minus best baseline: {value:+.3f} ({low:+.3f} to {high:+.3f}, p = {p:.3f}).")
    for said, names in zip(
        ("Ranks better than every baseline at", "Not shown to rank better at", "Undecided, with too few events, at"),
        at,
        strict=True,
    ):
        if names:
            lines.append(f"{said}: {', '.join(names)}.")
    if model.c_td.interval is not None and model.c_td.interval.low <= 0.5 <= model.c_td.interval.high:
        lines.append("The interval holds 0.5: no evidence that it ranks better than chance.")
    if not model.nll.value < likeliest.nll.value:
        lines.append(
            f"Its likelihood is no better than that of {likeliest.name} "
            f"(nll {model.nll.value:.3f} against {likeliest.nll.value:.3f})."
        )
    return tuple(lines)


def _first_line(model: StepRow, best: StepRow, at: _AtLandmarks, events: int, min_events: int) -> str:
    figures = f"c_td {model.c_td.value:.3f} against {best.c_td.value:.3f} of {best.name}"
    if best.c_td_difference is None:
        return f"Undecided with {events} events, where {min_events} are needed: {figures}, the best baseline."
    if best.c_td_difference.interval.high < 0:
        return f"Is worse than the best baseline: {figures}."
    if best.c_td_difference.interval.low <= 0:
        return f"Does not beat the best baseline: {figures}."
    if at.not_shown:
        return f"Beats the best baseline at every step ({figures}), but not at {', '.join(at.not_shown)}."
    if at.undecided:
        return f"Beats the best baseline at every step ({figures}); undecided at {', '.join(at.undecided)}."
    return f"Beats the best baseline: {figures}."


def _at_landmarks(landmarks: Sequence[LandmarkResult]) -> _AtLandmarks:
    """Where the model ranks better than every baseline, where it is not shown to, and where nothing can be said.

    By Harrell's C at the longest horizon; the names of the baselines stand with their landmark.
    """
    found = _AtLandmarks([], [], [])
    for landmark in landmarks:
        rows = [row for row in landmark.rows if row.role == "baseline" and row.cells[-1].c_harrell is not None]
        open_ones = [row.name for row in rows if row.c_difference is None]
        unbeaten = [row.name for row in rows if row.c_difference is not None and row.c_difference.interval.low <= 0]
        if unbeaten:
            found.not_shown.append(f"{landmark.name} ({', '.join(unbeaten)})")
        elif open_ones or not rows:
            found.undecided.append(landmark.name)
        else:
            found.beaten.append(landmark.name)
    return found


def _with_interval(estimate: Estimate, confidence: float) -> str:
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    low, high = estimate.interval
    return f"{estimate.value:.3f} ({confidence:.0%} interval {low:.3f} to {high:.3f})"
