"""Parts that outcomes share: ends of steps and of records, and the check of an outcome's codes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.events import Events, Subjects
from survlstm.data.known_times import DAY_SECONDS, RecordLimits
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError


def step_end_times(visits: Visits, step: Int64[np.ndarray, " subject"]) -> np.ndarray:
    """Return the time at which a step ends: that of the next visit, or of the last visit if there is no next one.

    Args:
        visits: Visits of the cohort.
        step: Step of each subject.

    Returns:
        ``datetime64[s]`` [subject].
    """
    last = np.minimum(visits.visit_offsets[:-1] + step + 1, visits.visit_offsets[1:] - 1)
    return visits.visit_time[last]


def limits_at_death(events: Events) -> RecordLimits:
    """Limit each record to the day of death; later entries are not care of the subject.

    If the time zone is unknown, times of the day of death can have the date of the next day, so the limit of timed
    entries is ``Events.day_tolerance`` days later.

    Args:
        events: Events of all subjects of the source.

    Returns:
        Limits of the subjects, in the order of ``events.subjects``; ``NEVER`` for the living.
    """
    return RecordLimits.from_days(end_of_death_day(events.subjects), tolerance=-events.day_tolerance)


def record_limits(events: Events) -> RecordLimits:
    """Limit each record to the day of death and to the last day of observation, whichever comes first.

    Args:
        events: Events of all subjects of the source.

    Returns:
        Limits of the subjects, in the order of ``events.subjects``; ``NEVER`` without either.
    """
    at_death, tolerance = limits_at_death(events), -events.day_tolerance
    observed = RecordLimits.from_days(events.subjects.observed_until + np.timedelta64(1, "D"), tolerance=tolerance)
    return RecordLimits(np.minimum(at_death.moment, observed.moment), np.minimum(at_death.day, observed.day))


def dies_observed(subjects: Subjects) -> Bool[np.ndarray, " subject"]:
    """Mark the subjects whose death is observed: on the last day of observation or before.

    Args:
        subjects: Subjects of a source or a cohort.

    Returns:
        False for the living, and for a death after the end of observation.
    """
    # A comparison with NaT is false, so a record without an end of observation never leaves a death unobserved.
    return ~np.isnat(subjects.death) & ~(subjects.death > subjects.observed_until)


def follow_up_end(visits: Visits) -> np.ndarray:
    """Return when a subject without the event was last known to be without it.

    This is the end of the last day of observation, or of the day of death if that comes first; and the last visit where
    the source states no end of observation, or where that visit is later.

    Args:
        visits: Visits of the cohort.

    Returns:
        ``datetime64[s]`` [subject]; NaT for a subject with no visit and no end of observation.
    """
    until = visits.subjects.observed_until
    # A minimum with NaT is NaT: without an end of observation there is none, whenever the subject died.
    until = np.where(np.isnat(visits.subjects.death), until, np.minimum(until, visits.subjects.death))
    return np.fmax(_last_visit_time(visits), until + np.timedelta64(DAY_SECONDS - 1, "s"))


def is_followed_after_visits(visits: Visits) -> Bool[np.ndarray, " subject"]:
    """Mark the subjects whose ``follow_up_end`` is after their last visit.

    Args:
        visits: Visits of all subjects of a source.

    Returns:
        False for a subject without a visit, and where the source states no end of observation.
    """
    # A comparison with NaT is false.
    return follow_up_end(visits) > _last_visit_time(visits)


def _last_visit_time(visits: Visits) -> np.ndarray:
    last = np.full(len(visits.subjects), np.datetime64("NaT"), dtype="datetime64[s]")
    some = visits.visits_per_subject > 0
    last[some] = visits.visit_time[visits.visit_offsets[1:][some] - 1]
    return last


def end_of_death_day(subjects: Subjects) -> np.ndarray:
    """Return the midnight after the day of death.

    Args:
        subjects: Subjects of a source or a cohort.

    Returns:
        ``datetime64[s]`` [subject], NaT for the living.
    """
    return subjects.death + np.timedelta64(1, "D")


def refuse_unknown_codes(requested: Sequence[str], known: np.ndarray, *, key: str, use: str = "the outcome") -> None:
    """Raise an error if none of the requested codes occurs in the export.

    The message suggests a coding system with a similar name. It suggests no code, because codes with similar digits do
    not have similar meanings.

    Args:
        requested: Codes from the config.
        known: Distinct codes of the export.
        key: Key of the config that holds the requested codes, for the message.
        use: What the codes are for, for the message.

    Raises:
        OutcomeError: If no requested code is in ``known``.
    """
    if np.isin(requested, known).any():
        return
    systems = sorted({str(code).partition("/")[0] for code in known})
    unknown = sorted({code.partition("/")[0] for code in requested} - set(systems))
    similar = [(system, near[0]) for system in unknown if (near := difflib.get_close_matches(system, systems, n=1))]
    hint = (
        f" Write {similar[0][1]}/ for {similar[0][0]}/." if similar else f" Its coding systems: {', '.join(systems)}."
    )
    raise OutcomeError(
        f"{use} needs at least one of its {len(requested)} codes in the export; found none of "
        f"{', '.join(requested)} among the export's {len(known)} codes.{hint} Set other codes in {key}, or choose "
        f"another way to define {use}"
    )
