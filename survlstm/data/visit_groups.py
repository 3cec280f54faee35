"""The visit that each event belongs to, by the rules of ``survlstm.data.visits.group_visits``."""

from __future__ import annotations

import numpy as np

from survlstm.data.events import Events
from survlstm.data.known_times import DAY_SECONDS


def group_by_day(subject: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return the group of each event: one group per subject and calendar day.

    Args:
        subject: Subject of each event.
        seconds: Time by which each event was known, in seconds since 1970.
    """
    return np.unique((subject.astype(np.int64) << 32) + seconds // DAY_SECONDS, return_inverse=True)[1]


def group_by_window(subject: np.ndarray, seconds: np.ndarray, window: int) -> np.ndarray:
    """Return the group of each event: a group lasts ``window`` seconds from its first entry.

    Args:
        subject: Subject of each event.
        seconds: Time by which each event was known, in seconds since 1970.
        window: Length in seconds.
    """
    order = np.lexsort([seconds, subject])
    # All subjects on one sorted axis, further apart than a window, so that no window reaches the next subject.
    span = int(np.ptp(seconds)) + window + 1 if len(seconds) else 1
    axis = subject[order].astype(np.int64) * span + (seconds[order] - seconds.min(initial=0))
    is_start = np.zeros(len(axis), dtype=bool)
    first = np.flatnonzero(np.diff(subject[order], prepend=-1))
    end = np.append(first[1:], len(axis))
    # Each round finds the next visit of every subject at once: as many rounds as the longest record has visits.
    while len(first):
        is_start[first] = True
        following = np.searchsorted(axis, axis[first] + window)
        inside = following < end
        first, end = following[inside], end[inside]
    group = np.empty(len(axis), dtype=np.int64)
    group[order] = np.cumsum(is_start) - 1
    return group


def group_by_encounter(events: Events, seconds: np.ndarray, window: int) -> np.ndarray:
    """Return the group of each event: one group per ``window`` seconds of an encounter.

    Args:
        events: All events.
        seconds: Time by which each event was known, in seconds since 1970.
        window: Length in seconds.

    Returns:
        Numbers that need not be consecutive; an event without an encounter joins a visit of its day.
    """
    encounter = events.encounter.astype(np.int64)
    inside = encounter >= 0
    n_encounters = int(encounter.max(initial=-1)) + 1
    first = np.full(n_encounters, np.iinfo(np.int64).max)
    np.minimum.at(first, encounter[inside], seconds[inside])
    # The number of whole windows between the first entry of the encounter and the entry.
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
    """Return the groups of the events without an encounter.

    Args:
        events: All events.
        seconds: Time by which each event was known, in seconds since 1970.
        group: Group of each event with an encounter; ignored for the others.
        without: True for the events without an encounter.
        next_group: First number that is free for new groups.

    Returns:
        For each event without an encounter, the group of the first visit of an encounter that begins on that day,
        otherwise a new group of the subject and the day.
    """
    day = (events.subject.astype(np.int64) << 32) + seconds // DAY_SECONDS
    begin = np.full(next_group, np.iinfo(np.int64).max)
    np.minimum.at(begin, group[~without], seconds[~without])
    owner = np.zeros(next_group, dtype=np.int64)
    owner[group[~without]] = events.subject[~without]
    used = np.flatnonzero(begin < np.iinfo(np.int64).max)
    used = used[np.lexsort([begin[used], owner[used]])]
    visit_day, first_of_day = np.unique((owner[used] << 32) + begin[used] // DAY_SECONDS, return_index=True)
    index = np.searchsorted(visit_day, day[without])
    has_visit = np.zeros(len(index), dtype=bool)
    within = index < len(visit_day)
    has_visit[within] = visit_day[index[within]] == day[without][within]
    joined = next_group + np.unique(day[without], return_inverse=True)[1]
    joined[has_visit] = used[first_of_day[index[has_visit]]]
    return joined
