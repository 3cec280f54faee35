"""Cohorts on the days clock, and what their rows hold."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from survlstm.data.cohort_file import TimesFile
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.prediction_times import DaysClock
from survlstm.data.prepare import prepare_uncached
from survlstm.utils.time_rules import parse_times
from tests.cohorts import HIT, at
from tests.prepared import unscaled_state
from tests.records import SETTINGS, RecordsSource, events_of, random_records

CLOCK = DaysClock(
    times=(parse_times("every_visit"),),
    evaluated=(),
    intervals=5,
    edges="equidistant",
    horizon_days=365.0,
    edges_days=None,
    timezone=None,
)


def days_clock(*times, evaluated=(), **settings):
    """The clock with these rules, and ``CLOCK``'s intervals where no others are given."""
    rules = {"times": tuple(map(parse_times, times)), "evaluated": tuple(map(parse_times, evaluated))}
    return replace(CLOCK, **rules, **settings)


def days_settings(*times, min_visits=3, evaluated=(), **settings):
    own = {name: settings.pop(name) for name in list(settings) if name in DaysClock.__dataclass_fields__}
    return replace(SETTINGS, days=days_clock(*times, evaluated=evaluated, **own), min_visits=min_visits, **settings)


def times_file(*rows):
    """A file of times: rows of a subject and a day, as ``tests.cohorts.at`` counts them, or a text of a time."""
    times = [(name, np.datetime64(at(when) if isinstance(when, int) else when, "s")) for name, when in rows]
    times.sort()
    return TimesFile(np.array([name for name, _ in times]), np.array([when for _, when in times]), 0, ())


def labelled(
    records, *times, edges=(0.0, 30.0, 60.0), min_visits=1, deaths=None, outcome=HIT, birth="1960-01-01", **settings
):
    """Prepare records with given edges, so that no split has to have subjects."""
    state = unscaled_state(
        ("[PAD]", "[UNK]", "X/a"), edges=edges, prediction_mean=np.zeros(1), prediction_spread=np.ones(1)
    )
    source = RecordsSource(events_of(records, deaths=deaths, birth=birth))
    settings = days_settings(*times, min_visits=min_visits, **settings)
    return prepare_uncached(source, outcome, settings, preprocessing=state)


def rows_of(prepared, kind=0):
    """For each subject its rows: day of the prediction time, visits seen, step, event, exposure, days of follow-up."""
    tensors = prepared.tensors
    start = np.datetime64("2020-01-01T00:00:00")
    found = {str(name): [] for name in tensors.subject_id}
    for row in np.flatnonzero(tensors.row_kind == kind):
        found[str(tensors.subject_id[tensors.row_subject[row]])].append(
            (
                float((tensors.row_time[row] - start) / np.timedelta64(1, "D")),
                int(tensors.row_visits[row]),
                int(tensors.step[row]),
                bool(tensors.event[row]),
                round(float(tensors.exposure[row]), 6),
                float(tensors.duration_days[row]),
            )
        )
    return found


def left_out(prepared):
    """The number of rows left out for each reason."""
    return {reason: number for reason, number in prepared.flow.prediction_times.left_out.items() if number}


@functools.cache
def prepared_days(*times, evaluated=(), subjects=200, **settings):
    """Prepare random records once a session."""
    source = RecordsSource(events_of(random_records(subjects, seed=0)))
    return prepare_uncached(source, FirstCodeOutcome(["X/7"]), days_settings(*times, evaluated=evaluated, **settings))
