"""A bundle of the days clock, trained at every visit and on a calendar, with records to predict from."""

from __future__ import annotations

import functools

import pandas as pd

from survlstm.data.prepared_data import PreparedData
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.predictor import Predictor
from tests.bundles import bundle_of
from tests.cohorts import at
from tests.days import prepared_days

TIMES = ("every_visit", "every_days:90")
SUBJECTS = 60


def prepared_at_times() -> PreparedData:
    """The cohort of the bundle."""
    return prepared_days(*TIMES, subjects=SUBJECTS)


@functools.cache
def bundle_at_times(*overrides: str) -> Bundle:
    """The bundle; no test changes it."""
    return bundle_of(prepared_at_times(), "days", f"clock.times=[{','.join(TIMES)}]", *overrides)


def predictor_at_times(*overrides: str) -> Predictor:
    """Return a predictor with the model of ``bundle_at_times``."""
    return Predictor(bundle_at_times(*overrides))


def visits_on(*days, codes=("X/1", "X/2")):
    """A record with a visit on each of these days, as ``tests.cohorts.at`` counts them."""
    return [(at(day), f"e{day}", list(codes)) for day in days]


def times_table(*rows) -> pd.DataFrame:
    """Prediction times: rows of a subject and a day, at noon, or the text of a time."""
    times = [(name, at(when, 12) if isinstance(when, int) else when) for name, when in rows]
    return pd.DataFrame(times, columns=["subject_id", "prediction_time"])
