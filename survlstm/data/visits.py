"""Events → visits: what was known about a subject at one time, in order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64

from survlstm.data.events import Events, Subjects
from survlstm.data.known_times import DAY_SECONDS, known_times
from survlstm.data.ragged import flat_positions
from survlstm.utils.errors import SourceError


@dataclass(frozen=True)
class Visits:
    """Visits of each subject in order of time, ragged: subject → visits by ``visit_offsets``, visit → codes.

    ``visit_time`` (datetime64[s]) is the time of a visit's *last* entry: nothing in a visit is dated after it. ``code``
    numbers ``codes``. Visits at the same time are ordered by content, so that no order of rows shows through.
    """

    subjects: Subjects
    codes: np.ndarray
    visit_offsets: Int64[np.ndarray, " subject_offset"]
    visit_time: np.ndarray
    code_offsets: Int64[np.ndarray, " visit_offset"]
    code: Int32[np.ndarray, " code"]

    @property
    def visits_per_subject(self) -> Int64[np.ndarray, " subject"]:
        """How many visits each subject has."""
        return np.diff(self.visit_offsets)

    @property
    def codes_per_visit(self) -> Int64[np.ndarray, " visit"]:
        """How many codes each visit has."""
        return np.diff(self.code_offsets)

    @property
    def visit_subject(self) -> Int64[np.ndarray, " visit"]:
        """The number of the subject that each visit belongs to."""
        return np.repeat(np.arange(len(self.subjects)), self.visits_per_subject)


def groupable_events(events: Events, *, grouping: str) -> Events:
    """The entries that a grouping can place: with *encounter* those that name one, else all.

    Taken before an outcome looks at them: an outcome seen in an entry that makes no visit would cut a record at its
    event and then call it censored.
    """
    return take_events(events, events.encounter >= 0) if grouping == "encounter" else events


def group_visits(
    events: Events,
    *,
    grouping: str,
    window_hours: float,
    split_at: np.ndarray | None = None,
    known_by: Int64[np.ndarray, " event"] | None = None,
) -> tuple[Visits, int]:
    """Visits, and how many entries repeat another one (same visit, time, code and value).

    ``known_by`` holds ``KnownTimes.latest`` of the entries; None derives it from them.

    *same_day*: one visit a calendar day. *time_window*: a visit reaches ``window_hours`` from its first entry.
    *encounter*: one visit an encounter. *hybrid*: encounters, and entries without one join the subject's first
    encounter of that day, or make a visit of their own. An encounter that lasts (a nursing home, a hospice) is split
    every ``window_hours``, or its beginning would show what was entered at its end.

    ``split_at`` (datetime64[s] [subject], NaT for none) makes two of a visit that reaches across that time: entered
    afterwards, an entry would else take the beginning of its visit along.
    """
    if known_by is None:
        known_by = known_times(events).latest
    window = int(window_hours * 3600)
    if grouping == "same_day":
        group = _group_by_day(events.subject, known_by)
    elif grouping == "time_window":
        group = _group_by_window(events.subject, known_by, window)
    else:
        group = _group_by_encounter(events, known_by, window)
    if split_at is not None:
        # A comparison with NaT is false: who has no such time keeps every visit whole.
        group = 2 * group + (known_by.astype("datetime64[s]") > split_at[events.subject])
    return _assemble(events, known_by, group)


def cut_visits(visits: Visits, subject: Int[np.ndarray, " kept"], *, stop: Int[np.ndarray, " kept"]) -> Visits:
    """The visits 0..``stop``-1 of each of the named subjects, and nothing else."""
    kept_visits = flat_positions(visits.visit_offsets[subject], stop)
    codes = visits.codes_per_visit[kept_visits]
    people = visits.subjects
    return Visits(
        subjects=Subjects(people.subject_id[subject], people.birth[subject], people.death[subject]),
        codes=visits.codes,
        visit_offsets=offsets_from_sizes(stop),
        visit_time=visits.visit_time[kept_visits],
        code_offsets=offsets_from_sizes(codes),
        code=visits.code[flat_positions(visits.code_offsets[:-1][kept_visits], codes)],
    )


def take_events(events: Events, kept: Bool[np.ndarray, " event"]) -> Events:
    """The events where ``kept`` is true."""
    return replace(
        events,
        subject=events.subject[kept],
        code=events.code[kept],
        time=events.time[kept],
        encounter=events.encounter[kept],
        numeric_value=events.numeric_value[kept],
    )


def offsets_from_sizes(sizes: Int[np.ndarray, " row"]) -> Int64[np.ndarray, " row_offset"]:
    """Where each row begins, and the end of the last."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _group_by_day(subject: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    return np.unique((subject.astype(np.int64) << 32) + seconds // DAY_SECONDS, return_inverse=True)[1]


def _group_by_window(subject: np.ndarray, seconds: np.ndarray, window: int) -> np.ndarray:
    order = np.lexsort([seconds, subject])
    # One sorted axis for all subjects: further apart than any window, so that a window never reaches the next subject.
    span = int(np.ptp(seconds)) + window + 1 if len(seconds) else 1
    axis = subject[order].astype(np.int64) * span + (seconds[order] - seconds.min(initial=0))
    is_start = np.zeros(len(axis), dtype=bool)
    first = np.flatnonzero(np.diff(subject[order], prepend=-1))
    end = np.append(first[1:], len(axis))
    while len(first):
        is_start[first] = True
        following = np.searchsorted(axis, axis[first] + window)
        inside = following < end
        first, end = following[inside], end[inside]
    group = np.empty(len(axis), dtype=np.int64)
    group[order] = np.cumsum(is_start) - 1
    return group


def _group_by_encounter(events: Events, seconds: np.ndarray, window: int) -> np.ndarray:
    encounter = events.encounter.astype(np.int64)
    inside = encounter >= 0
    n_encounters = int(encounter.max(initial=-1)) + 1
    first = np.full(n_encounters, np.iinfo(np.int64).max)
    np.minimum.at(first, encounter[inside], seconds[inside])
    part = np.zeros(len(encounter), dtype=np.int64)
    part[inside] = (seconds[inside] - first[encounter[inside]]) // window
    group = encounter.copy()
    late = part > 0
    pairs = encounter[late] * (part.max(initial=0) + 1) + part[late]
    extra, group[late] = np.unique(pairs, return_inverse=True)
    group[late] += n_encounters
    if not inside.all():
        group[~inside] = _join_same_day(events, seconds, group, ~inside, n_encounters + len(extra))
    return group


def _join_same_day(
    events: Events, seconds: np.ndarray, group: np.ndarray, without: np.ndarray, next_group: int
) -> np.ndarray:
    """Groups for the entries without an encounter: the first encounter visit of that day, else one of their own."""
    day = (events.subject.astype(np.int64) << 32) + seconds // DAY_SECONDS
    begin = np.full(next_group, np.iinfo(np.int64).max)
    np.minimum.at(begin, group[~without], seconds[~without])
    owner = np.zeros(next_group, dtype=np.int64)
    owner[group[~without]] = events.subject[~without]
    used = np.flatnonzero(begin < np.iinfo(np.int64).max)
    used = used[np.lexsort([begin[used], owner[used]])]
    visit_day, first_of_day = np.unique((owner[used] << 32) + begin[used] // DAY_SECONDS, return_index=True)
    place = np.searchsorted(visit_day, day[without])
    found = np.zeros(len(place), dtype=bool)
    within = place < len(visit_day)
    found[within] = visit_day[place[within]] == day[without][within]
    own = next_group + np.unique(day[without], return_inverse=True)[1]
    own[found] = used[first_of_day[place[found]]]
    return own


def _assemble(events: Events, seconds: np.ndarray, group: np.ndarray) -> tuple[Visits, int]:
    """Visits in order from any numbering of groups, and the number of repeated entries left out."""
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
    order = _order_ties(order, np.stack([owner, end, start, size]), group, entries)
    rank = np.empty(n_groups, dtype=np.int64)
    rank[order] = np.arange(len(order))

    visit, code, repeated = _sort_entries(
        rank[group], seconds - start[group], events.code, events.numeric_value, len(events.codes)
    )
    return Visits(
        subjects=events.subjects,
        codes=events.codes,
        visit_offsets=offsets_from_sizes(np.bincount(owner[order], minlength=len(events.subjects))),
        visit_time=end[order].astype("datetime64[s]"),
        code_offsets=offsets_from_sizes(np.bincount(visit, minlength=len(order))),
        code=code,
    ), repeated


def _order_ties(order: np.ndarray, keys: np.ndarray, group: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Visits that tie on every key, put in the order of their sorted ``entries`` (time in the visit and code).

    That is the only thing left that is their own. Codes are numbered in the order of their names, so codes that other
    subjects bring change no comparison.
    """
    same = (keys[:, order[1:]] == keys[:, order[:-1]]).all(axis=0)
    if not same.any():
        return order
    run = np.cumsum(np.concatenate([[True], ~same]))
    place = np.flatnonzero(np.concatenate([[False], same]) | np.concatenate([same, [False]]))
    is_tied = np.zeros(int(group.max()) + 1, dtype=bool)
    is_tied[order[place]] = True
    entry = np.flatnonzero(is_tied[group])
    entry = entry[np.lexsort([entries[entry], group[entry]])]
    names, first = np.unique(group[entry], return_index=True)
    content = {int(name): tuple(part) for name, part in zip(names, np.split(entries[entry], first[1:]), strict=True)}
    ordered = order.copy()
    ordered[place] = order[sorted(place, key=lambda at: (run[at], content[int(order[at])]))]
    return ordered


def _sort_entries(
    visit: np.ndarray, second: np.ndarray, code: np.ndarray, value: np.ndarray, n_codes: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Entries by visit, time in the visit and code, each once; one integer key, because sorting it is what costs."""
    n_seconds = int(second.max(initial=0)) + 1
    if (int(visit.max(initial=0)) + 1) * n_seconds * n_codes >= 2**63:
        raise SourceError("a visit's window must be short enough to sort by the second; lower data.visits.window_hours")
    key = (visit * n_seconds + second) * n_codes + code
    order = np.argsort(key)
    key = key[order]
    same = key[1:] == key[:-1]
    in_run = np.flatnonzero(np.concatenate([[False], same]) | np.concatenate([same, [False]]))
    keep = np.ones(len(key), dtype=bool)
    if len(in_run):
        run_value = value[order[in_run]]
        by_value = np.lexsort([run_value, key[in_run]])
        run_key, run_value = key[in_run][by_value], run_value[by_value]
        equal_value = (run_value[1:] == run_value[:-1]) | (np.isnan(run_value[1:]) & np.isnan(run_value[:-1]))
        keep[in_run] = np.concatenate([[True], ~((run_key[1:] == run_key[:-1]) & equal_value)])
    key = key[keep]
    return key // (n_seconds * n_codes), (key % n_codes).astype(np.int32), int((~keep).sum())
