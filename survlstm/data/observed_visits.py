"""Visits of the entries that were known before the outcome and the death."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from survlstm.data.death_codes import is_death_code
from survlstm.data.events import Events
from survlstm.data.known_times import known_times
from survlstm.data.landmark import landmark_time
from survlstm.data.outcomes.protocol import Outcome
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.visits import Visits, group_visits, groupable_events, take_events


class GroupedVisits(NamedTuple):
    """Visits of the observed entries.

    Attributes:
        visits: Visits of all subjects of the source.
        landmark: ``datetime64[s]`` [subject], the landmark; NaT on the visit clock and for subjects without one.
        entries_left_out: Number of entries that belong to no visit, by reason.
    """

    visits: Visits
    landmark: np.ndarray
    entries_left_out: dict[str, int]


def group_observed(
    events: Events, outcome: Outcome, settings: PreparationSettings, *, given_landmark: np.ndarray | None = None
) -> GroupedVisits:
    """Leave out what was known at or after the outcome or the death, and group the rest into visits.

    Codes that are entered only because a patient has died are left out too. On the landmark clock no visit spans the
    landmark of its subject. See ``docs/conventions.md``, section "Inputs".

    Args:
        events: All events of the source.
        outcome: Outcome that decides which entries are observed.
        settings: Grouping, window and landmark.
        given_landmark: ``datetime64[s]`` [subject], landmarks that are not computed from the visits; None otherwise.

    Returns:
        Visits of all subjects, the landmark of each, and the number of entries left out for each reason.

    Raises:
        SourceError: If ``settings.window_hours`` is too long, see ``group_visits``.
    """
    groupable = groupable_events(events, grouping=settings.grouping)
    times = known_times(groupable)
    of_death = is_death_code(groupable.codes)[groupable.code]
    is_observed = outcome.observed(groupable, times)
    is_kept = is_observed & ~of_death
    kept, known_by = take_events(groupable, is_kept), times.latest[is_kept]
    visits, repeated = group_visits(
        kept, grouping=settings.grouping, window_hours=settings.window_hours, known_by=known_by
    )
    landmark = np.full(len(events.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    if settings.landmark is not None:
        # The landmark is the time of a visit or counted from one, so visits are formed once to find it and once more,
        # split at it.
        landmark = landmark_time(visits, settings.landmark) if given_landmark is None else given_landmark
        visits, repeated = group_visits(
            kept,
            grouping=settings.grouping,
            window_hours=settings.window_hours,
            split_at=landmark,
            known_by=known_by,
        )
    left_out = {
        "no encounter": len(events) - len(groupable),
        "code that only a death brings": int(of_death.sum()),
        "known at or after the event, or after the death": int((~is_observed & ~of_death).sum()),
        "same visit, time, code and value as another row": repeated,
    }
    return GroupedVisits(visits, landmark, left_out)
