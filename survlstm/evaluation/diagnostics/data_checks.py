"""The data of a run → warning signs of its outcome, its histories and its codes."""

from __future__ import annotations

import numpy as np

from survlstm.data.outcomes.synthetic import RATE_TOLERANCE, WEAKEST_CORRELATION
from survlstm.data.split import Split
from survlstm.evaluation.diagnostics import advice
from survlstm.evaluation.diagnostics.context import DiagnosticContext
from survlstm.evaluation.leakage import LeakageSuspect, discrimination_by_code, find_suspects
from survlstm.evaluation.results import Finding
from survlstm.survival.kaplan_meier import kaplan_meier

# What the sentences of ``Flow.warnings`` begin with that a check of its own speaks of.
CUT_HISTORIES = "Histories look cut"
OUTCOME_FACTS = ("the event rate must lie", "the correlation of mean risk")
# Twice and a half the tolerance: a shift that the summary's interval would show.
RATE_FAR_OFF = 0.05
# An indicator reaches 0.9 only where its share among cases is 0.8 above that among controls at the same step. On a real
# cohort of 1,123 patients the best code ranks 0.72 for the synthetic outcome, 0.66 for death (hospice) and 0.897 for
# the progression of kidney disease (stage 3, which comes before stage 4).
SUSPICIOUS = 0.9
FEWEST_CARRIER_EVENTS = 10
SHOWN_SUSPECTS = 3
# With the default settings on a real cohort the two differ by 0.005, with four long intervals by 0.05.
FAR_OFF_IN_INTERVALS = 0.02


def risk_time_correlation(context: DiagnosticContext) -> Finding:
    """The guide: risk and event time of a synthetic outcome must correlate below -0.3."""
    check, correlation = "risk and event time", context.run.prepared.flow.outcome_facts.get("risk_time_correlation")
    if correlation is None:
        return Finding(check, "ok", "The outcome is not a synthetic one, so its risk is not known.", "no correlation")
    evidence = f"correlation of mean risk with event step {correlation:.3f}; must be below {WEAKEST_CORRELATION}"
    if correlation < WEAKEST_CORRELATION:
        return Finding(check, "ok", "High risk comes with early events, as it must.", evidence)
    said = "High risk does not come with early events: the synthetic outcome has little to teach."
    return Finding(check, "warning", said, evidence, advice.clearer_outcome(context.settings))


def event_rate(context: DiagnosticContext) -> Finding:
    """A drawn outcome must meet the event rate that was asked for."""
    check, found = "event rate", context.run.prepared.flow.outcome_facts
    if "asked_event_rate" not in found:
        judged = f"{context.run.summary.events} of {context.run.summary.subjects} judged subjects"
        return Finding(check, "ok", "The events are those of the records.", f"events of {judged}")
    off = abs(found["event_rate"] - found["asked_event_rate"])
    evidence = f"event rate {found['event_rate']:.3f}, {found['asked_event_rate']:g} asked for"
    if off <= RATE_TOLERANCE:
        return Finding(check, "ok", f"The event rate is within {RATE_TOLERANCE:g} of what was asked for.", evidence)
    said = f"The event rate is {off:.3f} off what was asked for."
    too_few = found["event_rate"] < found["asked_event_rate"]
    remedies = advice.less_censoring(context.settings) if too_few else advice.larger_cohort(context.settings)
    return Finding(check, "warning" if off > RATE_FAR_OFF else "note", said, evidence, remedies)


def interval_censoring(context: DiagnosticContext) -> Finding:
    """On the landmark clock whoever leaves inside an interval counts as gone at its start: risk is overstated."""
    check, tensors = "intervals of the landmark clock", context.run.prepared.tensors
    if tensors.clock == "visit":
        return Finding(check, "ok", "Does not apply: the steps are visits.", "visit clock")
    train = tensors.members(Split.TRAIN)
    step, event, duration = tensors.step[train], tensors.event[train], tensors.duration_days[train]
    last = min(float(tensors.edge_days[-1]), float(duration.max()))
    at_risk = (np.arange(tensors.steps) <= step[:, None]).sum(axis=0)
    events = np.bincount(step[event], minlength=tensors.steps)
    in_steps = 1 - np.prod(1 - events / np.maximum(at_risk, 1))
    in_days = 1 - kaplan_meier(duration, event).at(np.array([last])).item()
    evidence = f"training risk by the last edge: {in_steps:.3f} in intervals, {in_days:.3f} in days (Kaplan-Meier)"
    if abs(in_steps - in_days) <= FAR_OFF_IN_INTERVALS:
        return Finding(check, "ok", "Counting in intervals changes the risk by next to nothing.", evidence)
    said = "Censoring inside the intervals shifts the risk that the model learns."
    return Finding(check, "warning", said, evidence, advice.shorter_intervals(context.settings))


def cut_histories(context: DiagnosticContext) -> Finding:
    """Left truncation: harmless where the outcome was drawn on the record, which then is all there is."""
    check = "left-truncated histories"
    said = [warning for warning in context.run.prepared.flow.warnings if warning.startswith(CUT_HISTORIES)]
    if not said:
        return Finding(check, "ok", "The histories show no common start.", "no year with a sudden rise of records")
    if "asked_event_rate" in context.run.prepared.flow.outcome_facts:
        finding = "The histories are cut at a common start; the outcome was drawn on what is left, so it holds."
        return Finding(check, "note", finding, " ".join(said))
    finding = "The histories are cut at a common start: the first record is no start of care."
    return Finding(check, "warning", finding, " ".join(said), ("an export with exporter.years_of_history of 0",))


def source_warnings(context: DiagnosticContext) -> Finding:
    """Whatever else was noticed while reading and labelling."""
    check = "reading and labelling"
    said = [
        warning
        for warning in context.run.prepared.flow.warnings
        if not warning.startswith((CUT_HISTORIES, *OUTCOME_FACTS))
    ]
    if not said:
        return Finding(check, "ok", "Reading and labelling noticed nothing else.", "no warning")
    return Finding(check, "warning", f"Reading and labelling gave warnings: {len(said)}.", " ".join(said))


def suspected_leakage(context: DiagnosticContext) -> Finding:
    """One code that alone ranks nearly perfectly, on the training and validation subjects."""
    check, tensors = "leak suspects", context.run.prepared.tensors
    members = np.flatnonzero(tensors.split != Split.TEST)
    ranks = discrimination_by_code(tensors, members, codes=len(context.run.prepared.vocabulary))
    found = find_suspects(
        ranks,
        context.run.prepared.vocabulary.entries,
        threshold=SUSPICIOUS,
        min_events=FEWEST_CARRIER_EVENTS,
        subjects=len(members),
        events=int(tensors.event[members].sum()),
    )
    if found:
        said = (
            f"Codes that alone rank the subjects nearly perfectly: {len(found)}; each is a trace of the outcome itself "
            "or a stage that always precedes it, and with them a high C-index is no achievement."
        )
        remedies = ("an outcome or a source without these codes",)
        return Finding(check, "warning", said, "; ".join(map(_figures, found[:SHOWN_SUSPECTS])), remedies)
    best = "no pair of subjects can be compared"
    if np.isfinite(ranks.c_td).any():
        code = int(np.nanargmax(ranks.c_td))
        figures = (float(ranks.c_td[code]), int(ranks.carriers[code]), int(ranks.carrier_events[code]))
        best = f"best: {_figures(LeakageSuspect(context.run.prepared.vocabulary.entries[code], False, *figures))}"
    return Finding(check, "ok", f"No code alone reaches a C-index of {SUSPICIOUS:g}.", best)


def _figures(suspect: LeakageSuspect) -> str:
    who = f"without {suspect.code}" if suspect.absent else suspect.code
    return f"{who}: c_td {suspect.c_td:.3f}, {suspect.carriers} subjects, {suspect.events} events among them"
