"""Select the visits of each subject that a bundle's model may read, and the subjects that cannot be scored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.cohort_rules import first_visit_time, rule_exclusions
from survlstm.data.events import Events
from survlstm.data.known_times import known_times
from survlstm.data.landmark import landmark_time
from survlstm.data.observed_visits import group_observed
from survlstm.data.outcomes.labels import end_of_death_day, follow_up_end
from survlstm.data.outcomes.protocol import ObservedFollowUp, Outcome
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.visits import Visits, take_events
from survlstm.inference.dates import LONGEST_RECORD_YEARS, record_end_times, spans_more_than_a_life
from survlstm.utils.errors import ConfigError

# The beginning of the reason for a subject that a rule of the cohort leaves out; it holds nothing of the subject.
OUTSIDE = "outside of the cohort that the model was trained on"
NO_BIRTH = "no date of birth (an event with code MEDS_BIRTH), from which the model reads the age"
TOO_LONG = f"the visits lie more than {LONGEST_RECORD_YEARS} years apart, so a date is wrong: correct it, or set as_of"


@dataclass(frozen=True)
class ScoredRecords:
    """Visits of all subjects, with the number that the model may read of each.

    Attributes:
        visits: the visits of all subjects.
        seen: number of visits that the model reads, the first ones of the record; 0 if ``reason`` is set; shape
            (subject,).
        reason: sentence why no visit can be read; "" otherwise; shape (subject,).
        is_ended: True if the outcome or the death happened before the prediction time. The visits before it can still
            be used for predictions at each visit, but not for a prediction at the end; shape (subject,).
        ended_reason: the sentence for ``is_ended``; "" otherwise; shape (subject,).
        landmark: time of the landmark, NaT on the visit clock; datetime64[s], shape (subject,).
        ends: time at which the record ends, NaT for an empty record; datetime64[s], shape (subject,).
    """

    visits: Visits
    seen: Int64[np.ndarray, " subject"]
    reason: np.ndarray
    is_ended: Bool[np.ndarray, " subject"]
    ended_reason: np.ndarray
    landmark: np.ndarray
    ends: np.ndarray


def records_of_events(
    events: Events, outcome: Outcome, settings: PreparationSettings, *, as_of: np.datetime64 | None, reads_age: bool
) -> ScoredRecords:
    """Group entries into visits and select those to read, as in training (survlstm.data.prepare) but without labels.

    Args:
        events: the entries of all subjects.
        outcome: the outcome of the bundle, which decides which entries may be read.
        settings: grouping, landmark and smallest number of visits, as in training.
        as_of: prediction time. Entries that were not known by then are ignored; an entry dated to the day is known at
            the end of that day. With None every entry is read, whatever its date, because the dates of de-identified
            records may lie in another century.
        reads_age: if True, the model reads the age, and a subject without a date of birth is not scored.

    Returns:
        The visits of all subjects and what may be read of each, in the order of ``events.subjects``.

    Raises:
        ConfigError: ``as_of`` is missing although the landmarks of the training were given by a file.
    """
    if as_of is not None:
        events = known_by(events, as_of)
    entries = np.bincount(events.subject, minlength=len(events.subjects))
    grouped = group_observed(
        events, outcome, settings, given_landmark=given_landmark(settings, as_of, len(events.subjects))
    )
    records = records_of_visits(
        grouped.visits, outcome, settings, as_of=as_of, reads_age=reads_age, landmark=grouped.landmark
    )
    return _with_reasons_of_events(records, entries)


def known_by(events: Events, time: np.datetime64) -> Events:
    """Leave out the entries and the deaths that were not known by a time.

    Args:
        events: the entries of all subjects.
        time: the time. A death is dated to the day and counts as known at the end of that day.

    Returns:
        The entries known by then, with all subjects.
    """
    events = take_events(events, known_times(events).latest <= time.astype(np.int64))
    died_later = end_of_death_day(events.subjects) > time + np.timedelta64(1, "s")
    return without_deaths(events, died_later)


def records_of_visits(
    visits: Visits,
    outcome: Outcome,
    settings: PreparationSettings,
    *,
    as_of: np.datetime64 | None,
    reads_age: bool,
    landmark: np.ndarray | None = None,
) -> ScoredRecords:
    """Select the visits to read from visits that are grouped already, see ``records_of_events``.

    Args:
        visits: the visits of all subjects, each with the time of its last entry.
        outcome: the outcome of the bundle.
        settings: landmark and smallest number of visits, as in training.
        as_of: prediction time, after which ``visits`` holds nothing; None if no time is set.
        reads_age: if True, a subject without a date of birth is not scored.
        landmark: time of each subject's landmark, datetime64[s]; None to compute it from the visits.

    Returns:
        The visits of all subjects and what may be read of each, in the order of ``visits.subjects``.
    """
    follow_up = outcome.follow_up(visits)
    number = visits.visits_per_subject
    if settings.landmark is None:
        seen = np.where(follow_up.event, follow_up.steps, number)
        is_ended, ended_reason = _ended(visits, follow_up)
        reason = too_short(follow_up.visits, settings.min_visits)
        landmark = np.full(len(seen), np.datetime64("NaT"), dtype="datetime64[s]")
    else:
        landmark = given_landmark(settings, as_of, len(number)) if landmark is None else landmark
        landmark = landmark_time(visits, settings.landmark) if landmark is None else landmark
        owner = visits.visit_subject
        seen = np.bincount(owner[visits.visit_time <= landmark[owner]], minlength=len(number))
        reason = _not_at_landmark(visits, follow_up, landmark, settings, as_of=as_of)
        reason = np.where(reason == "", too_short(seen, settings.min_visits, until=" by the landmark"), reason)
        is_ended, ended_reason = np.zeros(len(seen), dtype=bool), np.full(len(seen), "", dtype=object)
    reason = _outside_of_the_cohort(visits, settings, landmark, reason)
    if reads_age:
        no_birth = np.isnat(visits.subjects.birth) & (reason == "")
        reason = np.where(no_birth, NO_BIRTH, reason)
    reason = np.where((reason == "") & (seen == 0), ended_reason, reason)
    reason = np.where(spans_more_than_a_life(visits), TOO_LONG, reason)
    seen = np.where(reason == "", seen, 0)
    return ScoredRecords(visits, seen, reason, is_ended, ended_reason, landmark, record_end_times(visits))


def given_landmark(settings: PreparationSettings, as_of: np.datetime64 | None, subjects: int) -> np.ndarray | None:
    """Return ``as_of`` as the landmark of every subject, if the landmarks of the training were given by a file.

    Args:
        settings: settings of the training.
        as_of: prediction time; None if no time is set.
        subjects: number of subjects.

    Returns:
        datetime64[s], shape (subject,); None if the landmarks are computed from the visits, and on the visit clock.

    Raises:
        ConfigError: ``as_of`` is missing.
    """
    if settings.landmark is None or not settings.landmark.is_given:
        return None
    if as_of is None:
        raise ConfigError(
            "the landmarks of this model's training were given by a file of prediction times, so that the landmark of "
            "a prediction must be given too. Set as_of to a day or a time"
        )
    return np.full(subjects, as_of, dtype="datetime64[s]")


def _outside_of_the_cohort(
    visits: Visits, settings: PreparationSettings, landmark: np.ndarray, reason: np.ndarray
) -> np.ndarray:
    """Add the reason of each subject that the rules of the training leave out and that has no other reason."""
    time = first_visit_time(visits) if settings.landmark is None else landmark
    found = reason.copy()
    for why, applies in rule_exclusions(settings.cohort, visits, time, show_dates=False):
        found[(found == "") & applies] = f"{OUTSIDE} ({why})"
    return found


def without_deaths(events: Events, unknown: np.ndarray) -> Events:
    """Leave out the deaths of some subjects.

    Args:
        events: the entries of all subjects.
        unknown: True for a subject whose death is left out; shape (subject,).
    """
    death = events.subjects.death.copy()
    death[unknown] = np.datetime64("NaT")
    return dataclasses.replace(events, subjects=dataclasses.replace(events.subjects, death=death))


def _ended(visits: Visits, follow_up: ObservedFollowUp) -> tuple[np.ndarray, np.ndarray]:
    """Return which subjects have had the outcome or have died by the prediction time, and the sentence for each."""
    died = ~np.isnat(visits.subjects.death)
    event_day, death_day = (time.astype("datetime64[D]") for time in (follow_up.event_time, visits.subjects.death))
    why = np.full(len(died), "", dtype=object)
    for subject in np.flatnonzero(died):
        why[subject] = f"the subject died on {death_day[subject]}, before the prediction time"
    for subject in np.flatnonzero(follow_up.event):
        why[subject] = f"the outcome happened on {event_day[subject]}, before the prediction time"
    return died | follow_up.event, why


def too_short(visits: np.ndarray, min_visits: int, *, until: str = "") -> np.ndarray:
    """Return a sentence where there are too few visits, "" elsewhere; ``until`` says by when they are counted."""
    reason = np.full(len(visits), "", dtype=object)
    for subject in np.flatnonzero(visits < min_visits):
        number = int(visits[subject])
        reason[subject] = (
            f"{number} visit{'' if number == 1 else 's'}{until}; the model was trained on records with {min_visits} or "
            "more"
        )
    return reason


def _not_at_landmark(
    visits: Visits,
    follow_up: ObservedFollowUp,
    landmark: np.ndarray,
    settings: PreparationSettings,
    *,
    as_of: np.datetime64 | None,
) -> np.ndarray:
    """Return why a subject is not at risk at its landmark; "" if it is.

    Without ``as_of`` the record is known until its last visit, or until the end of observation if that is later.
    """
    assert settings.landmark is not None, "called on the landmark clock only"
    place = "as_of" if settings.landmark.is_given else settings.landmark.as_override
    number = visits.visits_per_subject
    reason = np.full(len(number), "", dtype=object)
    known_until = follow_up_end(visits) if as_of is None else np.full(len(number), as_of)
    for subject in range(len(number)):
        event = follow_up.event_time[subject]
        if np.isnat(landmark[subject]) and settings.landmark.first_code is not None:
            reason[subject] = f"no visit has the code that places the landmark ({place})"
        elif np.isnat(landmark[subject]):
            reason[subject] = f"the landmark ({place}) is not reached: {number[subject]} visits"
        elif event <= landmark[subject] or visits.subjects.death[subject] <= landmark[subject]:
            reason[subject] = (
                f"the outcome or death happened by the landmark, {landmark[subject].astype('datetime64[D]')}"
            )
        elif landmark[subject] > known_until[subject]:
            reason[subject] = f"the landmark ({place}), {landmark[subject].astype('datetime64[D]')}, is not reached"
    return reason


def _with_reasons_of_events(records: ScoredRecords, entries: np.ndarray) -> ScoredRecords:
    """Replace the reason of a subject without visits by one about its entries, which says more."""
    reason = records.reason.copy()
    number = records.visits.visits_per_subject
    for subject in np.flatnonzero(number == 0):
        reason[subject] = reason_without_visits(int(entries[subject]))
    return dataclasses.replace(records, reason=reason, seen=np.where(reason == "", records.seen, 0))


def reason_without_visits(entries: int) -> str:
    """Return why a subject has no visit, from the number of its entries."""
    return f"none of {entries} entries belongs to a visit" if entries else "no entry that may be read"
