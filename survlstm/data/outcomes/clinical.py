"""Outcomes that the records contain: death, and the first occurrence of a code.

The labels are those of ``docs/conventions.md``, section "Labels".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.death_codes import is_death_code
from survlstm.data.events import Events
from survlstm.data.known_times import KnownTimes, RecordLimits
from survlstm.data.outcomes.labels import (
    dies_observed,
    follow_up_end,
    is_followed_after_visits,
    record_limits,
    refuse_unknown_codes,
    step_end_times,
)
from survlstm.data.outcomes.protocol import Labels, ObservedFollowUp
from survlstm.data.visits import Visits
from survlstm.utils.errors import OutcomeError


@dataclass(frozen=True)
class DeathOutcome:
    """Death after the last visit; entries that can have been made on the day of death are not inputs.

    A death after the end of observation is no event: the subject is censored.

    The methods are those of ``survlstm.data.outcomes.protocol.Outcome``.
    """

    def observed(self, events: Events, times: KnownTimes) -> Bool[np.ndarray, " event"]:
        """Mark the entries before the death.

        Dated entries must lie before the day of death, timed entries before the earliest moment at which that day can
        begin in any time zone.

        Args:
            events: Events of all subjects of the source.
            times: Known times of these events.

        Returns:
            True for each entry before the death and within the observation, in the order of ``events``.
        """
        limits = RecordLimits.from_days(events.subjects.death, tolerance=events.day_tolerance)
        is_before = limits.contain(times, events.subject) & record_limits(events).contain(times, events.subject)
        return is_before & ~(times.is_dated & (times.day >= limits.day[events.subject]))

    def follow_up(self, visits: Visits) -> ObservedFollowUp:
        """Observe every visit; a subject who died has one step more, from the last visit to the death.

        Args:
            visits: Visits of all subjects of the source, formed of the observed entries.

        Returns:
            Follow-up of every subject; the time of an event is the midnight with which the day of death begins, and no
            subject is prevalent.
        """
        died = dies_observed(visits.subjects)
        steps = visits.visits_per_subject - np.where(died, 0, 1)
        never = np.zeros(len(died), dtype=bool)
        death = np.where(died, visits.subjects.death, np.datetime64("NaT"))
        return ObservedFollowUp(
            visits.visits_per_subject,
            steps,
            died,
            prevalent=never,
            event_time=death,
            continues=~died & is_followed_after_visits(visits),
        )

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Label subjects with n visits: the dead with the event in step n-1, the living as censored in step n-2.

        Args:
            visits: Observed visits of the cohort.
            is_training: Training subjects of the cohort; nothing is fitted, but one of them must have died.

        Returns:
            Labels of the cohort; the end is the day of death (midnight), or the end of follow-up of the others. A
            warning counts the deaths after the end of observation.

        Raises:
            OutcomeError: If no training subject died.
        """
        died = dies_observed(visits.subjects)
        unobserved = int((~np.isnat(visits.subjects.death) & ~died).sum())
        if not died[is_training].any():
            raise OutcomeError(
                f"outcome=death needs deaths among the training subjects; found 0 in {int(is_training.sum())}"
                f"{f' (and after the end of observation in the whole cohort {unobserved})' if unobserved else ''}. "
                "Use a larger cohort or another outcome"
            )
        step = visits.visits_per_subject - np.where(died, 1, 2)
        warning = (
            f"deaths after the end of the subject's observation, which are no events: {unobserved}. These subjects are "
            "censored at that end"
        )
        return Labels(
            step,
            died,
            end_time=np.where(died, visits.subjects.death, follow_up_end(visits)),
            warnings=(warning,) if unobserved else (),
        )


@dataclass(frozen=True)
class FirstCodeOutcome:
    """First occurrence of any of some codes; the event happens in the step that ends with the visit that records it.

    The methods are those of ``survlstm.data.outcomes.protocol.Outcome``.

    Attributes:
        codes: Qualifying codes, such as ``SNOMED/44054006``.
    """

    codes: list[str]

    def observed(self, events: Events, times: KnownTimes) -> Bool[np.ndarray, " event"]:
        """Mark qualifying entries, and all others known before the first qualifying one can have been known.

        A treatment that is entered together with the diagnosis is therefore not an input of the step that predicts the
        diagnosis.

        Args:
            events: Events of all subjects of the source.
            times: Known times of these events.

        Returns:
            True for each of these entries, in the order of ``events``; false for all entries after the day of a death
            and after the end of observation.
        """
        limits = record_limits(events)
        is_qualifying = np.isin(events.codes, self.codes)[events.code] & limits.contain(times, events.subject)
        limits = limits.lowered(
            times.take(is_qualifying), events.subject[is_qualifying], tolerance=events.day_tolerance
        )
        return is_qualifying | limits.contain(times, events.subject)

    def follow_up(self, visits: Visits) -> ObservedFollowUp:
        """Observe the visits up to the first one with a qualifying code; visit 0 makes a subject prevalent.

        Args:
            visits: Visits of all subjects of the source, formed of the observed entries.

        Returns:
            Follow-up of every subject; the time of an event is that of the visit with the qualifying code.
        """
        first = self._first_qualifying_visit(visits)
        event = first < visits.visits_per_subject
        observed = np.where(event, first + 1, visits.visits_per_subject)
        event_time = np.full(len(event), np.datetime64("NaT"), dtype="datetime64[s]")
        event_time[event] = visits.visit_time[(visits.visit_offsets[:-1] + first)[event]]
        return ObservedFollowUp(
            observed,
            observed - 1,
            event,
            prevalent=event & (first == 0),
            event_time=event_time,
            continues=~event & is_followed_after_visits(visits),
        )

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """Label subjects with n observed visits; events and censored subjects both end in step n-2.

        The event is that the last observed visit has a qualifying code.

        Args:
            visits: Observed visits of the cohort, at least two of each subject.
            is_training: Training subjects of the cohort; nothing is fitted, but one of them must have the event.

        Returns:
            Labels of the cohort; the end is the time of the visit with the event, else the end of follow-up. A warning
            names qualifying codes that are absent from the export although it uses their coding system.

        Raises:
            OutcomeError: If a code is entered only because a patient has died, if none of the codes occurs in the
                export, or if no training subject has the event.
        """
        _refuse_death_codes(self.codes)
        refuse_unknown_codes(self.codes, visits.codes, key="outcome.codes")
        event = self._first_qualifying_visit(visits) < visits.visits_per_subject
        if not event[is_training].any():
            raise OutcomeError(
                f"the outcome needs a training subject with one of its {len(self.codes)} codes after the first visit; "
                f"found 0 events in {int(is_training.sum())} subjects. Use a larger cohort, another outcome, or other "
                "outcome.codes"
            )
        # A code of a coding system that the export does not use at all is expected to be absent.
        systems = {str(code).split("/")[0] for code in visits.codes}
        absent = [code for code in self.codes if code not in visits.codes and code.split("/")[0] in systems]
        warning = f"of the outcome's {len(self.codes)} codes these occur nowhere in the export: {', '.join(absent)}"
        warnings = (warning,) if absent else ()
        step = visits.visits_per_subject - 2
        end_time = np.where(event, step_end_times(visits, step), follow_up_end(visits))
        return Labels(step, event, end_time=end_time, warnings=warnings)

    def _first_qualifying_visit(self, visits: Visits) -> Int64[np.ndarray, " subject"]:
        """Return the number of visits before the first one with a qualifying code, or of all visits without one."""
        qualifying = np.isin(visits.codes, self.codes)[visits.code]
        visit = np.repeat(np.arange(len(visits.visit_time)), visits.codes_per_visit)[qualifying]
        subject = visits.visit_subject[visit]
        first = visits.visits_per_subject.copy()
        np.minimum.at(first, subject, visit - visits.visit_offsets[subject])
        return first


def _refuse_death_codes(codes: list[str]) -> None:
    """Raise an error if one of the codes is entered only because a patient has died."""
    named = sorted(set(np.array(codes)[is_death_code(np.array(codes))].tolist()))
    if named:
        raise OutcomeError(
            f"outcome.codes must not contain codes that are entered only because a patient has died, because these are "
            f"left out of the records; found {', '.join(named)}. Set outcome=death"
        )
