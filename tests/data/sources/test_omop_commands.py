"""Every command on OMOP records, in a file and on a server: OHDSI's example, bleeding in Eunomia."""

import json

import numpy as np
import pandas as pd
import pytest

import survlstm as package
from survlstm.data.sources.omop.format import EVENT_TABLES
from survlstm.data.sources.omop.source import OmopSource
from tests.omop import EUNOMIA, PASSWORD, eunomia_tables

SMALL = [
    "data=omop",
    "outcome=first_code",
    "outcome.codes=[SNOMED/74474003]",
    "model=lstm_small",
    "trainer=smoke",
    "trainer.epochs=2",
    "evaluation.baselines=[record_length]",
    "evaluation.resamples=100",
    "evaluation.landmarks.visits=[5]",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EUNOMIA.exists(), reason="Eunomia is not in shared/data"),
]


def scored(file):
    return (
        pd.read_csv(file, dtype={"subject_id": str}).sort_values("subject_id", ignore_index=True).drop(columns="curve")
    )


def test_the_commands_on_a_file_and_on_a_server(survlstm, postgresql, tmp_path):
    url = postgresql.write(eunomia_tables(), "commands")
    assert survlstm("train", *SMALL, f"data.path={EUNOMIA}", "output_dir=run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["test"]["subjects"], metrics["test"]["events"]) == (386, 82)
    assert survlstm("train", *SMALL, f"data.path={url}", "output_dir=server") == 0
    assert survlstm("evaluate", "run=server", "output_dir=evaluation") == 0
    assert survlstm("export", "run=server", "output=bundle") == 0
    assert "Gastrointestinal hemorrhage" in (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert survlstm("predict", "bundle=bundle", f"data.path={EUNOMIA}", "output=file.csv") == 0
    assert survlstm("predict", "bundle=bundle", f"data.path={url}", "output=server.csv", "subjects_at_once=700") == 0
    pd.testing.assert_frame_equal(scored("file.csv"), scored("server.csv"))
    assert survlstm("plot", "survival", "bundle=bundle", f"data.path={url}", "output=curves") == 0
    # The two runs have read the same tensors.
    one, other = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("run", "server"))
    assert [epoch["val_loss"] for epoch in one["epochs"]] == [epoch["val_loss"] for epoch in other["epochs"]]
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()


def test_a_table_of_events_is_scored_as_the_records_are(survlstm, tmp_path):
    assert survlstm("train", *SMALL, f"data.path={EUNOMIA}", "output_dir=run") == 0
    assert survlstm("export", "run=run", "output=bundle") == 0
    events = OmopSource(str(EUNOMIA), tuple(EVENT_TABLES), 0.01).read().events
    predictor = package.load_bundle("bundle")
    found = predictor.predict_events(events).table
    people, static = events.subjects, events.subjects.static
    owner = np.repeat(np.arange(len(people)), static.per_subject)
    undated = np.full(len(owner), np.datetime64("NaT"), dtype="datetime64[s]")
    named = [None if number < 0 else str(number) for number in events.encounter]
    table = pd.DataFrame(
        {
            "subject_id": people.subject_id[np.concatenate([np.arange(len(people)), owner, events.subject])],
            "time": np.concatenate([people.birth, undated, events.time]),
            "code": [
                *["MEDS_BIRTH"] * len(people),
                *static.codes[static.code].tolist(),
                *events.codes[events.code].tolist(),
            ],
            "encounter_id": [*[None] * (len(people) + len(owner)), *named],
        }
    )
    again = predictor.predict(table).table
    assert len(found) == len(again) == 2215
    pd.testing.assert_series_equal(found["risk"], again["risk"])
