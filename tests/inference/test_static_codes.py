"""A model that reads the sex: one prediction from the training data, a bundle, ONNX and the server."""

import functools

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from survlstm.data.demographics import DemographicSettings
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.inference.bundle.bundle import read_bundle, write_bundle
from survlstm.inference.bundle.onnx_export import write_onnx
from survlstm.inference.predictor import Predictor
from survlstm.serving.example import example_csv
from survlstm.training.prediction import predict_split
from tests.bundles import bundle_of, meds, predictor_on
from tests.inference.bundle.test_onnx_export import padded
from tests.learning import CPU, batches_of
from tests.records import PREFIXES, SETTINGS, RecordsSource, events_of, random_records, with_static
from tests.serving.asking import app_on, as_json, ask

RECORDS = random_records(120, seed=0)
SEX = {name: ["SEX/F" if number % 2 else "SEX/M", "MARITAL/S"] for number, name in enumerate(RECORDS)}
EVENTS = with_static(events_of(RECORDS), SEX)
ROUNDING = 1e-6


@functools.cache
def prepared():
    settings = SETTINGS.__class__(**{**vars(SETTINGS), "demographics": DemographicSettings(PREFIXES, ("sex",))})
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    return prepare_uncached(RecordsSource(EVENTS), outcome, settings)


@functools.cache
def predictor():
    return Predictor(bundle_of(prepared(), "visit", "data.static=[sex]"))


def static_rows(codes=SEX):
    """The static codes as rows of MEDS, without a time."""
    return pd.DataFrame(
        [(name, None, code) for name, own in codes.items() for code in own], columns=["subject_id", "time", "code"]
    )


def table_of(static, subjects=120):
    names = list(RECORDS)[:subjects]
    table = meds({name: RECORDS[name] for name in names})
    return pd.concat([table, static[static["subject_id"].isin(names)]], ignore_index=True)


def risks(table):
    return table.set_index("subject_id")["risk"]


def test_a_bundle_predicts_what_the_training_run_does():
    own = predict_split(predictor().bundle.model, batches_of(prepared(), Split.TRAIN), CPU)
    found = predictor().predict(table_of(static_rows()), per_visit=True)
    hazards = found.table.set_index(["subject_id", "visit"])["hazard"]
    for row, subject in enumerate(own.subject):
        expected = own.hazard[row, 2 : own.step[row] + 1]
        name = str(prepared().tensors.subject_id[subject])
        np.testing.assert_allclose(hazards.loc[name].to_numpy()[: len(expected)], expected, atol=ROUNDING)
    assert len(own.subject) > 50
    by_source = predictor().predict_events(EVENTS, per_visit=True)
    pd.testing.assert_frame_equal(found.table.drop(columns="curve"), by_source.table.drop(columns="curve"))


def test_a_stored_bundle_predicts_the_same(tmp_path):
    write_bundle(predictor().bundle, tmp_path / "bundle", figures={}, extras={})
    again = Predictor(read_bundle(tmp_path / "bundle"))
    table = table_of(static_rows(), subjects=10)
    np.testing.assert_array_equal(risks(again.predict(table).table), risks(predictor().predict(table).table))


def test_the_onnx_model_gives_the_same_hazards(tmp_path):
    model = predictor().bundle.model
    write_onnx(model, tmp_path / "model.onnx", visit_features=5)
    expected = predict_split(model, batches_of(prepared(), Split.TRAIN), CPU)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    [hazard] = session.run(["hazard"], padded(prepared().tensors, expected.subject))
    known = np.isfinite(expected.hazard)
    np.testing.assert_allclose(hazard[:, : known.shape[1]][known], expected.hazard[known], atol=ROUNDING, rtol=0)


def test_the_server_predicts_the_same():
    table = table_of(static_rows(), subjects=10)
    answer = ask(app_on(predictor=predictor()), "POST", "/predict", json=as_json(table)).json()
    expected = predictor().predict(table).table.set_index("subject_id")
    rows = {row["subject_id"]: row for row in answer["predictions"]}
    assert len(rows) > 5
    for name, row in expected.iterrows():
        assert rows[name]["risk"] == pytest.approx(row["risk"], abs=ROUNDING)
        assert rows[name]["entries"] == row["entries"]
    assert answer["notes"] == ["static facts (rows without a time) that the model does not read: 10"]


def test_the_sex_counts_and_its_absence_is_told():
    table = table_of(static_rows(), subjects=10)
    other = static_rows({name: [{"SEX/F": "SEX/M", "SEX/M": "SEX/F"}[codes[0]]] for name, codes in SEX.items()})
    swapped = predictor().predict(table_of(other, subjects=10))
    expected = predictor().predict(table)
    assert (risks(swapped.table) != risks(expected.table)).all()
    without = predictor().predict(table_of(static_rows({}), subjects=10))
    assert any("10 of 10 subjects have no static code of the kind sex" in note for note in without.notes)
    one_less = predictor().predict(table[(table["code"] != "SEX/M") | (table["subject_id"] != "s0000")])
    assert any("1 of 10 subjects have no static code of the kind sex" in note for note in one_less.notes)
    # Neither a count of entries nor one of unknown entries includes static codes.
    counts = ["entries", "entries_unknown"]
    pd.testing.assert_frame_equal(expected.table[counts], without.table[counts])


def test_a_static_code_of_another_name_is_told_and_not_counted_as_an_entry():
    found = predictor().predict(table_of(static_rows({name: ["GENDER//F"] for name in RECORDS}), subjects=10))
    assert any("10 of 10 subjects have static codes that are not in the vocabulary" in note for note in found.notes)
    assert (found.table["entries_unknown"] == 0).all()


def test_a_known_sex_does_not_hide_a_record_of_unknown_codes():
    table = table_of(static_rows(), subjects=2)
    table["code"] = table["code"].str.replace("X/", "OTHER/")
    found = predictor().predict(table)
    assert len(found.table) == 0
    assert found.not_scored["reason"].str.startswith("no code of the record is in the vocabulary").all()


def test_a_model_without_static_codes_says_that_it_does_not_read_them():
    found = predictor_on("visit").predict(table_of(static_rows(), subjects=10))
    assert found.notes[0] == "static facts (rows without a time) that the model does not read: 20"
    plain = predictor_on("visit").predict(table_of(static_rows({}), subjects=10))
    np.testing.assert_array_equal(risks(found.table), risks(plain.table))


def test_a_table_of_visits_has_no_static_codes():
    visits = pd.DataFrame(
        [("a", f"2010-0{month}-01", ["X/1"]) for month in range(1, 6)], columns=["subject_id", "time", "codes"]
    )
    notes = predictor().predict_visits(visits.assign(birth="1960-01-01")).notes
    assert any("1 of 1 subjects have no static code of the kind sex" in note for note in notes)


def test_a_static_code_is_explained_as_a_code_of_every_visit():
    found = predictor().explain(table_of(static_rows(), subjects=1)).set_index("code")
    assert found.loc["SEX/M", "entries"] == len(RECORDS["s0000"])
    assert found.loc["SEX/M", "effect"] != 0


def test_the_example_of_the_server_has_a_sex():
    text = example_csv(predictor())
    assert "example,,SEX/F," in text.splitlines()
    assert not any("SEX/" in line and line.split(",")[1] for line in text.splitlines())
    assert ",,SEX/" not in example_csv(predictor_on("visit"))
