"""Diagnostic checks of the data: the outcome and the histories."""

from __future__ import annotations

import numpy as np

from survlstm.data.outcomes.synthetic import RATE_TOLERANCE, WEAKEST_CORRELATION
from survlstm.data.split import Split
from survlstm.evaluation.diagnostics import advice
from survlstm.evaluation.diagnostics.context import DiagnosticContext
from survlstm.evaluation.results import Finding
from survlstm.survival.kaplan_meier import kaplan_meier

# First words of those sentences in ``CohortFlow.warnings`` that have a check of their own.
CUT_HISTORIES = "Histories look cut"
OUTCOME_FACTS = ("the event rate must lie", "the correlation of mean risk")
# Two and a half times the tolerance: a shift of this size would show in the intervals of the evaluation.
RATE_FAR_OFF = 0.05
# On a real cohort the two risks differ by 0.005 with the default settings and by 0.05 with four long intervals.
FAR_OFF_IN_INTERVALS = 0.02


def risk_time_correlation(context: DiagnosticContext) -> Finding:
    """Check that risk and event time of a synthetic outcome correlate below -0.3, as the training guide requires."""
    check, correlation = "risk and event time", context.run.prepared.flow.outcome_facts.get("risk_time_correlation")
    if correlation is None:
        return Finding(
            check, "ok", "The outcome is not a synthetic one, so that its risk is not known.", "no correlation"
        )
    evidence = f"correlation of mean risk with event step {correlation:.3f}; must be below {WEAKEST_CORRELATION}"
    if correlation < WEAKEST_CORRELATION:
        return Finding(check, "ok", "High risk comes with early events, as required.", evidence)
    finding = "High risk does not come with early events: the synthetic outcome has little for a model to learn."
    return Finding(check, "warning", finding, evidence, advice.clearer_outcome(context.settings))


def event_rate(context: DiagnosticContext) -> Finding:
    """Check that a drawn outcome has the requested event rate."""
    check, facts = "event rate", context.run.prepared.flow.outcome_facts
    if "asked_event_rate" not in facts:
        summary = context.run.summary
        evidence = f"events of {summary.events} of {summary.subjects} evaluated subjects"
        return Finding(check, "ok", "The events are those of the records.", evidence)
    deviation = abs(facts["event_rate"] - facts["asked_event_rate"])
    evidence = f"event rate {facts['event_rate']:.3f}, {facts['asked_event_rate']:g} requested"
    if deviation <= RATE_TOLERANCE:
        return Finding(check, "ok", f"The event rate is within {RATE_TOLERANCE:g} of the requested one.", evidence)
    finding = f"The event rate differs by {deviation:.3f} from the requested one."
    too_few = facts["event_rate"] < facts["asked_event_rate"]
    remedies = advice.less_censoring(context.settings) if too_few else advice.larger_cohort(context.settings)
    return Finding(check, "warning" if deviation > RATE_FAR_OFF else "note", finding, evidence, remedies)


def interval_censoring(context: DiagnosticContext) -> Finding:
    """Check how far censoring inside the intervals of days shifts the risk.

    On the landmark clock a subject that is censored inside an interval counts as censored at its start, which
    overstates the risk. On the days clock it counts for the share of the interval that it was observed in, as if the
    hazard rate were the same within an interval. The risk in intervals is therefore compared with the Kaplan-Meier risk
    in days; on the days clock both are those of the training rows, of which each counts one.
    """
    tensors = context.run.prepared.tensors
    check = f"intervals of the {'days' if tensors.clock == 'days' else 'landmark'} clock"
    if tensors.clock == "visit":
        return Finding(check, "ok", "Does not apply: the steps are visits.", "visit clock")
    train = tensors.rows_of(tensors.members(Split.TRAIN))
    step, event, duration = tensors.step[train], tensors.event[train], tensors.duration_days[train]
    last = min(float(tensors.edge_days[-1]), float(duration.max()))
    # The shares are 0 on the landmark clock.
    partial = np.bincount(step + 1, weights=tensors.exposure[train], minlength=tensors.steps)[: tensors.steps]
    at_risk = np.bincount(step + 1, minlength=tensors.steps + 1)[::-1].cumsum()[::-1][1:] + partial
    events = np.bincount(step[event], minlength=tensors.steps)
    in_steps = 1 - np.prod(1 - events / np.maximum(at_risk, 1))
    in_days = 1 - kaplan_meier(duration, event).at(np.array([last])).item()
    evidence = f"training risk by the last edge: {in_steps:.3f} in intervals, {in_days:.3f} in days (Kaplan-Meier)"
    if abs(in_steps - in_days) <= FAR_OFF_IN_INTERVALS:
        return Finding(check, "ok", "Counting in intervals hardly changes the risk.", evidence)
    finding = "Censoring inside the intervals shifts the risk that the model learns."
    return Finding(check, "warning", finding, evidence, advice.shorter_intervals(context.settings))


def cut_histories(context: DiagnosticContext) -> Finding:
    """Check for left truncation, which is harmless if the outcome was drawn from the truncated record itself."""
    check = "left-truncated histories"
    warnings = [warning for warning in context.run.prepared.flow.warnings if warning.startswith(CUT_HISTORIES)]
    if not warnings:
        return Finding(check, "ok", "The histories have no common start.", "no year with a sudden rise of records")
    if "asked_event_rate" in context.run.prepared.flow.outcome_facts:
        finding = "The histories are cut at a common start; the outcome was drawn on what is left and remains valid."
        return Finding(check, "note", finding, " ".join(warnings))
    finding = "The histories are cut at a common start: the first record is not the start of care."
    return Finding(check, "warning", finding, " ".join(warnings), ("an export with exporter.years_of_history of 0",))


def source_warnings(context: DiagnosticContext) -> Finding:
    """Report the other warnings of reading and labelling."""
    check = "reading and labelling"
    warnings = [
        warning
        for warning in context.run.prepared.flow.warnings
        if not warning.startswith((CUT_HISTORIES, *OUTCOME_FACTS))
    ]
    if not warnings:
        return Finding(check, "ok", "Reading and labelling gave no other warning.", "no warning")
    return Finding(check, "warning", f"Reading and labelling gave warnings: {len(warnings)}.", " ".join(warnings))
