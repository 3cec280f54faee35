"""A small cohort whose entries have values in several units, its bundle, and its records as tables."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from survlstm.data.events import Events
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.prepared_data import PreparedData
from survlstm.data.values.settings import ValueSettings
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.predictor import Predictor
from tests.bundles import bundle_of
from tests.learning import fit_new
from tests.records import SETTINGS, RecordsSource, events_of, random_records

UNITS = np.array(["", "mg/dL", "mmol/L"])


def with_values(events: Events, *, seed: int) -> Events:
    """Give most entries of X/0 to X/9 a value, in one of two units or, for X/3, without one."""
    generator = np.random.default_rng(seed)
    number = np.array([int(code.split("/")[1]) for code in events.codes])[events.code]
    value = np.round(generator.normal(number + 2, 1.0), 1).astype(np.float32)
    value[(number >= 10) | (generator.random(len(events)) < 0.3)] = np.nan
    unit = np.where(number == 3, 0, 1 + (generator.random(len(events)) < 0.3))
    return replace(events, numeric_value=value, units=UNITS, unit=np.where(np.isnan(value), 0, unit).astype(np.int32))


def valued_events(subjects: int, *, seed: int) -> Events:
    """Random records with values."""
    return with_values(events_of(random_records(subjects, seed=seed, mean_visits=10)), seed=seed)


@functools.cache
def prepared_with_values() -> PreparedData:
    """A cohort prepared with ``data.values=both``."""
    settings = replace(SETTINGS, values=ValueSettings("both", min_values_per_bin=10, most_columns=5))
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    return prepare_uncached(RecordsSource(valued_events(120, seed=0)), outcome, settings)


@functools.cache
def bundle_with_values() -> Bundle:
    """The bundle of a model that was trained on this cohort."""
    with tempfile.TemporaryDirectory() as folder:
        model, _ = fit_new(prepared_with_values(), Path(folder), epochs=6, lr=0.03)
    return bundle_of(prepared_with_values(), "visit", "data.values=both", model=model.eval())


def predictor_with_values() -> Predictor:
    """Return a predictor with the model of ``bundle_with_values``."""
    return Predictor(bundle_with_values())


def as_rows(events: Events) -> pd.DataFrame:
    """The events as a table with the columns of MEDS, births included."""
    rows = pd.DataFrame(
        {
            "subject_id": events.subjects.subject_id[events.subject],
            "time": events.time,
            "code": events.codes[events.code],
            "numeric_value": events.numeric_value,
            "unit": [text or None for text in events.units[events.unit]],
            "encounter_id": events.encounter.astype(str),
        }
    )
    births = pd.DataFrame(
        {"subject_id": events.subjects.subject_id, "time": events.subjects.birth, "code": "MEDS_BIRTH"}
    )
    return pd.concat([rows, births], ignore_index=True)


def as_visits(events: Events) -> pd.DataFrame:
    """The events as a table of visits; repeated entries are left out, as from events."""
    rows = as_rows(events).dropna(subset=["encounter_id"]).drop_duplicates()
    visits = rows.groupby("encounter_id").agg(
        subject_id=("subject_id", "first"),
        time=("time", "first"),
        codes=("code", list),
        values=("numeric_value", list),
        units=("unit", list),
    )
    return visits.reset_index(drop=True).assign(birth="1960-01-01")
