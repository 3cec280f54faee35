"""Select the prediction times of each subject on the days clock, the visits before each, and why some are not scored.

A record is read twice. The first time, all of it says which prediction times come at or after the outcome or the death.
The second time, each record ends at its last remaining prediction time: an outcome, a death or an entry known only
after it has no influence, not even on the grouping into visits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from survlstm.data.cohort_rules import rule_exclusions
from survlstm.data.events import Events
from survlstm.data.known_times import known_times
from survlstm.data.observed_visits import group_observed
from survlstm.data.outcomes.protocol import Outcome
from survlstm.data.prediction_times import TRAINED, PredictionTimes
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.visit_splits import count_earlier
from survlstm.data.visits import Visits, take_events
from survlstm.inference.dates import record_end_times, spans_more_than_a_life
from survlstm.inference.prediction_time import AskedTimes
from survlstm.inference.subject_record import (
    NO_BIRTH,
    OUTSIDE,
    TOO_LONG,
    reason_without_visits,
    too_short,
    without_deaths,
)
from survlstm.utils.ragged import repeats_previous

UNKNOWN = "the subject is not among the records"
BEFORE = "the prediction time is before the first visit"
NOT_A_TIME = np.datetime64("NaT", "s")


@dataclass(frozen=True)
class RowRecords:
    """Visits of all subjects, and the rows: the asked prediction times of each.

    Attributes:
        visits: the visits of all subjects; none spans a prediction time that can be scored, where visits were grouped
            here.
        subject: index of the subject of each row, rising; shape (row,).
        time: the prediction times, rising within a subject; NaT where a subject has none; datetime64[s], shape (row,).
        seen: number of visits on or before each prediction time; shape (row,).
        reason: sentence why the row is not scored; "" otherwise; shape (row,).
        unknown: subject_id and prediction_time of the rows of a table whose subjects are not among the records.
        ends: time at which each record ends, NaT for an empty record; datetime64[s], shape (subject,).
        unobserved: number of rows that can be scored and lie after the last day of observation of their subject.
    """

    visits: Visits
    subject: Int64[np.ndarray, " row"]
    time: np.ndarray
    seen: Int64[np.ndarray, " row"]
    reason: np.ndarray
    unknown: tuple[np.ndarray, np.ndarray]
    ends: np.ndarray
    unobserved: int

    @property
    def scored(self) -> Int64[np.ndarray, " scored"]:
        """Indices of the rows that can be scored."""
        return np.flatnonzero(self.reason == "")


def rows_of_events(
    events: Events, outcome: Outcome, settings: PreparationSettings, asked: AskedTimes, *, reads_age: bool
) -> RowRecords:
    """Group entries into visits that no prediction time divides, and select the visits before each prediction time.

    Args:
        events: the entries of all subjects.
        outcome: the outcome of the bundle.
        settings: grouping, smallest number of visits and rules of the cohort, as in training.
        asked: the prediction times.
        reads_age: if True, the model reads the age, and a subject without a date of birth is not scored.

    Returns:
        The visits and the rows.
    """
    if asked.until is not None:
        events = _known_by(events, asked.until)
    entries = np.bincount(events.subject, minlength=len(events.subjects))
    whole = group_observed(events, outcome, settings, given_times=_no_times()).visits
    subject, time, unknown = _asked_rows(whole, asked)
    if asked.kind in {"at", "table"}:
        whole = group_observed(events, outcome, settings, given_times=_as_times(subject, time)).visits
    reason = _reasons_of_the_future(whole, outcome, subject, time, is_last=asked.kind == "last")
    has_none = whole.visits_per_subject[subject] == 0
    for row in np.flatnonzero(has_none):
        reason[row] = reason_without_visits(int(entries[subject[row]]))
    rows = _Rows(subject, time, reason)
    is_open = reason == ""
    cut = _cut_at_last_row(events, subject[is_open], time[is_open])
    visits = group_observed(cut, outcome, settings, given_times=_as_times(subject[is_open], time[is_open])).visits
    found = _judged(visits, rows, settings, reads_age=reads_age, unknown=unknown, whole=whole)
    return _with_past_alone(found, is_open, settings.min_visits) if asked.kind == "every_visit" else found


def rows_of_visits(
    visits: Visits, outcome: Outcome, settings: PreparationSettings, asked: AskedTimes, *, reads_age: bool
) -> RowRecords:
    """Select the visits before each prediction time from visits that are grouped already; none is divided.

    Args:
        visits: the visits of all subjects, each with the time of its last entry; none later than ``asked.until``.
        outcome: the outcome of the bundle.
        settings: smallest number of visits and rules of the cohort, as in training.
        asked: the prediction times.
        reads_age: as for ``rows_of_events``.

    Returns:
        The visits and the rows.
    """
    subject, time, unknown = _asked_rows(visits, asked)
    reason = _reasons_of_the_future(visits, outcome, subject, time, is_last=asked.kind == "last")
    reason[visits.visits_per_subject[subject] == 0] = reason_without_visits(0)
    rows = _Rows(subject, time, reason)
    found = _judged(visits, rows, settings, reads_age=reads_age, unknown=unknown, whole=visits)
    return _with_past_alone(found, reason == "", settings.min_visits) if asked.kind == "every_visit" else found


def notes_on_table(records: RowRecords, asked: AskedTimes) -> tuple[str, ...]:
    """Return sentences on the rows of a table of prediction times.

    Args:
        records: the rows.
        asked: the prediction times.

    Returns:
        What could not be read of the table, and the numbers of repeated rows and of rows of unknown subjects; none if
        there is no table.
    """
    return notes_on_repeated(asked) + notes_on_unknown(len(records.unknown[0]))


def notes_on_repeated(asked: AskedTimes) -> tuple[str, ...]:
    """Return sentences on the rows of a table of prediction times that are not read or that repeat another one."""
    if asked.table is None:
        return ()
    repeated = asked.table.repeated
    sentence = f"prediction times that repeat another one of the same subject and are predicted once: {repeated:,}"
    return (*asked.table.warnings, *((sentence,) if repeated else ()))


def notes_on_unknown(rows: int) -> tuple[str, ...]:
    """Return a sentence on the number of prediction times of unknown subjects, if there are any."""
    return (f"prediction times of subjects that are not among the records: {rows:,}",) if rows else ()


@dataclass(frozen=True)
class _Rows:
    """Rows with the reasons that are known so far."""

    subject: Int64[np.ndarray, " row"]
    time: np.ndarray
    reason: np.ndarray


def _known_by(events: Events, time: np.datetime64) -> Events:
    """Leave out the entries that were not known by a time, and the deaths on a later day."""
    events = take_events(events, known_times(events).latest <= time.astype(np.int64))
    # On the day of its death nobody is scored, as nobody is trained on then.
    return without_deaths(events, events.subjects.death > time)


def _no_times() -> PredictionTimes:
    return _as_times(np.empty(0, dtype=np.int64), np.empty(0, dtype="datetime64[s]"))


def _as_times(subject: np.ndarray, time: np.ndarray) -> PredictionTimes:
    known = ~np.isnat(time)
    return PredictionTimes(subject[known], time[known], np.full(int(known.sum()), TRAINED, dtype=np.int8), {})


def _asked_rows(visits: Visits, asked: AskedTimes) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return subject and time of each row, in order, and id and time of the rows of unknown subjects.

    A subject without a visit has one row without a time, except where a table says which rows there are.
    """
    number = visits.visits_per_subject
    subjects = np.arange(len(number))
    nobody = np.empty(0, dtype=np.str_), np.empty(0, dtype="datetime64[s]")
    if asked.kind == "table":
        assert asked.table is not None, "read with the table"
        subject, time, _ = asked.table.find_rows(visits.subjects.subject_id)
        order = np.lexsort([time, subject])
        is_unknown = ~np.isin(asked.table.subject_id, visits.subjects.subject_id.astype(np.str_))
        return subject[order], time[order], (asked.table.subject_id[is_unknown], asked.table.time[is_unknown])
    if asked.kind == "at":
        return subjects, np.full(len(number), asked.until), nobody
    last = np.full(len(number), NOT_A_TIME)
    some = number > 0
    last[some] = visits.visit_time[visits.visit_offsets[1:][some] - 1]
    if asked.kind == "last":
        return subjects, last, nobody
    subject = np.concatenate([visits.visit_subject, subjects[~some]])
    time = np.concatenate([visits.visit_time, last[~some]])
    # Visits that end at the same time are one prediction time.
    order = np.lexsort([time, subject])
    subject, time = subject[order], time[order]
    repeated = repeats_previous(subject, time)
    return subject[~repeated], time[~repeated], nobody


def _reasons_of_the_future(
    visits: Visits, outcome: Outcome, subject: np.ndarray, time: np.ndarray, *, is_last: bool
) -> np.ndarray:
    """Return why rows at or after the outcome or the death are not scored; "" for the others.

    Args:
        visits: the visits of all subjects, formed of all that is known.
        outcome: the outcome of the bundle.
        subject: subject of each row.
        time: time of each row.
        is_last: if True, the rows stand for all that is known of a subject, so that any outcome or death comes before.
    """
    event, death = outcome.follow_up(visits).event_time[subject], visits.subjects.death[subject]
    reason = np.full(len(subject), "", dtype=object)
    # A comparison with NaT is false. A death is dated to the midnight of its day, as in training.
    end = ", so that nothing is open after the last visit" if is_last else ", before the prediction time"
    for when, words in ((death, "the subject died on"), (event, "the outcome happened on")):
        has_happened = ~np.isnat(when) if is_last else when <= time
        for row in np.flatnonzero(has_happened):
            reason[row] = f"{words} {when[row].astype('datetime64[D]')}{end}"
    return reason


def _with_past_alone(records: RowRecords, is_open: np.ndarray, min_visits: int) -> RowRecords:
    """Leave out the visits after which nobody predicts: those before the ``min_visits``-th, and from the outcome on.

    Of a subject with no other visit, the last one stays and tells the reason.

    Args:
        records: the rows, one per visit.
        is_open: whether the outcome and the death are still to come at each row.
        min_visits: smallest number of visits.
    """
    subject = records.subject
    seen = _visits_seen(records.visits, subject, records.time)
    is_asked = is_open & (seen >= min_visits)
    has_asked = np.zeros(len(records.visits.subjects), dtype=bool)
    has_asked[subject[is_asked]] = True
    is_last = np.append(subject[1:] != subject[:-1], True)[: len(subject)]
    kept = is_asked | (is_last & ~has_asked[subject])
    columns = {name: getattr(records, name)[kept] for name in ("subject", "time", "seen", "reason")}
    return replace(records, **columns)


def _visits_seen(visits: Visits, subject: np.ndarray, time: np.ndarray) -> Int64[np.ndarray, " row"]:
    """Count the visits on or before each row; 0 for a row without a time."""
    seen = np.zeros(len(subject), dtype=np.int64)
    known = ~np.isnat(time)
    seen[known] = count_earlier(visits.visit_subject, visits.visit_time, subject[known], time[known])
    return seen


def _cut_at_last_row(events: Events, subject: np.ndarray, time: np.ndarray) -> Events:
    """Leave out all that was not known by the last row of each subject, and the deaths, which come after it."""
    latest = np.full(len(events.subjects), np.iinfo(np.int64).min)
    np.maximum.at(latest, subject, time.astype("datetime64[s]").astype(np.int64))
    events = take_events(events, known_times(events).latest <= latest[events.subject])
    return without_deaths(events, np.ones(len(events.subjects), dtype=bool))


def _judged(
    visits: Visits,
    rows: _Rows,
    settings: PreparationSettings,
    *,
    reads_age: bool,
    unknown: tuple[np.ndarray, np.ndarray],
    whole: Visits,
) -> RowRecords:
    """Add the reasons that hold from what was known at each row.

    Args:
        visits: the visits to read.
        rows: the rows with the reasons that all of the record gives.
        settings: smallest number of visits and rules of the cohort.
        reads_age: if True, a subject without a date of birth is not scored.
        unknown: rows of unknown subjects.
        whole: the visits of all that is known, for the ends of the records.
    """
    subject, time, reason = rows.subject, rows.time, rows.reason.copy()
    seen = _visits_seen(visits, subject, time)
    no_birth = np.isnat(visits.subjects.birth[subject]) & reads_age
    found = [
        np.where(seen == 0, BEFORE, ""),
        too_short(seen, settings.min_visits, until=" by the prediction time"),
        *(
            np.where(applies, f"{OUTSIDE} ({why})", "")
            for why, applies in rule_exclusions(settings.cohort, visits, time, subject=subject, show_dates=False)
        ),
        np.where(no_birth, NO_BIRTH, ""),
        np.where(spans_more_than_a_life(visits)[subject], TOO_LONG, ""),
    ]
    for each in found:
        reason = np.where(reason == "", each, reason)
    if not len(reason):
        reason = np.empty(0, dtype=object)
    seen = np.where(reason == "", seen, 0)
    until = whole.subjects.observed_until[subject] + np.timedelta64(1, "D")
    unobserved: Bool[np.ndarray, " row"] = (reason == "") & (until <= time)
    return RowRecords(
        visits, subject, time, seen, reason, unknown, record_end_times(whole), unobserved=int(unobserved.sum())
    )
