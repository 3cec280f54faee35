"""A model that uses values predicts the same from the run, a bundle, ONNX, tables of events and of visits."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from survlstm.config.schema.data import MedsConfig
from survlstm.data.split import Split
from survlstm.data.values.descriptions import with_fused_codes
from survlstm.inference.bundle.bundle import read_bundle, write_bundle
from survlstm.inference.bundle.onnx_export import export_onnx
from survlstm.inference.predictor import Predictor
from survlstm.inference.value_notes import ReadValues
from survlstm.training.prediction import predict_split
from tests.bundles import predictor_on
from tests.inference.bundle.test_onnx_export import padded
from tests.inference.test_predictor_on_meds import write_dataset
from tests.learning import CPU, batches_of
from tests.serving.asking import app_on, as_csv, as_json, ask
from tests.valued_bundle import (
    as_rows,
    as_visits,
    bundle_with_values,
    predictor_with_values,
    prepared_with_values,
    valued_events,
)

ROUNDING = 1e-6


@pytest.fixture(scope="module")
def events():
    """The records that the model was trained on."""
    return valued_events(120, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The bundle as a folder, with its ONNX file."""
    bundle, folder = bundle_with_values(), tmp_path_factory.mktemp("values") / "bundle"
    features = 5 + bundle.preprocessing.value_columns
    write_bundle(bundle, folder, figures={}, extras=export_onnx(bundle.model, visit_features=features))
    return folder


@pytest.fixture(scope="module")
def found(events):
    """Predictions at each visit, from events."""
    return predictor_with_values().predict_events(events, per_visit=True)


def test_values_change_predictions(events, found):
    assert len(prepared_with_values().preprocessing.values.column_measures) == 5
    plain = predictor_with_values().predict(as_rows(events).drop(columns=["numeric_value", "unit"]), per_visit=True)
    assert np.abs(plain.table["hazard"] - found.table["hazard"]).max() > 0.01


def test_hazards_are_those_of_the_run(found):
    prepared = prepared_with_values()
    own = predict_split(bundle_with_values().model, batches_of(prepared, Split.TRAIN), CPU)
    table = found.table.set_index(["subject_id", "visit"])["hazard"]
    compared = 0
    for row, subject in enumerate(own.subject):
        expected = own.hazard[row, 2 : own.step[row] + 1]
        hazards = table.loc[str(prepared.tensors.subject_id[subject])].to_numpy()[: len(expected)]
        np.testing.assert_allclose(hazards, expected, atol=ROUNDING)
        compared += len(expected)
    assert compared > 100


def test_a_bundle_and_tables_give_the_same_predictions(events, found, folder):
    loaded = Predictor(read_bundle(folder))
    rows, visits = as_rows(events), as_visits(events)
    tables = {
        "events": loaded.predict(rows.sample(frac=1, random_state=0), per_visit=True),
        "visits": loaded.predict_visits(visits.sample(frac=1, random_state=0), per_visit=True),
    }
    for other in tables.values():
        pd.testing.assert_frame_equal(
            other.table.drop(columns="curve"), found.table.drop(columns="curve"), atol=ROUNDING
        )
        assert other.values == found.values


def test_the_onnx_model_has_the_hazards_of_the_run(folder):
    prepared = prepared_with_values()
    expected = predict_split(bundle_with_values().model, batches_of(prepared, Split.TEST), CPU)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    [hazard] = session.run(["hazard"], padded(prepared.tensors, expected.subject))
    known = np.isfinite(expected.hazard)
    assert known.sum() > 20
    np.testing.assert_allclose(hazard[:, : known.shape[1]][known], expected.hazard[known], atol=ROUNDING, rtol=0)


def test_the_server_gives_the_same_predictions(events, found):
    names = events.subjects.subject_id[:5]
    rows = as_rows(events)
    rows = rows[rows["subject_id"].isin(names)]
    rows = rows.assign(time=rows["time"].dt.strftime("%Y-%m-%dT%H:%M:%S"))
    app = app_on(predictor=predictor_with_values())
    answers = [
        ask(app, "POST", "/predict", json=as_json(rows, per_visit=True)),
        ask(app, "POST", "/predict", params={"per_visit": True}, **as_csv(rows)),
    ]
    expected = found.table[found.table["subject_id"].isin(names)]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        hazards = [row["hazard"] for row in answer.json()["predictions"]]
        np.testing.assert_allclose(hazards, expected["hazard"], atol=ROUNDING)


def test_the_command_gives_the_same_predictions(events, survlstm, tmp_path, capsys):
    bundle, rows = bundle_with_values(), as_rows(events)
    rows = rows.assign(subject_id=rows["subject_id"].str[1:].astype(int))
    is_other = (rows["unit"] == "mmol/L") & (rows["code"] == "X/1")
    rows["unit"] = rows["unit"].mask(is_other, "g/L")
    source = MedsConfig(_target_="survlstm.data.sources.meds.source.MedsSource", max_unusable_share=0.0)
    data = bundle.config.data.model_copy(update={"source": source, "path": "export", "simulated": None})
    changed = replace(bundle, config=bundle.config.model_copy(update={"data": data}))
    write_bundle(changed, tmp_path / "bundle", figures={}, extras={})
    write_dataset(tmp_path / "dataset", rows)
    code = survlstm("predict", "bundle=bundle", "data.path=dataset", "output=found.csv", "subjects_at_once=50")
    assert code == 0
    found = pd.read_csv(tmp_path / "found.csv").sort_values("subject_id", ignore_index=True)
    expected = Predictor(changed).predict(rows)
    expected_table = expected.table.astype({"subject_id": int}).sort_values("subject_id", ignore_index=True)
    columns = ["subject_id", "visits", "entries", "entries_unknown", "hazard", "risk"]
    pd.testing.assert_frame_equal(found[columns], expected_table[columns], atol=ROUNDING, check_dtype=False)
    # The counts of all parts together.
    assert expected.values.other_unit > 10
    [note] = expected.values.notes
    assert capsys.readouterr().out.count(note) == 1


def test_values_in_another_unit_and_far_outside_are_counted():
    events = valued_events(5, seed=0)
    rows = as_rows(events)
    found = predictor_with_values().predict(rows)
    assert found.values.numbers > 50
    assert found.values.other_unit == found.values.far_outside == 0
    assert not [note for note in found.notes if "values" in note]
    number = rows.index[rows["numeric_value"].notna() & (rows["unit"] == "mg/dL")]
    rows.loc[number[:3], "unit"] = ["mg/l", None, "%"]
    rows.loc[number[3:5], "numeric_value"] = [1e6, -1e6]
    other = predictor_with_values().predict(rows)
    assert other.values == ReadValues(found.values.numbers, 3, 2)
    notes = [note for note in other.notes if "values" in note]
    assert notes[0].startswith(f"3 of {found.values.numbers} values have no unit, or one in which the training had no")
    assert notes[1].startswith(f"2 of {found.values.numbers} values are far outside of the training's values")
    [subject] = {*rows.loc[number[:5], "subject_id"]}
    explained = predictor_with_values().explain(rows[rows["subject_id"] == subject])
    assert len([note for note in explained.attrs["notes"] if "values" in note]) == 2


def test_only_entries_of_the_record_are_counted(events, found):
    rows = as_rows(events)
    plain = predictor_with_values().predict(rows.drop(columns=["numeric_value", "unit"]), per_visit=True)
    kept = rows[rows["code"] != "MEDS_BIRTH"].drop_duplicates()
    last = found.table.groupby("subject_id").last()
    assert last["entries"].to_dict() == kept.groupby("subject_id").size().loc[last.index].to_dict()
    # Without values, equal codes of one time are one entry.
    assert (plain.table["entries"] <= found.table["entries"]).all()
    unknown = prepared_with_values().preprocessing.vocabulary.number(kept["code"].to_numpy(str)) == 1
    assert found.table.groupby("subject_id")["entries_unknown"].last().sum() == unknown.sum()


def test_a_model_without_values_counts_none():
    rows = as_rows(valued_events(3, seed=0))
    assert predictor_on("visit").predict(rows).values == ReadValues()


def test_fused_codes_are_explained_with_their_interval(events):
    prepared, rows = prepared_with_values(), as_rows(events)
    tensors = prepared.tensors
    owner = np.repeat(tensors.subject_id, tensors.visits_per_subject)
    subject = pd.Series(tensors.fused_codes).groupby(owner).sum().idxmax()
    bundle = bundle_with_values()
    described = with_fused_codes(bundle.descriptions, prepared.preprocessing.values)
    predictor = Predictor(replace(bundle, descriptions=described))
    found = predictor.explain(rows[rows["subject_id"] == subject]).set_index("code")
    fused = found[found.index.str.contains("//value_[", regex=False)]
    assert len(fused) > 5
    for code, row in fused.iterrows():
        stem, _, bounds = code.rpartition("//value_[")
        low, high = bounds.removesuffix(")").split(",")
        name, _, unit = stem.partition("//")
        unit = f" {unit}" if unit else ""
        interval = {("-inf", high): f"below {high}{unit}", (low, "inf"): f"{low}{unit} or more"}
        expected = interval.get((low, high), f"{low} to {high}{unit}")
        assert row["description"] == f"finding number {name[2:]} ({expected})"
    assert found["effect"].abs().max() > 1e-3
