"""Write the warnings about OMOP records, without values of a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from survlstm.data.events import TableCount
from survlstm.data.sources.omop.format import DEATH, PERIODS, PERSON
from survlstm.data.sources.omop.row_status import LEFT_OUT, UNUSABLE, OmopRow

# Up to these shares there is no warning.
_TOLERATED = 0.01


def omop_warnings(
    counts: Sequence[TableCount],
    *,
    without_concept: Mapping[str, int],
    unknown_concepts: int,
    missing_visits: Mapping[str, tuple[int, int]],
    several_deaths: int,
    unmapped: Mapping[str, int],
    unusable_units: Mapping[str, int],
    has_periods: bool,
    has_visits: bool,
) -> tuple[str, ...]:
    """Write one sentence for each oddity.

    Args:
        counts: Counts of all tables that were read.
        without_concept: Entries whose code is a source value, by table.
        unknown_concepts: Entries whose concept the vocabulary lacks.
        missing_visits: Entries whose visit is not there, and entries that name one, by table.
        several_deaths: Persons with several days of death.
        unmapped: Subjects without a concept, by fact.
        unusable_units: Values that are read without a unit because it can't be read, by table.
        has_periods: Whether observation periods limit the records.
        has_visits: Whether there is a table of visits.

    Returns:
        The sentences.
    """
    by_name = {count.table: count for count in counts}
    sentences = [_concept_zero(by_name, without_concept), _unknown(unknown_concepts)]
    sentences += [_visits(missing_visits) if has_visits else "", _header_rows(counts)]
    sentences.append(_units(unusable_units))
    sentences.append(_static(unmapped, by_name[PERSON].rows_used))
    if not has_periods:
        state = "has no usable row" if PERIODS in by_name else "is not there or has no usable row"
        sentences.append(
            f"{PERIODS}: the table {state}, so that no entry is left out for it and follow-up ends with the last visit."
        )
    without = by_name[PERSON].left_out.get(LEFT_OUT[OmopRow.NO_PERIOD], 0)
    if without > _TOLERATED * by_name[PERSON].rows_read:
        sentences.append(
            f"{PERSON}: {without} of {by_name[PERSON].rows_read} have no observation period and are left out."
        )
    if several_deaths:
        sentences.append(
            f"{DEATH}: persons whose rows have different days, of which the earliest counts: {several_deaths}."
        )
    sentences.append(_selection(by_name))
    return tuple(sentence for sentence in sentences if sentence)


def _concept_zero(counts: Mapping[str, TableCount], named: Mapping[str, int]) -> str:
    parts = []
    for table, used in named.items():
        left_out = counts[table].left_out
        lost = sum(left_out.get(LEFT_OUT[status], 0) for status in (OmopRow.NO_SOURCE_VALUE, OmopRow.FREE_TEXT))
        if used or lost:
            parts.append(f"{table} {used} and {lost}")
    if not parts:
        return ""
    return (
        "Entries with concept 0, first those with the source value as their code, then those without a usable one, "
        f"which are left out: {', '.join(parts)}."
    )


def _unknown(entries: int) -> str:
    if not entries:
        return ""
    return f"Entries whose concept is not in the table concept, and whose code is OMOP/ and its id: {entries}."


def _units(unusable: Mapping[str, int]) -> str:
    parts = [f"{table} {number}" for table, number in unusable.items() if number]
    if not parts:
        return ""
    return (
        "Values that are read without a unit, because their unit_source_value is a text, a day or an id, or their "
        f"unit_concept_id is no number: {', '.join(parts)}."
    )


def _visits(missing: Mapping[str, tuple[int, int]]) -> str:
    named = sum(of_table[1] for of_table in missing.values())
    lost = sum(of_table[0] for of_table in missing.values())
    if not lost:
        return ""
    tables = ", ".join(f"{table} {number} of {all_}" for table, (number, all_) in missing.items() if number)
    return (
        f"{lost} of {named} entries that name a visit name one that is not in visit_occurrence for their person, and "
        f"count as entries without a visit: {tables}."
    )


def _header_rows(counts: Sequence[TableCount]) -> str:
    tables = [count.table for count in counts if count.left_out.get(LEFT_OUT[OmopRow.HEADER])]
    return f"Tables that hold their header as a row, which is ignored: {', '.join(tables)}." if tables else ""


def _static(unmapped: Mapping[str, int], persons: int) -> str:
    parts = [f"{fact} {number}" for fact, number in unmapped.items() if number]
    if not parts:
        return ""
    return f"{PERSON}: of {persons} subjects these have concept 0, and the source value is used: {', '.join(parts)}."


def _selection(counts: Mapping[str, TableCount]) -> str:
    lost = counts[PERSON].left_out.get(LEFT_OUT[OmopRow.UNUSABLE_DEATH], 0)
    if lost <= _TOLERATED * counts[PERSON].rows_read:
        return ""
    reasons = ", ".join(
        f"{number} {reason}" for reason, number in counts[DEATH].unusable.items() if reason in UNUSABLE.values()
    )
    return (
        f"SELECTED BY OUTCOME: {lost} of {counts[PERSON].rows_read} persons are left out because their row in death "
        f"can't be used ({reasons}). Which persons remain depends on who died, so every rate of death and every risk "
        "from this cohort is biased. Correct the table death."
    )
