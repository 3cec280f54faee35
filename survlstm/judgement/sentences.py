"""The tables of a judgement → the sentences that people read first."""

from __future__ import annotations

import math
from collections.abc import Sequence

from survlstm.judgement.bands import read_c_index
from survlstm.judgement.results import Estimate, LandmarkResult, LandmarkRow, Row

CONVENTIONS = {
    "c_td": "Antolini's time-dependent concordance, the C-index of every line: for an event at step t, S(t) against "
    "everyone known to outlive it; 0.5 = random, 1 = every event ranked ahead; equal S counts 1/2, two events in one "
    "step are not compared",
    "nll": "negative log-likelihood in nats per subject over the at-risk steps; lower = better",
    "landmark": "only subjects still at risk at the landmark, and only what was known of them there; time counts from "
    "the landmark",
    "carried hazard": "a model of the visit clock knows one step ahead; behind it the landmark's hazard is carried on, "
    "logit h_k = l + log(1 + k)(a + b(l - mean l)), a and b fitted on the validation subjects; hazards that know no "
    "covariates are taken as they are",
    "c_harrell": "Harrell's C of the risk by the horizon, anchored at the events until then; equal risks count 1/2",
    "c_uno": "Uno's C: the same pairs, each weighted by 1/G² of its anchor",
    "auc": "cumulative/dynamic AUC: event by the horizon against event-free behind it, weighted by 1/G",
    "brier": "Brier score at the horizon (Gerds' form, weights 1/G); 0 = perfect, 0.25 = always 1/2; ibs integrates it "
    "over all horizons of the grid by the trapezoid rule",
    "nbll": "negative binomial log-likelihood at the horizon in nats, weighted likewise; inbll integrates it",
    "d_calibration": "p of the test that S at the end of follow-up is uniform (10 bins, censored subjects and the jump "
    "of an event's step spread, follow-up cut at the horizon); a small p says that the curves are off",
    "calibration": "predicted risk beside Kaplan-Meier risk of equally large groups; slope < 1: predictions too "
    "extreme; in_the_large > 0: risk predicted too low",
    "censoring": "G is the Kaplan-Meier curve of censoring of the training subjects, events before censorings at ties; "
    "no horizon lies behind the follow-up or where G = 0",
    "steps": "counted in steps, a subject censored in its k-th step after the landmark is known at k and hidden behind",
    "interval": "percentile bootstrap over subjects, G estimated again in each resample; a difference is the model's "
    "figure minus the other's on the same resamples, p two-sided",
}


def conclude(
    rows: Sequence[Row], landmarks: Sequence[LandmarkResult], *, events: int, min_events: int, confidence: float
) -> tuple[str, ...]:
    """The verdict in its first line, what it is made of in those behind; the first row is the model's."""
    model = rows[0]
    if math.isnan(model.c_td.value):
        return (f"No verdict: {events} events, and no pair of subjects that can be compared.",)
    best = max((row for row in rows if row.role == "baseline"), key=lambda row: row.c_td.value)
    beaten, not_shown = _at_landmarks(landmarks)
    lines = [_first_line(model, best, not_shown, events, min_events)]
    lines.append(f"C-index (c_td) {_with_interval(model.c_td, confidence)}: {read_c_index(model.c_td.value)}.")
    if best.c_td_difference is not None:
        value, (low, high), p = best.c_td_difference
        lines.append(f"Model minus best baseline: {value:+.3f} ({low:+.3f} to {high:+.3f}, p = {p:.3f}).")
    for said, names in (("Ranks better than every baseline at", beaten), ("Not shown to rank better at", not_shown)):
        if names:
            lines.append(f"{said}: {', '.join(names)}.")
    if model.c_td.interval is not None and model.c_td.interval.low <= 0.5 <= model.c_td.interval.high:
        lines.append("The interval holds 0.5: no evidence that it ranks better than chance.")
    likeliest = min((row for row in rows if row.role == "baseline"), key=lambda row: row.nll.value)
    if not model.nll.value < likeliest.nll.value:
        lines.append(
            f"Its likelihood is no better than that of {likeliest.name} "
            f"(nll {model.nll.value:.3f} against {likeliest.nll.value:.3f})."
        )
    return tuple(lines)


def _first_line(model: Row, best: Row, not_shown: list[str], events: int, min_events: int) -> str:
    figures = f"c_td {model.c_td.value:.3f} against {best.c_td.value:.3f} of {best.name}"
    if best.c_td_difference is None:
        return f"Undecided with {events} events, where {min_events} are needed: {figures}, the best baseline."
    if best.c_td_difference.interval.low <= 0:
        return f"Does not beat the best baseline: {figures}."
    if not_shown:
        return f"Beats the best baseline at every step ({figures}), but not at {', '.join(not_shown)}."
    return f"Beats the best baseline: {figures}."


def best_at(landmark: LandmarkResult) -> LandmarkRow | None:
    """The baseline that ranks best at the landmark's longest horizon; None where no C can be computed."""
    ranked = [
        (row.cells[-1].c_harrell.value, row)
        for row in landmark.rows
        if row.role == "baseline" and row.cells[-1].c_harrell is not None
    ]
    return max(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _at_landmarks(landmarks: Sequence[LandmarkResult]) -> tuple[list[str], list[str]]:
    """Where the model ranks better than every baseline, and where it is not shown to; neither where none can say."""
    beaten, not_shown = [], []
    for landmark in landmarks:
        best = best_at(landmark)
        if best is None or best.c_difference is None:
            continue
        if best.c_difference.interval.low > 0:
            beaten.append(landmark.name)
        else:
            not_shown.append(f"{landmark.name} ({best.name})")
    return beaten, not_shown


def _with_interval(estimate: Estimate, confidence: float) -> str:
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    low, high = estimate.interval
    return f"{estimate.value:.3f} ({confidence:.0%} interval {low:.3f} to {high:.3f})"
