"""Diagnostic checks of the evaluation: the C-index, the baselines, the number of events and the horizons."""

from __future__ import annotations

import math

from survlstm.evaluation.c_index_interpretation import interpret_c_index
from survlstm.evaluation.diagnostics import advice
from survlstm.evaluation.diagnostics.context import DiagnosticContext
from survlstm.evaluation.results import Finding, Interval, LandmarkResult, StepRow, best_by_c_index, best_by_nll

# The training guide calls a C-index below 0.55 barely better than chance; as far below 0.5 the ranking is inverted.
BARELY_BETTER = 0.55
WRONG_WAY = 0.45
RECORD_LENGTH = "record length"
# One in this many of the events after a landmark must happen by its last horizon.
FEWEST_EVENTS_WITHIN = 5
FEWEST_FOLLOWED = 10


def test_c_index(context: DiagnosticContext) -> Finding:
    """Check the C-index on the evaluated split."""
    model = context.run.summary.model
    return _c_index(
        context, context.run.summary.split, model.c_td.value, model.c_td.interval, context.run.summary.events
    )


def validation_c_index(context: DiagnosticContext) -> Finding:
    """Check the validation C-index at the epoch whose weights were evaluated."""
    return _c_index(context, "validation", context.best_epoch.val_c_td, None, context.val_events)


def record_length(context: DiagnosticContext) -> Finding:
    """Check that the model ranks better than the length of the record.

    The number of visits depends on the outcome, so that a ranking by record length must not be the best one.
    """
    row = next((row for row in context.run.summary.rows if row.name == RECORD_LENGTH), None)
    if row is None:
        finding = "Record length is not among the comparators; add record_length to evaluation.baselines."
        return Finding(RECORD_LENGTH, "note", finding, "evaluation.baselines does not name it")
    evidence = _against(context.run.summary.model, row)
    if math.isnan(row.c_td.value) or math.isnan(context.run.summary.model.c_td.value):
        return Finding(RECORD_LENGTH, "note", "Not decidable: no two subjects can be compared.", evidence)
    if not row.c_td.value > context.run.summary.model.c_td.value:
        return Finding(RECORD_LENGTH, "ok", "The model ranks no worse than the length of the record alone.", evidence)
    finding = "The length of the record alone ranks better than the model"
    if context.is_random:
        return Finding(
            RECORD_LENGTH, "ok", f"{finding}; the outcome is random, so that neither ranking means anything.", evidence
        )
    remedies = context.ranking_advice
    if row.c_td_difference is not None and row.c_td_difference.interval.high < 0:
        return Finding(RECORD_LENGTH, "failure", f"{finding}, beyond noise.", evidence, remedies)
    return Finding(RECORD_LENGTH, "warning", f"{finding}, though within noise.", evidence, remedies)


def best_baseline(context: DiagnosticContext) -> Finding:
    """Check that the model has a better ranking and a higher likelihood than the best baseline."""
    check, model = "best baseline", context.run.summary.model
    rows = context.run.summary.rows
    best, likeliest = best_by_c_index(rows, "baseline"), best_by_nll(rows, "baseline")
    if best is None or likeliest is None or math.isnan(model.c_td.value) or math.isnan(best.c_td.value):
        return Finding(check, "note", "No baseline can be compared with the model.", f"{len(rows)} models")
    evidence = (
        f"{_against(model, best)}; nll {model.nll.value:.3f} against {likeliest.nll.value:.3f} of {likeliest.name}"
    )
    if context.is_random:
        return Finding(check, "ok", "The outcome is random, so that no model can be better than another.", evidence)
    remedies = (*advice.beat_baseline(context.settings), *context.ranking_advice)
    if not model.c_td.value > best.c_td.value:
        finding = f"The model does not rank better than the best baseline, {best.name}."
        return Finding(check, "warning", finding, evidence, remedies)
    if not model.nll.value < likeliest.nll.value:
        return Finding(
            check, "warning", f"The model has no higher likelihood than {likeliest.name}.", evidence, remedies
        )
    if best.c_td_difference is None or best.c_td_difference.interval.low <= 0:
        finding = f"The model ranks better than the best baseline, {best.name}, but not beyond noise."
        return Finding(check, "note", finding, evidence, advice.larger_cohort(context.settings))
    return Finding(check, "ok", f"The model ranks better than the best baseline, {best.name}.", evidence)


def event_count(context: DiagnosticContext) -> Finding:
    """Check that there are enough events for an interval."""
    summary, needed = context.run.summary, context.evaluation.min_events
    check = f"{summary.split} events"
    evidence = f"{summary.events} events among {summary.subjects} {summary.split} subjects; {needed} are needed"
    if summary.events >= needed:
        return Finding(check, "ok", "There are enough events for an interval.", evidence)
    remedies = advice.more_test_events(context.settings, events=summary.events, needed=needed)
    return Finding(
        check, "warning", "There are too few events for an interval: the metrics prove nothing.", evidence, remedies
    )


def unsupported_horizons(context: DiagnosticContext) -> Finding:
    """Check that enough subjects are followed past the requested horizons."""
    check, landmarks = "horizons", context.run.summary.landmarks
    if not landmarks:
        return Finding(check, "ok", "No landmark was requested.", "evaluation.landmarks names none")
    requested = sum(len(one.horizons) + len(one.unsupported) for one in landmarks)
    unsupported = sum(len(one.unsupported) for one in landmarks)
    nobody = [one.name for one in landmarks if not one.horizons]
    few = [one for one in landmarks if one.horizons and min(one.at_risk_after) < FEWEST_FOLLOWED]
    evidence = "; ".join(_followed(one) for one in landmarks)
    remedies = _shorter_horizons(context) + advice.less_censoring(context.settings)
    if nobody or 2 * unsupported > requested:
        where = f"no horizon at {', '.join(nobody)}" if nobody else f"{unsupported} of {requested} horizons not"
        finding = f"Censoring leaves {where} supported by the follow-up."
        empty = [one.name for one in landmarks if not one.at_risk]
        if empty:
            finding = f"No evaluated subject is at risk at {', '.join(empty)}: choose an earlier landmark."
        return Finding(check, "warning", finding, evidence, () if empty else remedies)
    if unsupported:
        finding = f"{unsupported} of {requested} horizons lie after the follow-up and were left out."
        return Finding(check, "note", finding, evidence, remedies)
    if few:
        where = ", ".join(one.name for one in few)
        finding = f"Fewer than {FEWEST_FOLLOWED} subjects were followed past a horizon at {where}."
        return Finding(check, "note", finding, evidence, remedies)
    late = [one for one in landmarks if one.horizons and one.events_by[-1] < one.events / FEWEST_EVENTS_WITHIN]
    if late:
        counts = ", ".join(f"{one.name}: {one.events_by[-1]} of {one.events}" for one in late)
        finding = "Few events happen by the last horizon: the metrics from landmarks miss nearly all of them."
        return Finding(
            check, "note", finding, f"events by the last horizon: {counts}", advice.later_horizons(context.settings)
        )
    return Finding(check, "ok", "The follow-up supports every requested horizon.", evidence)


def _c_index(context: DiagnosticContext, split: str, c_td: float, interval: Interval | None, events: int) -> Finding:
    check = f"C-index on {split}"
    evidence = f"C-index {c_td:.3f}" + (f" ({interval.low:.3f} to {interval.high:.3f})" if interval else "")
    evidence += f", {events} events"
    few = "" if events >= context.evaluation.min_events else f", though {events} events say little"
    if math.isnan(c_td):
        return Finding(
            check, "note", f"The C-index on {split} is undefined: no two subjects can be compared.", evidence
        )
    if context.is_random:
        return Finding(check, "ok", "The outcome is random, so that the C-index must be about 0.5.", evidence)
    remedies = context.ranking_advice
    if c_td < WRONG_WAY:
        certain = interval is not None and interval.high < 0.5
        finding = f"The model ranks the {split} subjects the wrong way round{few}."
        return Finding(check, "failure" if certain else "warning", finding, evidence, remedies)
    if c_td < BARELY_BETTER:
        finding = f"The model ranks the {split} subjects barely better than random{few}."
        return Finding(check, "warning", finding, evidence, remedies)
    if interval is not None and interval.low <= 0.5:
        finding = f"On {split} the interval of the C-index contains 0.5: the ranking may be due to chance."
        return Finding(check, "note", finding, evidence, advice.larger_cohort(context.settings))
    return Finding(check, "ok", f"On {split} the C-index means {interpret_c_index(c_td).split(';')[0]}{few}.", evidence)


def _against(model: StepRow, row: StepRow) -> str:
    text = f"C-index {model.c_td.value:.3f} against {row.c_td.value:.3f} of {row.name}"
    if row.c_td_difference is None:
        return text
    value, (low, high), _ = row.c_td_difference
    return f"{text}; difference {value:+.3f} ({low:+.3f} to {high:+.3f})"


def _followed(landmark: LandmarkResult) -> str:
    counts = ", ".join(
        f"{count} past {horizon:g}" for horizon, count in zip(landmark.horizons, landmark.at_risk_after, strict=True)
    )
    unsupported = ", ".join(f"{horizon:g}" for horizon in landmark.unsupported)
    text = f"{landmark.name}: of {landmark.at_risk} at risk {counts or 'none past any horizon'} {landmark.unit}"
    return f"{text}, not supported: {unsupported}" if unsupported else text


def _shorter_horizons(context: DiagnosticContext) -> tuple[str, ...]:
    """Propose the horizons past which enough subjects are followed from every landmark.

    On the other clocks the intervals set the horizons, so that none are proposed.
    """
    landmarks = context.run.summary.landmarks
    if context.run.summary.clock != "visit":
        return ()
    supported = sorted(set.intersection(*map(_followed_past, landmarks)))
    if not supported or supported == sorted(context.evaluation.horizons):
        return ()
    return (f"evaluation.landmarks.horizons=[{','.join(f'{horizon:g}' for horizon in supported)}]",)


def _followed_past(landmark: LandmarkResult) -> set[float]:
    counts = zip(landmark.horizons, landmark.at_risk_after, strict=True)
    return {horizon for horizon, count in counts if count >= FEWEST_FOLLOWED}
