"""Bundles of small models, untrained or hardly trained, on records known to the tests alone."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from torch import nn

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.prepared_data import PreparedData
from survlstm.inference.bundle.bundle import Bundle, BundleInfo
from survlstm.inference.bundle.card import STEPS, describe_outcome
from survlstm.inference.bundle.reference_case import cohort_summary, make_reference
from survlstm.inference.predictor import Predictor
from tests.learning import model_for, prepared_on
from tests.records import events_of, random_records

SIZES = ["data=tiny", "trainer=smoke", "model.embedding_dim=8", "model.hidden_dim=16", "model.num_layers=2"]
CLOCKS = {
    "visit": ["outcome=synthetic"],
    "landmark": [
        "outcome=first_code",
        "outcome.codes=[X/7]",
        "clock=landmark",
        "clock.visit=null",
        "clock.day=200",
        "clock.intervals=5",
        "clock.edges=equidistant",
        "clock.horizon_days=365",
    ],
    "days": [
        "outcome=first_code",
        "outcome.codes=[X/7]",
        "clock=days",
        "clock.intervals=5",
        "clock.edges=equidistant",
        "clock.horizon_days=365",
    ],
}


def config_on(clock: str, *overrides: str) -> RunConfig:
    """The config of a run that gives what ``tests.learning.prepared_on`` has prepared."""
    (config,) = check_overrides("train", [*SIZES, *CLOCKS[clock], *overrides], RunConfig)
    return config


def metrics_on(clock: str, parameters: int) -> dict[str, object]:
    """Figures of a model that was never judged, as metrics.json of a bundle holds them."""
    figure = {"value": 0.5, "interval": None}
    row = {"name": "model", "role": "model", "c_td": figure, "nll": figure}
    return {
        "test": {
            "clock": clock,
            "split": "test",
            "subjects": 40,
            "events": 20,
            "rows": [row | {"c_td_difference": None, "nll_difference": None}],
            "landmarks": [],
            "lines": ["Undecided."],
            "notes": [],
            "conventions": {"c_td": "the C-index of every line"},
        },
        "diagnostics": [],
        "training": {
            "best_epoch": 1,
            "val_loss": 2.0,
            "val_c_td": None,
            "parameters": parameters,
            "parameters_per_subject": 10.0,
            "stopped": "all 1 epochs done",
        },
    }


@functools.cache
def bundle_on(clock: str, *overrides: str) -> Bundle:
    """With random weights large enough that subjects differ; no test changes it."""
    return bundle_of(prepared_on(clock), clock, *overrides)


def bundle_of(prepared: PreparedData, clock: str, *overrides: str, model: nn.Module | None = None) -> Bundle:
    """As ``bundle_on``, of other prepared data, and of a model that was trained on them if one is given."""
    config = config_on(clock, *overrides)
    if model is None:
        model = model_for(prepared).eval()
        for weight in model.embedding.parameters():
            weight.data *= 3
    about = BundleInfo(
        name="small",
        created="2026-01-01T00:00:00+00:00",
        survlstm="0",
        torch="0",
        run="run",
        epoch=1,
        fingerprint="none",
        clock=prepared.tensors.clock,
        unit="visits" if clock == "visit" else "days",
        outcome=describe_outcome(config.outcome, {}),
        steps=STEPS[clock],
        parameters=sum(weight.numel() for weight in model.parameters()),
    )
    descriptions = {f"X/{number}": f"finding number {number}" for number in range(40)}
    return Bundle(
        about,
        config,
        prepared.preprocessing,
        model,
        make_reference(model, config, prepared),
        descriptions,
        cohort_summary(prepared, descriptions, form=config.data.values),
        metrics_on(clock, about.parameters),
        "# Model card: small\n",
    )


def predictor_on(clock: str, *overrides: str) -> Predictor:
    """The predictor of ``bundle_on``."""
    return Predictor(bundle_on(clock, *overrides))


def meds(records, *, births=True, deaths=None) -> pd.DataFrame:
    """The records of tests.records as a table with MEDS columns."""
    rows = [
        (name, time, code, f"{name}/{encounter}" if encounter else None)
        for name, visits in records.items()
        for time, encounter, codes in visits
        for code in codes
    ]
    rows += [(name, "1960-01-01", "MEDS_BIRTH", None) for name in records if births]
    rows += [(name, day, "MEDS_DEATH", None) for name, day in (deaths or {}).items()]
    return pd.DataFrame(rows, columns=["subject_id", "time", "code", "encounter_id"]).assign(numeric_value=np.nan)


def cohort_of(subjects: int, *, seed: int = 5):
    """Records as in training, and their events as a source gives them."""
    records = random_records(subjects, seed=seed)
    return records, events_of(records)
