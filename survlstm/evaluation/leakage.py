"""Discrimination of each code alone; a code that ranks nearly perfectly records the outcome itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from survlstm.data.tensors import Tensors

# Entries and table cells in memory together. 20,000 codes over 3,000 steps would take half a gigabyte per table.
CHUNK = 2**22


class CodeDiscrimination(NamedTuple):
    """Discrimination of each vocabulary entry.

    Attributes:
        c_td: C-index of the indicator "has had the code by this step" as a risk; NaN where no two subjects can be
            compared. 1 - ``c_td`` is the C-index of the absence of the code.
        carriers: Number of subjects that ever have the code.
        carrier_events: Number of events among them.
    """

    c_td: Float64[np.ndarray, " code"]
    carriers: Int64[np.ndarray, " code"]
    carrier_events: Int64[np.ndarray, " code"]


class LeakageSuspect(NamedTuple):
    """A code, or its absence, that ranks the subjects nearly perfectly.

    Attributes:
        code: The vocabulary entry.
        absent: Whether its absence is the high risk.
        c_td: C-index of the indicator.
        carriers: Number of subjects with the high risk.
        events: Number of events among them.
    """

    code: str
    absent: bool
    c_td: float
    carriers: int
    events: int


class _FirstSeen(NamedTuple):
    """First visit with a code, one row for each pair of subject and code; ``subject`` indexes the members."""

    subject: Int64[np.ndarray, " pair"]
    code: Int64[np.ndarray, " pair"]
    visit: Int64[np.ndarray, " pair"]


def discrimination_by_code(
    tensors: Tensors, members: Int64[np.ndarray, " member"], *, codes: int
) -> CodeDiscrimination:
    """Compute the C-index (survlstm.survival.concordance) of the indicator of every code, in one pass over the entries.

    For an indicator a pair is concordant if the case has the code and the control does not, and tied if both or neither
    have it. The number of such pairs at a step is a product of counts of cases and controls, so that no pairs need be
    formed. On the landmark clock the indicator at the landmark holds for every step. On the days clock every
    prediction time to train on is a case or a control, with the indicator at that time, and a subject weighs one: a
    code of the last weeks before an event is seen by the latest prediction times only. Pairs of two prediction times
    of one subject, about one in the number of subjects, are not left out.

    Args:
        tensors: Data of all subjects.
        members: Indices of the subjects to rank.
        codes: Number of vocabulary entries.

    Returns:
        The C-index and the counts of every entry.
    """
    if tensors.clock == "days":
        return _discrimination_at_times(tensors, members, codes=codes)
    step, event = tensors.step[members], tensors.event[members]
    event_steps = np.unique(step[event])
    cases = np.bincount(np.searchsorted(event_steps, step[event]), minlength=len(event_steps))
    at_risk = len(step) - np.searchsorted(np.sort(step), event_steps)
    ranks = CodeDiscrimination(np.full(codes, np.nan), np.zeros(codes, dtype=np.int64), np.zeros(codes, dtype=np.int64))
    comparable = int((cases * (at_risk - cases)).sum())
    for first, stop in _chunks(tensors, codes, len(event_steps)):
        seen = _first_seen(tensors, members, first, stop)
        ranks.carriers[first:stop] = np.bincount(seen.code, minlength=stop - first)
        ranks.carrier_events[first:stop] = np.bincount(seen.code[event[seen.subject]], minlength=stop - first)
        if comparable:
            with_code, cases_with = _counts(seen, step, event, event_steps, codes=stop - first)
            concordant, tied = _pairs(with_code, cases_with, at_risk, cases)
            ranks.c_td[first:stop] = (concordant + 0.5 * tied) / comparable
    return ranks


def find_suspects(
    ranks: CodeDiscrimination,
    entries: tuple[str, ...],
    *,
    threshold: float,
    min_events: int,
    subjects: int,
    events: int,
) -> tuple[LeakageSuspect, ...]:
    """Select the codes whose presence or absence ranks the subjects nearly perfectly.

    Args:
        ranks: Discrimination of every entry.
        entries: Vocabulary entries.
        threshold: Smallest C-index of a suspect.
        min_events: Smallest number of events among the subjects with the high risk.
        subjects: Number of ranked subjects.
        events: Number of events among them.

    Returns:
        The suspects, the highest C-index first.
    """
    present = zip(ranks.c_td, ranks.carriers, ranks.carrier_events, strict=True)
    absent = zip(1 - ranks.c_td, subjects - ranks.carriers, events - ranks.carrier_events, strict=True)
    suspects = [
        LeakageSuspect(entries[code], is_absence, float(c_td), int(carriers), int(carrier_events))
        for is_absence, rows in ((False, present), (True, absent))
        for code, (c_td, carriers, carrier_events) in enumerate(rows)
        if c_td >= threshold and carrier_events >= min_events
    ]
    return tuple(sorted(suspects, key=lambda suspect: -suspect.c_td))


def _chunks(tensors: Tensors, codes: int, event_steps: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of codes whose entries and table cells fit in memory together."""
    cost = np.bincount(tensors.code, minlength=codes) + event_steps + 1
    stops = np.flatnonzero(np.diff(np.cumsum(cost) // CHUNK)) + 1
    yield from zip([0, *stops.tolist()], [*stops.tolist(), codes], strict=True)


def _first_seen(tensors: Tensors, members: Int64[np.ndarray, " member"], first: int, stop: int) -> _FirstSeen:
    row_of = np.full(len(tensors.subject_id), -1)
    row_of[members] = np.arange(len(members))
    entry = np.flatnonzero((tensors.code >= first) & (tensors.code < stop))
    visit = np.searchsorted(tensors.code_offsets, entry, side="right") - 1
    subject = np.searchsorted(tensors.visit_offsets, visit, side="right") - 1
    entry, visit, subject = (values[row_of[subject] >= 0] for values in (entry, visit, subject))
    # Entries are in the order of visits, so that the first one of each pair is the earliest.
    pair, first_entry = np.unique(
        row_of[subject] * (stop - first) + (tensors.code[entry].astype(np.int64) - first), return_index=True
    )
    number = visit[first_entry] - tensors.visit_offsets[subject[first_entry]]
    if tensors.clock == "landmark":
        number = np.zeros_like(number)
    return _FirstSeen(pair // (stop - first), pair % (stop - first), number)


def _counts(
    seen: _FirstSeen, step: np.ndarray, event: np.ndarray, event_steps: np.ndarray, *, codes: int
) -> tuple[Int64[np.ndarray, "code event_step"], Int64[np.ndarray, "code event_step"]]:
    """Count the subjects at risk that have had the code by each event step, and the cases among them."""
    columns = len(event_steps) + 1
    # A subject counts from the first event step at or after its visit with the code up to its own last step.
    begin = np.searchsorted(event_steps, seen.visit)
    end = np.searchsorted(event_steps, step[seen.subject], side="right")
    begins, ends = (
        np.bincount(seen.code * columns + column, minlength=codes * columns).reshape(codes, columns)
        for column in (begin, end)
    )
    is_case = event[seen.subject]
    cases_with = np.bincount(seen.code[is_case] * columns + end[is_case] - 1, minlength=codes * columns)
    return np.cumsum(begins - ends, axis=1)[:, :-1], cases_with.reshape(codes, columns)[:, :-1]


def _pairs(
    with_code: np.ndarray, cases_with: np.ndarray, at_risk: np.ndarray, cases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count the concordant and the tied pairs of every code, [code].

    Args:
        with_code: Number of those at risk that have the code, [code, event_step]; on the days clock their weight.
        cases_with: The same of the cases.
        at_risk: Number of those at risk, [event_step]; on the days clock their weight.
        cases: The same of the cases.
    """
    controls_with = with_code - cases_with
    controls_without = at_risk - cases - controls_with
    concordant = cases_with * controls_without
    tied = cases_with * controls_with + (cases - cases_with) * controls_without
    return concordant.sum(axis=1), tied.sum(axis=1)


def _discrimination_at_times(
    tensors: Tensors, members: Int64[np.ndarray, " member"], *, codes: int
) -> CodeDiscrimination:
    """Compute ``discrimination_by_code`` on the days clock, where a subject has many rows."""
    rows = tensors.rows_of(members)
    step, event, weight = tensors.step[rows], tensors.event[rows], tensors.row_weight(rows)
    event_steps = np.unique(step[event])
    cases = np.array([weight[event & (step == number)].sum() for number in event_steps])
    at_risk = np.array([weight[step >= number].sum() for number in event_steps])
    ranks = CodeDiscrimination(np.full(codes, np.nan), np.zeros(codes, dtype=np.int64), np.zeros(codes, dtype=np.int64))
    comparable = float((cases * (at_risk - cases)).sum())
    ends = np.cumsum(tensors.trained_rows[members])
    events_before = np.concatenate([[0], np.cumsum(event)])
    has_event = np.diff(events_before[np.concatenate([[0], ends])]) > 0
    for first, stop in _chunks(tensors, codes, len(event_steps)):
        seen = _first_seen(tensors, members, first, stop)
        begin, end = _rows_with_code(tensors, members, seen, ends)
        has = begin < end
        ranks.carriers[first:stop] = np.bincount(seen.code[has], minlength=stop - first)
        has &= has_event[seen.subject]
        ranks.carrier_events[first:stop] = np.bincount(seen.code[has], minlength=stop - first)
        if comparable:
            counted = [
                [_weight_with_code(seen.code, begin, end, weight * chosen, stop - first) for chosen in (at, is_case)]
                for at, is_case in ((step >= number, event & (step == number)) for number in event_steps)
            ]
            with_code, cases_with = (np.column_stack(columns) for columns in zip(*counted, strict=True))
            concordant, tied = _pairs(with_code, cases_with, at_risk, cases)
            ranks.c_td[first:stop] = (concordant + 0.5 * tied) / comparable
    return ranks


def _rows_with_code(
    tensors: Tensors, members: Int64[np.ndarray, " member"], seen: _FirstSeen, ends: Int64[np.ndarray, " member"]
) -> tuple[Int64[np.ndarray, " pair"], Int64[np.ndarray, " pair"]]:
    """Return the first row that sees the code of each pair, and the end of the rows of its subject.

    Args:
        tensors: Data of all subjects.
        members: The members; their rows to train on are counted from 0, and rise in time within a member.
        seen: First visit with each code.
        ends: End of the rows of each member.
    """
    width = len(tensors.visit_time) + 1
    owner = np.repeat(np.arange(len(members)), tensors.trained_rows[members])
    axis = owner * width + tensors.row_visits[tensors.rows_of(members)]
    return np.searchsorted(axis, seen.subject * width + seen.visit, side="right"), ends[seen.subject]


def _weight_with_code(
    code: np.ndarray, begin: np.ndarray, end: np.ndarray, weight: np.ndarray, codes: int
) -> Float64[np.ndarray, " code"]:
    """Add up the weights of the rows with each code."""
    total = np.concatenate([[0.0], np.cumsum(weight)])
    # Of no pair at all the counts are whole numbers.
    return np.bincount(code, weights=total[end] - total[begin], minlength=codes).astype(np.float64)
