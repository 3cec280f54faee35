"""Grouping of events into visits in order of time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Int, Int8, Int32, Int64

from survlstm.data.events import Events, Subjects, fill_values
from survlstm.data.known_times import known_times
from survlstm.data.visit_groups import group_by_day, group_by_encounter, group_by_window
from survlstm.data.visit_splits import SplitTimes, split_groups, split_in_turns
from survlstm.utils.errors import SourceError
from survlstm.utils.ragged import flat_positions


@dataclass(frozen=True)
class Visits:
    """Visits of each subject in order of time, as ragged arrays.

    Subject ``s`` has the visits from ``visit_offsets[s]`` to ``visit_offsets[s+1]``, and visit ``v`` has the codes from
    ``code_offsets[v]`` to ``code_offsets[v+1]``. Visits at the same time are ordered by their content, so that the
    order of rows in the export has no influence.

    Attributes:
        subjects: The subjects that the visits belong to; a subject may have none.
        codes: Distinct codes as texts, sorted, [code].
        visit_offsets: First visit of each subject, and the number of visits at the end.
        visit_time: ``datetime64[s]`` [visit], the time of the *last* entry of a visit: nothing in it is dated later.
        code_offsets: First code of each visit, and the number of codes at the end.
        code: Index into ``codes`` of each entry, visit after visit. Within a visit entries are ordered by time, then by
            code, then by value (an entry without a number last), then by unit.
        value: Value of each entry; NaN if it has none. None stands for NaN everywhere.
        units: Distinct units as texts, [unit]; the first is "". None stands for "" alone.
        unit: Index into ``units`` of each entry. None stands for 0 everywhere.
        value_fault: ``survlstm.data.events.ValueFault`` of each entry. None stands for 0 everywhere.
    """

    subjects: Subjects
    codes: np.ndarray
    visit_offsets: Int64[np.ndarray, " subject_offset"]
    visit_time: np.ndarray
    code_offsets: Int64[np.ndarray, " visit_offset"]
    code: Int32[np.ndarray, " code"]
    value: Float32[np.ndarray, " code"] = None  # type: ignore[assignment]
    units: np.ndarray = None  # type: ignore[assignment]
    unit: Int32[np.ndarray, " code"] = None  # type: ignore[assignment]
    value_fault: Int8[np.ndarray, " code"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.value is None:
            object.__setattr__(self, "value", np.full(len(self.code), np.nan, dtype=np.float32))
        fill_values(self, len(self.code))

    @property
    def visits_per_subject(self) -> Int64[np.ndarray, " subject"]:
        """Number of visits of each subject."""
        return np.diff(self.visit_offsets)

    @property
    def codes_per_visit(self) -> Int64[np.ndarray, " visit"]:
        """Number of codes in each visit."""
        return np.diff(self.code_offsets)

    @property
    def entry_visit(self) -> Int64[np.ndarray, " code"]:
        """Index of the visit that each entry belongs to."""
        return np.repeat(np.arange(len(self.visit_time)), self.codes_per_visit)

    @property
    def visit_subject(self) -> Int64[np.ndarray, " visit"]:
        """Index of the subject that each visit belongs to."""
        return np.repeat(np.arange(len(self.subjects)), self.visits_per_subject)


def groupable_events(events: Events, *, grouping: str) -> Events:
    """Select the entries that a grouping can place: those with an encounter for *encounter*, otherwise all.

    The selection comes before the outcome is derived. An outcome found in an entry that belongs to no visit would end
    the record at its event and then label the subject as censored.

    Args:
        events: All events of the source.
        grouping: Name of the grouping, see ``group_visits``.

    Returns:
        The selected events in their order, with all subjects and codes of ``events``.
    """
    return take_events(events, events.encounter >= 0) if grouping == "encounter" else events


def group_visits(
    events: Events,
    *,
    grouping: str,
    window_hours: float,
    in_turns: bool = False,
    split_at: SplitTimes | None = None,
    known_by: Int64[np.ndarray, " event"] | None = None,
) -> tuple[Visits, int]:
    """Group events into visits.

    The groupings are:

    - *same_day*: one visit per calendar day.
    - *time_window*: a visit lasts ``window_hours`` from its first entry.
    - *encounter*: one visit per encounter.
    - *hybrid*: as *encounter*; entries without an encounter join the first visit of an encounter that begins on their
      day, or form a visit of their own.

    With *encounter* and *hybrid*, a long encounter (a nursing home, a hospice) is split every ``window_hours``.
    Otherwise entries from its end would be part of the same visit as those from its beginning.

    Args:
        events: Events to group; with *encounter*, each must have one (see ``groupable_events``).
        grouping: Name of the grouping.
        window_hours: Longest visit in hours for *time_window*, and for encounters with *encounter* and *hybrid*.
        in_turns: Whether visits that overlap in time are split, see ``split_in_turns``.
        split_at: Times at which a visit that spans them is split; None splits no visit. Otherwise an entry after a
            prediction time would move the earlier entries of its visit behind that time.
        known_by: ``KnownTimes.latest`` of the events; None computes it from ``events``.

    Returns:
        The visits, and the number of entries left out because they repeat another one (same visit, time, code, value
        and unit).

    Raises:
        SourceError: If ``window_hours`` is too long to sort entries by the second.

    Example:
        >>> visits, repeated = group_visits(events, grouping="hybrid", window_hours=24.0)
    """
    if known_by is None:
        known_by = known_times(events).latest
    window = int(window_hours * 3600)
    if grouping == "same_day":
        group = group_by_day(events.subject, known_by)
    elif grouping == "time_window":
        group = group_by_window(events.subject, known_by, window)
    else:
        group = group_by_encounter(events, known_by, window)
    if in_turns:
        group = split_in_turns(group, events.subject, known_by)
    if split_at is not None:
        group = split_groups(group, split_at, events.subject, known_by)
    return _assemble(events, known_by, group)


def cut_visits(visits: Visits, subject: Int[np.ndarray, " kept"], *, stop: Int[np.ndarray, " kept"]) -> Visits:
    """Select some subjects and the first visits of each.

    Args:
        visits: Visits of all subjects.
        subject: Indices of the subjects to keep, in the order of the result.
        stop: Number of visits to keep of each of these subjects.

    Returns:
        Visits of these subjects only; ``codes`` still lists every code of ``visits``.
    """
    kept_visits = flat_positions(visits.visit_offsets[subject], stop)
    codes = visits.codes_per_visit[kept_visits]
    kept_entries = flat_positions(visits.code_offsets[:-1][kept_visits], codes)
    return replace(
        take_entries(visits, kept_entries),
        subjects=visits.subjects.take(subject),
        visit_offsets=offsets_from_sizes(stop),
        visit_time=visits.visit_time[kept_visits],
        code_offsets=offsets_from_sizes(codes),
    )


def take_entries(visits: Visits, entry: Int[np.ndarray, " kept"]) -> Visits:
    """Select entries; the caller replaces ``code_offsets``, which stay the same here.

    Args:
        visits: Visits of some subjects.
        entry: Indices of the entries, in the order of the result.
    """
    return replace(
        visits,
        code=visits.code[entry],
        value=visits.value[entry],
        unit=visits.unit[entry],
        value_fault=visits.value_fault[entry],
    )


def take_events(events: Events, kept: Bool[np.ndarray, " event"]) -> Events:
    """Select the events for which ``kept`` is true.

    Args:
        events: Events in any order.
        kept: Mask of the events to keep.

    Returns:
        These events in their order, with all subjects and codes of ``events``.
    """
    return replace(
        events,
        subject=events.subject[kept],
        code=events.code[kept],
        time=events.time[kept],
        encounter=events.encounter[kept],
        numeric_value=events.numeric_value[kept],
        unit=events.unit[kept],
        value_fault=events.value_fault[kept],
    )


def offsets_from_sizes(sizes: Int[np.ndarray, " row"]) -> Int64[np.ndarray, " row_offset"]:
    """Compute the first position of each row of a ragged array, followed by the end of the last row.

    Args:
        sizes: Length of each row.

    Returns:
        ``len(sizes) + 1`` positions, beginning with 0.
    """
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _assemble(events: Events, seconds: np.ndarray, group: np.ndarray) -> tuple[Visits, int]:
    """Turn groups into visits, ordered by subject, last entry, first entry and size, and count repeated entries.

    Args:
        events: All events.
        seconds: Time by which each event was known, in seconds since 1970.
        group: Number of the group of each event; the numbers need not be consecutive and carry no order.
    """
    n_groups = int(group.max(initial=-1)) + 1
    start = np.full(n_groups, np.iinfo(np.int64).max)
    end = np.full(n_groups, np.iinfo(np.int64).min)
    np.minimum.at(start, group, seconds)
    np.maximum.at(end, group, seconds)
    owner = np.zeros(n_groups, dtype=np.int64)
    owner[group] = events.subject
    size = np.bincount(group, minlength=n_groups)
    used = np.flatnonzero(size)
    order = used[np.lexsort([size[used], start[used], end[used], owner[used]])]
    entries = (seconds - start[group]) * len(events.codes) + events.code
    order = _order_ties(order, np.stack([owner, end, start, size]), group, entries, events)
    rank = np.empty(n_groups, dtype=np.int64)
    rank[order] = np.arange(len(order))

    visit, entry = _sort_entries(rank[group], seconds - start[group], events)
    visits = Visits(
        subjects=events.subjects,
        codes=events.codes,
        visit_offsets=offsets_from_sizes(np.bincount(owner[order], minlength=len(events.subjects))),
        visit_time=end[order].astype("datetime64[s]"),
        code_offsets=offsets_from_sizes(np.bincount(visit, minlength=len(order))),
        code=events.code[entry],
        value=events.numeric_value[entry],
        units=events.units,
        unit=events.unit[entry],
        value_fault=events.value_fault[entry],
    )
    return visits, len(events) - len(entry)


def _order_ties(
    order: np.ndarray, keys: np.ndarray, group: np.ndarray, entries: np.ndarray, events: Events
) -> np.ndarray:
    """Order visits that are equal in every key by their sorted entries: time in the visit, code, value, unit and fault.

    Nothing else distinguishes such visits except the order of rows and the names of encounters, which must have no
    influence. Codes are numbered in the order of their texts, so the codes of other subjects change no comparison.

    Args:
        order: Groups in the order of their keys.
        keys: The keys of every group, [key, group].
        group: Group of each event.
        entries: One integer per event for its time in the visit and its code.
        events: All events, for their values, units and faults.

    Returns:
        ``order`` with each run of equal groups reordered.
    """
    same = (keys[:, order[1:]] == keys[:, order[:-1]]).all(axis=0)
    if not same.any():
        return order
    run = np.cumsum(np.concatenate([[True], ~same]))
    tied = np.flatnonzero(np.concatenate([[False], same]) | np.concatenate([same, [False]]))
    is_tied = np.zeros(int(group.max()) + 1, dtype=bool)
    is_tied[order[tied]] = True
    entry = np.flatnonzero(is_tied[group])
    value = np.nan_to_num(events.numeric_value[entry], nan=np.inf)
    unit, fault = events.unit[entry], events.value_fault[entry]
    by_content = np.lexsort([fault, unit, value, entries[entry], group[entry]])
    entry = entry[by_content]
    groups, first = np.unique(group[entry], return_index=True)
    parts = [
        np.split(column, first[1:]) for column in (entries[entry], *(each[by_content] for each in (value, unit, fault)))
    ]
    content = {int(name): tuple(map(tuple, part)) for name, *part in zip(groups, *parts, strict=True)}
    ordered = order.copy()
    ordered[tied] = order[sorted(tied, key=lambda position: (run[position], content[int(order[position])]))]
    return ordered


def _sort_entries(visit: np.ndarray, second: np.ndarray, events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Sort entries by visit, time in the visit, code, value and unit, and leave out repeated ones.

    The first three are combined into one integer, because sorting takes most of the time of ``group_visits``, and one
    key sorts faster than three. Values and units are compared only among entries that share this key.

    Args:
        visit: Rank of the visit of each entry.
        second: Seconds between the first entry of the visit and the entry.
        events: The entries. Two entries without a number are equal.

    Returns:
        Visit and index of each entry kept, in the new order.
    """
    n_codes, n_seconds = len(events.codes), int(second.max(initial=0)) + 1
    if (int(visit.max(initial=0)) + 1) * n_seconds * n_codes >= 2**63:
        raise SourceError(
            "data.visits.window_hours must be short enough to sort the entries of a visit by the second; "
            "lower data.visits.window_hours"
        )
    key = (visit * n_seconds + second) * n_codes + events.code
    order = np.argsort(key)
    key = key[order]
    same = key[1:] == key[:-1]
    in_run = np.flatnonzero(np.concatenate([[False], same]) | np.concatenate([same, [False]]))
    keep = np.ones(len(key), dtype=bool)
    if len(in_run):
        entry = order[in_run]
        fault, unit, value = events.value_fault[entry], events.unit[entry], events.numeric_value[entry]
        by_value = np.lexsort([fault, unit, value, key[in_run]])
        order[in_run] = entry[by_value]
        run_key, value, unit = key[in_run], value[by_value], unit[by_value]
        equal_value = (value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))
        is_equal = (run_key[1:] == run_key[:-1]) & equal_value & (unit[1:] == unit[:-1])
        keep[in_run] = np.concatenate([[True], ~is_equal])
    return key[keep] // (n_seconds * n_codes), order[keep]
