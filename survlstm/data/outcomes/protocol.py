"""The protocol of an outcome, and the follow-up and labels that it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64

from survlstm.data.events import Events
from survlstm.data.known_times import KnownTimes
from survlstm.data.visits import Visits


@dataclass(frozen=True)
class ObservedFollowUp:
    """Follow-up of every subject of a source, before any subject is excluded.

    Attributes:
        visits: Number of observed visits, from the first.
        steps: Number of steps at risk; 0 means no follow-up.
        event: Whether the outcome ends the observed visits; false for all before a synthetic outcome is drawn.
        prevalent: Whether the subject had the outcome at visit 0.
        event_time: ``datetime64[s]`` [subject], the time of the event; NaT without one.
        continues: Whether the subject is known to be without the event after the last visit, because the source states
            a later end of observation. On the landmark clock such a subject needs no second visit. None stands for
            nobody.
    """

    visits: Int64[np.ndarray, " subject"]
    steps: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    prevalent: Bool[np.ndarray, " subject"]
    event_time: np.ndarray
    continues: Bool[np.ndarray, " subject"] | None = None


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
        codes: Codes that the outcome was drawn from and that no key of the config names, by the key that could.
    """

    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    end_time: np.ndarray
    oracle_hazard: Float32[np.ndarray, " visit"] | None = None
    facts: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    codes: dict[str, list[str]] = field(default_factory=dict)


@runtime_checkable
class Outcome(Protocol):
    """Protocol of an outcome, a swap point: ``outcome`` of the config names any class that fulfils it.

    The constructor is called with the settings of the config's section ``outcome`` as keyword arguments. ``prepare``
    calls the three methods in the order in which they stand here. Labels are those of the visit clock; the landmark
    clock derives its own from them (``docs/conventions.md``).

    The config's key ``drawn`` is not passed to the constructor: ``outcome.drawn=true`` makes every page say that the
    events are drawn by a formula.
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
