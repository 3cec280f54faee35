"""Visits → labels from what the records say: death, or the first occurrence of a code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.events import Events
from survlstm.data.outcomes.labels import FollowUp, Labels, end_of_death_day, end_of_steps, refuse_unknown_codes
from survlstm.data.visits import Visits
from survlstm.errors import OutcomeError

DAY_SECONDS = 86400


@dataclass(frozen=True)
class DeathOutcome:
    """Death after the last visit; the death certificate and whatever else bears the day's date is never an input."""

    def inputs_end(self, events: Events) -> np.ndarray:
        """The day of death itself is cut: it holds the certificate and the cause."""
        return events.subjects.death

    def follow_up(self, visits: Visits) -> FollowUp:
        """Every visit before the day of death."""
        died = ~np.isnat(visits.subjects.death)
        steps = visits.visits_per_subject - np.where(died, 0, 1)
        never = np.zeros(len(died), dtype=bool)
        return FollowUp(visits.visits_per_subject, steps, died, prevalent=never, event_time=visits.subjects.death)

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """n visits: the dead have the event at step n-1, on the day they died; the living are censored at step n-2."""
        died = ~np.isnat(visits.subjects.death)
        if not died[is_training].any():
            raise OutcomeError(
                f"outcome=death needs deaths among the training subjects; found 0 in {int(is_training.sum())}. "
                "Use a larger cohort or another outcome"
            )
        step = visits.visits_per_subject - np.where(died, 1, 2)
        return Labels(step, died, end_time=np.where(died, visits.subjects.death, end_of_steps(visits, step)))


@dataclass(frozen=True)
class FirstCodeOutcome:
    """First occurrence of any of ``codes``, in the step before the visit that records it."""

    codes: list[str]

    def inputs_end(self, events: Events) -> np.ndarray:
        """Whatever is dated after the first qualifying entry is cut; where that bears a date only, after its day.

        Cut before visits are made: an entry of the afternoon must not move a visit of the morning behind the event.
        """
        qualifying = np.isin(events.codes, self.codes)[events.code]
        seconds = events.time[qualifying].astype(np.int64)
        behind = np.where(seconds % DAY_SECONDS == 0, seconds + DAY_SECONDS, seconds + 1)
        end = end_of_death_day(events.subjects).astype(np.int64)
        never = np.iinfo(np.int64).max
        end = np.where(np.isnat(events.subjects.death), never, end)
        np.minimum.at(end, events.subject[qualifying], behind)
        return np.where(end == never, np.datetime64("NaT"), end.astype("datetime64[s]"))

    def follow_up(self, visits: Visits) -> FollowUp:
        """Up to and including the first visit with a qualifying code; prevalent where that is visit 0."""
        first = self._first_qualifying_visit(visits)
        event = first < visits.visits_per_subject
        observed = np.where(event, first + 1, visits.visits_per_subject)
        event_time = np.full(len(event), np.datetime64("NaT"), dtype="datetime64[s]")
        event_time[event] = visits.visit_time[(visits.visit_offsets[:-1] + first)[event]]
        return FollowUp(observed, observed - 1, event, prevalent=event & (first == 0), event_time=event_time)

    def label(self, visits: Visits, *, is_training: Bool[np.ndarray, " subject"]) -> Labels:
        """The event, where the last observed visit records it, and the censored both end at step n-2."""
        refuse_unknown_codes(self.codes, visits.codes, key="outcome.codes")
        event = self._first_qualifying_visit(visits) < visits.visits_per_subject
        if not event[is_training].any():
            raise OutcomeError(
                f"the outcome needs a training subject with one of its {len(self.codes)} codes after the first visit; "
                f"found 0 events in {int(is_training.sum())} subjects. Use a larger cohort, another outcome, or other "
                "outcome.codes"
            )
        systems = {str(code).split("/")[0] for code in visits.codes}
        absent = [code for code in self.codes if code not in visits.codes and code.split("/")[0] in systems]
        said = f"of the outcome's {len(self.codes)} codes these occur nowhere in the export: {', '.join(absent)}"
        warnings = (said,) if absent else ()
        step = visits.visits_per_subject - 2
        return Labels(step, event, end_time=end_of_steps(visits, step), warnings=warnings)

    def _first_qualifying_visit(self, visits: Visits) -> Int64[np.ndarray, " subject"]:
        """Number of the first visit with a qualifying code; the subject's number of visits where there is none."""
        qualifying = np.isin(visits.codes, self.codes)[visits.code]
        visit = np.repeat(np.arange(len(visits.visit_time)), visits.codes_per_visit)[qualifying]
        subject = visits.visit_subject[visit]
        first = visits.visits_per_subject.copy()
        np.minimum.at(first, subject, visit - visits.visit_offsets[subject])
        return first
