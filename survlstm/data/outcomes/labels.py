"""Protocol of an outcome, and the follow-up and labels that it returns."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64

from survlstm.data.events import Events, Subjects
from survlstm.data.known_times import KnownTimes, RecordLimits
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError


@dataclass(frozen=True)
class ObservedFollowUp:
    """Follow-up of every subject of a source, before any subject is excluded.

    Attributes:
        visits: Number of observed visits, from the first.
        steps: Number of steps at risk; 0 means no follow-up.
        event: Whether the outcome ends the observed visits; false for all before a synthetic outcome is drawn.
        prevalent: Whether the subject had the outcome at visit 0.
        event_time: ``datetime64[s]`` [subject], the time of the event; NaT without one.
    """

    visits: Int64[np.ndarray, " subject"]
    steps: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    prevalent: Bool[np.ndarray, " subject"]
    event_time: np.ndarray


@dataclass(frozen=True)
class Labels:
    """Labels of the cohort on the visit clock.

    Attributes:
        step: Last step at risk, see ``survlstm.survival.steps``.
        event: Whether the event happened in that step.
        end_time: ``datetime64[s]`` [subject], the time of the event or of the end of follow-up.
        oracle_hazard: Hazard at every visit that a synthetic outcome was drawn from; None for other outcomes.
        facts: Figures by name, for the log and metrics.json.
        warnings: Sentences that say what is wrong and what to change.
    """

    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    end_time: np.ndarray
    oracle_hazard: Float32[np.ndarray, " visit"] | None = None
    facts: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@runtime_checkable
class Outcome(Protocol):
    """Protocol of an outcome, a swap point: ``outcome`` of the config names any class that fulfils it.

    ``prepare`` calls the three methods in the order in which they stand here.
    """

    def observed(self, events: Events, times: KnownTimes) -> Bool[np.ndarray, " event"]:
        """Mark the entries that may be used: those known before the outcome, and those that record it.

        All other entries are left out before visits are formed, so that they can neither be an input nor move a visit.

        Args:
            events: Events of all subjects of the source.
            times: Known times of these events.

        Returns:
            True for each entry that may be used, in the order of ``events``.
        """

    def follow_up(self, visits: Visits) -> ObservedFollowUp:
        """Determine the number of observed visits and of steps at risk of each subject.

        Args:
            visits: Visits of all subjects of the source, formed of the observed entries.

        Returns:
            Follow-up of every subject, in the order of ``visits.subjects``.
        """

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Label the subjects of the cohort.

        Args:
            visits: Observed visits of the cohort, nothing else.
            is_training: Training subjects of the cohort; whatever is fitted is fitted on these.

        Returns:
            Labels on the visit clock, in the order of ``visits.subjects``.

        Raises:
            OutcomeError: If the outcome can't be derived from these records.
        """


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


def end_of_death_day(subjects: Subjects) -> np.ndarray:
    """Return the midnight after the day of death.

    Args:
        subjects: Subjects of a source or a cohort.

    Returns:
        ``datetime64[s]`` [subject], NaT for the living.
    """
    return subjects.death + np.timedelta64(1, "D")


def refuse_unknown_codes(requested: list[str], known: np.ndarray, *, key: str) -> None:
    """Raise an error if none of the requested codes occurs in the export.

    The message suggests a coding system with a similar name. It suggests no code, because codes with similar digits do
    not have similar meanings.

    Args:
        requested: Codes from the config.
        known: Distinct codes of the export.
        key: Key of the config that holds the requested codes, for the message.

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
        f"the outcome needs at least one of its {len(requested)} codes in the export; found none of "
        f"{', '.join(requested)} among the export's {len(known)} codes.{hint} Set other codes in {key}, or choose "
        "another outcome"
    )
