"""Visits of the entries that were known before the outcome and the death."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from survlstm.data.cohort_file import TimesFile
from survlstm.data.death_codes import is_death_code
from survlstm.data.events import Events
from survlstm.data.known_times import known_times
from survlstm.data.landmark import landmark_time
from survlstm.data.outcomes.protocol import Outcome
from survlstm.data.prediction_times import PredictionTimes, prediction_times
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.visit_splits import SplitTimes
from survlstm.data.visits import Visits, group_visits, groupable_events, take_events


class GroupedVisits(NamedTuple):
    """Visits of the observed entries.

    Attributes:
        visits: Visits of all subjects of the source.
        landmark: ``datetime64[s]`` [subject], the landmark; NaT on the other clocks and for subjects without one.
        entries_left_out: Number of entries that belong to no visit, by reason.
        times: Prediction times of the days clock; None on the other clocks.
    """

    visits: Visits
    landmark: np.ndarray
    entries_left_out: dict[str, int]
    times: PredictionTimes | None = None


def group_observed(
    events: Events,
    outcome: Outcome,
    settings: PreparationSettings,
    *,
    given_landmark: np.ndarray | None = None,
    files: Sequence[TimesFile] = (),
    given_times: PredictionTimes | None = None,
    keeps_training: Bool[np.ndarray, " subject"] | None = None,
) -> GroupedVisits:
    """Leave out what was known at or after the outcome or the death, and group the rest into visits.

    Codes that are entered only because a patient has died are left out too. No visit spans the landmark or a
    prediction time of its subject, except for ``keeps_training``. See ``docs/conventions.md``, section "Inputs".

    Args:
        events: All events of the source.
        outcome: Outcome that decides which entries are observed.
        settings: Grouping, window and landmark.
        given_landmark: ``datetime64[s]`` [subject], landmarks that are not computed from the visits; None otherwise.
        files: Content of the files of prediction times, in the order of ``settings.days.files``.
        given_times: Prediction times to use on the days clock in place of those of the settings; None computes them.
        keeps_training: Subjects whose visits are split only at times to train on, see ``PredictionTimes.split_times``;
            None for no subject.

    Returns:
        Visits of all subjects, the landmark of each, and the number of entries left out for each reason.

    Raises:
        SourceError: If ``settings.window_hours`` is too long, see ``group_visits``.
    """
    groupable = groupable_events(events, grouping=settings.grouping)
    known = known_times(groupable)
    of_death = is_death_code(groupable.codes)[groupable.code]
    is_observed = outcome.observed(groupable, known)
    is_kept = is_observed & ~of_death
    kept, known_by = take_events(groupable, is_kept), known.latest[is_kept]
    in_turns = settings.days is not None and settings.days.in_turns
    visits, repeated = group_visits(
        kept, grouping=settings.grouping, window_hours=settings.window_hours, in_turns=in_turns, known_by=known_by
    )
    landmark = np.full(len(events.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    times = None
    split_at = None
    # A prediction time can be that of a visit or be counted from one, so visits are formed once to find it and once
    # more, split at it.
    if settings.landmark is not None:
        landmark = landmark_time(visits, settings.landmark) if given_landmark is None else given_landmark
        split_at = SplitTimes.one_each(landmark)
    if settings.days is not None:
        times = prediction_times(visits, settings.days, files) if given_times is None else given_times
        split_at = times.split_times(keeps_training)
    if split_at is not None:
        visits, repeated = group_visits(
            kept,
            grouping=settings.grouping,
            window_hours=settings.window_hours,
            in_turns=in_turns,
            split_at=split_at,
            known_by=known_by,
        )
    left_out = {
        "no encounter": len(events) - len(groupable),
        "code that only a death brings": int(of_death.sum()),
        "known at or after the event, or after the death": int((~is_observed & ~of_death).sum()),
        "same visit, time, code and value as another row": repeated,
    }
    return GroupedVisits(visits, landmark, left_out, times)
