"""What every outcome gives: who is followed how long, and the label of those who take part."""

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
    """Visits 0..``visits``-1 of each subject are observed, and ``event`` says whether the outcome ends them.

    ``steps`` is how many steps a subject is at risk in: none means no follow-up. ``prevalent`` subjects had the
    outcome at visit 0. ``event_time`` (datetime64[s] [subject]) is when, NaT where there is no event. A drawn outcome
    has no event yet.
    """

    visits: Int64[np.ndarray, " subject"]
    steps: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    prevalent: Bool[np.ndarray, " subject"]
    event_time: np.ndarray


@dataclass(frozen=True)
class Labels:
    """``step`` and ``event`` on the visit clock, as survlstm.survival.steps defines them.

    ``end_time`` (datetime64[s] [subject]) is when the event happened or follow-up ended. ``oracle_hazard`` is the
    hazard of every visit that drew the event, where the outcome was drawn. ``facts`` are figures for the log and
    metrics.json; ``warnings`` are sentences that say what is wrong and what to change.
    """

    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    end_time: np.ndarray
    oracle_hazard: Float32[np.ndarray, " visit"] | None = None
    facts: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@runtime_checkable
class Outcome(Protocol):
    """A swap point: three questions, asked in this order."""

    def observed(self, events: Events, times: KnownTimes) -> Bool[np.ndarray, " event"]:
        """Which entries may be read: those known before the outcome, and the entries that record it.

        ``times`` are the known times of ``events``. Everything else is left out before visits are made, so that it can
        neither be an input nor move a visit.
        """

    def follow_up(self, visits: Visits) -> ObservedFollowUp:
        """How many visits of each subject are observed."""

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Labels of the subjects that take part; ``visits`` holds their observed visits only.

        Whatever is fitted is fitted on the subjects where ``is_training`` is true.
        """


def step_end_times(visits: Visits, step: Int64[np.ndarray, " subject"]) -> np.ndarray:
    """datetime64[s] [subject]: the time of visit ``step``+1, which ends that step; of the last visit where none is."""
    last = np.minimum(visits.visit_offsets[:-1] + step + 1, visits.visit_offsets[1:] - 1)
    return visits.visit_time[last]


def limits_at_death(events: Events) -> RecordLimits:
    """Limit each record to the day of death: later entries are no care."""
    return RecordLimits.from_days(end_of_death_day(events.subjects), tolerance=-events.day_tolerance)


def end_of_death_day(subjects: Subjects) -> np.ndarray:
    """Return the midnight after the day of death, NaT for the living."""
    return subjects.death + np.timedelta64(1, "D")


def refuse_unknown_codes(asked: list[str], known: np.ndarray, *, key: str) -> None:
    """OutcomeError where the export knows none of the codes that a config's ``key`` names.

    A misspelt coding system is named with the one that it is spelt like. Codes have no such neighbours: digits that
    look alike do not mean alike.
    """
    if np.isin(asked, known).any():
        return
    systems = sorted({str(code).partition("/")[0] for code in known})
    unknown = sorted({code.partition("/")[0] for code in asked} - set(systems))
    meant = [(system, near[0]) for system in unknown if (near := difflib.get_close_matches(system, systems, n=1))]
    hint = f" Write {meant[0][1]}/ for {meant[0][0]}/." if meant else f" Its coding systems: {', '.join(systems)}."
    raise OutcomeError(
        f"the outcome needs at least one of its {len(asked)} codes in the export; found none of {', '.join(asked)} "
        f"among the export's {len(known)} codes.{hint} Set other codes in {key}, or choose another outcome"
    )
