"""Diagnostic checks for leaks: inputs that record the outcome, and calendar years that tell it."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Int64

from survlstm.data.prepared_data import PreparedData
from survlstm.data.split import Split
from survlstm.evaluation.diagnostics import advice
from survlstm.evaluation.diagnostics.context import DiagnosticContext
from survlstm.evaluation.diagnostics.data_checks import CUT_HISTORIES
from survlstm.evaluation.evaluated_rows import at_latest_times
from survlstm.evaluation.leakage import LeakageSuspect, discrimination_by_code, find_suspects
from survlstm.evaluation.leakage_of_eras import Era, find_era, times_at_risk
from survlstm.evaluation.leakage_of_outcomes import DecidingEntry, code_families, deciding_entries
from survlstm.evaluation.leakage_of_values import (
    PredictedSurvival,
    ValueDiscrimination,
    deciding_values,
    discrimination_by_value,
    predicted_survival,
)
from survlstm.evaluation.results import Finding

# The C-index of an indicator reaches 0.9 only if its share among cases is 0.8 above its share among controls at the
# same step. On a real cohort of 1,123 patients the best code has 0.72 for the synthetic outcome, 0.66 for death
# (hospice) and 0.897 for the progression of kidney disease (stage 3, which precedes stage 4).
SUSPICIOUS = 0.9
FEWEST_CARRIER_EVENTS = 10
SHOWN_SUSPECTS = 5
# On the real and the built-in cohort_1000, whose histories are cut in 2014, the score is 4.1 to 5.4 and the ratio 2.3
# to 3.5 for death at every visit and on the visit clock, and 6.9 to 8.7 and 7.9 to 8.8 at the landmark. On the built-in
# one with whole histories, on drawn outcomes, on pbc2 and on the MIMIC-IV demo they are at most 2.6 and 1.4.
SUSPICIOUS_SCORE, SUSPICIOUS_RATIO = 3.5, 2.0


def suspected_leakage(context: DiagnosticContext) -> Finding:
    """Check whether a single input tells the outcome of the training and validation subjects.

    Three signs are looked for:

    - A code, a group of codes, or a value ranks the subjects nearly perfectly.
    - All subjects with a code or with one of a group of codes have the event, or none without it, as with a cause of
      death.
    - A value between 0 and 1 agrees with the observed survival at some time, as another model's predictions do.

    That one input ranks far better than all others is no sign: serum bilirubin does so in primary biliary cirrhosis.

    On the days clock each subject is judged at its latest prediction time, which sees what is recorded shortly before
    the event.
    """
    check, prepared = "leak suspects", context.run.prepared
    if prepared.tensors.clock == "days":
        prepared = replace(prepared, tensors=at_latest_times(prepared.tensors))
    members = np.flatnonzero(prepared.tensors.split != Split.TEST)
    ranking, best = _ranking(prepared, members)
    deciding = _deciding(prepared, members)
    predicted = predicted_survival(prepared.tensors, members, prepared.preprocessing)
    if not (ranking or deciding or predicted):
        return Finding(check, "ok", f"No code or value alone reaches a C-index of {SUSPICIOUS:g}.", best)
    sentences = (
        (
            ranking,
            f"Codes or values that alone rank the subjects nearly perfectly: {len(ranking)}. Each records the outcome "
            "itself or a stage that always precedes it, so that a high C-index says little about the model.",
        ),
        (
            deciding,
            f"Codes or values that decide the outcome: {len(deciding)}. All subjects with one have the event, or none "
            "without it, as if it were recorded because of the event.",
        ),
        (
            predicted,
            f"Values that agree with the observed survival: {len(predicted)}. They may be another model's predictions.",
        ),
    )
    evidence = [
        *map(_describe, ranking[:SHOWN_SUSPECTS]),
        *map(_describe_deciding, deciding[:SHOWN_SUSPECTS]),
        *map(_describe_predicted, predicted[:SHOWN_SUSPECTS]),
    ]
    finding = " ".join(sentence for found, sentence in sentences if found)
    return Finding(check, "warning", finding, "; ".join(evidence), ("an outcome or a source without these inputs",))


def telling_years(context: DiagnosticContext) -> Finding:
    """Check that the calendar year does not tell the outcome, as in exports that keep longer histories of the dead.

    A year is suspect if events of the training and validation subjects are far more frequent before it than from it on,
    at the same age and length of the record. Both sides must have at least 20 subjects.
    """
    check, tensors = "calendar years", context.run.prepared.tensors
    era = find_era(tensors, times_at_risk(tensors, np.flatnonzero(tensors.split != Split.TEST)))
    if era is None:
        finding = "No calendar year divides the subjects and their events into two groups that can be compared."
        return Finding(check, "ok", finding, "too few subjects with the event before or after each year")
    evidence = _describe_era(era, per="year at risk" if tensors.in_days else "step")
    if era.score < SUSPICIOUS_SCORE or era.ratio < SUSPICIOUS_RATIO:
        return Finding(check, "ok", "The calendar year alone does not tell the outcome.", evidence)
    finding = (
        f"Before {era.year} events are {era.ratio:.1f} times as frequent as from then on, at the same age and length "
        "of the record. The calendar year alone then tells much of the outcome, as in an export that keeps longer "
        "histories of those who had the event. Figures that include earlier times measure this."
    )
    year = max(era.year, _cut_year(context.run.prepared.flow.warnings))
    return Finding(check, "warning", finding, evidence, advice.times_after(context.settings, tensors.clock, year))


def _ranking(prepared: PreparedData, members: Int64[np.ndarray, " member"]) -> tuple[list[LeakageSuspect], str]:
    """Return the codes and values above the threshold, and a description of the best one."""
    tensors, entries = prepared.tensors, prepared.vocabulary.entries
    find = partial(
        find_suspects,
        threshold=SUSPICIOUS,
        min_events=FEWEST_CARRIER_EVENTS,
        subjects=len(members),
        events=int(tensors.event[members].sum()),
    )
    ranks = discrimination_by_code(tensors, members, codes=len(entries))
    suspects = [*find(ranks, entries)]
    families = code_families(entries, fused=prepared.preprocessing.fused_codes)
    if families.names:
        grouped = replace(tensors, code=families.of_code[tensors.code].astype(np.int32))
        of_families = discrimination_by_code(grouped, members, codes=len(families.names) + 1)
        suspects += find(of_families, (*families.names, ""))
    values = [
        value
        for value in discrimination_by_value(tensors, members, prepared.preprocessing)
        if value.events >= FEWEST_CARRIER_EVENTS
    ]
    suspects += [
        as_suspect
        for value in values
        for as_suspect in (_as_suspect(value, low=False), _as_suspect(value, low=True))
        if as_suspect.c_td >= SUSPICIOUS
    ]
    found = sorted((suspect for suspect in suspects if suspect.code), key=lambda suspect: -suspect.c_td)
    best = [_as_suspect(value, low=value.c_td < 0.5) for value in values if np.isfinite(value.c_td)]
    if np.isfinite(ranks.c_td).any():
        code = int(np.nanargmax(ranks.c_td))
        counts = int(ranks.carriers[code]), int(ranks.carrier_events[code])
        best.append(LeakageSuspect(entries[code], False, float(ranks.c_td[code]), *counts))
    if not best:
        return found, "no two subjects can be compared"
    return found, f"best: {_describe(max(best, key=lambda suspect: suspect.c_td))}"


def _deciding(prepared: PreparedData, members: Int64[np.ndarray, " member"]) -> list[DecidingEntry]:
    """Return the deciding groups of codes, the deciding codes outside of these, and the deciding values."""
    tensors, entries = prepared.tensors, prepared.vocabulary.entries
    families = code_families(entries, fused=prepared.preprocessing.fused_codes)
    grouped = replace(tensors, code=families.of_code[tensors.code].astype(np.int32))
    of_families = deciding_entries(grouped, members, families.names)
    covered = tuple(family.code.removesuffix("*") for family in of_families)
    alone = deciding_entries(tensors, members, entries)
    of_values = deciding_values(tensors, members, prepared.preprocessing)
    return [*of_families, *(one for one in alone if not one.code.startswith(covered)), *of_values]


def _as_suspect(value: ValueDiscrimination, *, low: bool) -> LeakageSuspect:
    name = f"{'low' if low else 'high'} values of {value.name}"
    return LeakageSuspect(name, False, 1 - value.c_td if low else value.c_td, value.subjects, value.events)


def _describe(suspect: LeakageSuspect) -> str:
    name = f"without {suspect.code}" if suspect.absent else suspect.code
    return f"{name}: C-index {suspect.c_td:.3f}, {suspect.carriers} subjects, {suspect.events} events among them"


def _cut_year(warnings: tuple[str, ...]) -> int:
    """Return the year at which the source warns that histories are cut; 0 if it gives no such warning.

    The year that divides landmarks best can be an earlier one: few living subjects have one just before it.
    """
    years = (re.match(CUT_HISTORIES + r" at about (\d{4})", warning) for warning in warnings)
    return max((int(found[1]) for found in years if found), default=0)


def _describe_era(era: Era, *, per: str) -> str:
    early, late = era.rates
    return (
        f"events per {per}: {early:.3g} before {era.year} ({era.subjects[0]} subjects), {late:.3g} from then on "
        f"({era.subjects[1]} subjects); ratio at the same age and length of the record {era.ratio:.2f}, "
        f"{era.score:.1f} standard errors above 1"
    )


def _describe_deciding(one: DecidingEntry) -> str:
    name, share = f"without {one.code}" if one.absent else one.code, "all" if one.happens else "none"
    return (
        f"{name}: {share} of {one.subjects} subjects have the event, and {one.other_events} of the other {one.others}"
    )


def _describe_predicted(one: PredictedSurvival) -> str:
    kind = "risk" if one.is_risk else "survival"
    return f"{one.name}: within {one.error:.3f} of the {kind} at day {one.day:.0f}, {one.subjects} subjects"
