"""A model with code groups predicts the same from the run, a bundle, ONNX and the server."""

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.split import Split
from survlstm.inference.bundle.bundle import read_bundle, write_bundle
from survlstm.inference.bundle.card import write_card
from survlstm.inference.bundle.onnx_export import export_onnx
from survlstm.inference.predictor import Predictor
from survlstm.training.prediction import predict_split
from tests.bundles import bundle_of, meds
from tests.inference.bundle.test_onnx_export import padded
from tests.learning import CPU, batches_of, fit_new
from tests.prepared import prepared_from
from tests.records import GROUPS, SETTINGS, random_records
from tests.serving.asking import app_on, as_json, ask

ROUNDING = 1e-6
# Those of GROUPS whose codes the records have.
COMMON, OUTCOME = GROUPS[:2]


@functools.cache
def prepared():
    outcome = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    return prepared_from(random_records(120, seed=0), outcome, replace(SETTINGS, code_groups=(COMMON, OUTCOME)))


@functools.cache
def bundle():
    groups = ",".join(f"{group.name}:[{','.join(group.codes)}]" for group in (COMMON, OUTCOME))
    with tempfile.TemporaryDirectory() as folder:
        model, _ = fit_new(prepared(), Path(folder), epochs=3, lr=0.03)
    return bundle_of(prepared(), "visit", f"data.code_groups={{{groups}}}", model=model.eval())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups") / "bundle"
    extras = export_onnx(bundle().model, visit_features=5 + 4)
    write_bundle(bundle(), folder, figures={}, extras=extras)
    return folder


def test_a_stored_bundle_has_the_hazards_of_the_run(folder):
    run = prepared().tensors
    expected = predict_split(bundle().model, batches_of(prepared(), Split.TEST), CPU)
    found = Predictor(read_bundle(folder)).predict(meds(random_records(120, seed=0)), per_visit=True).table
    compared = 0
    for row, subject in enumerate(expected.subject):
        rows = found[found["subject_id"] == run.subject_id[subject]]
        own = expected.hazard[row][np.isfinite(expected.hazard[row])]
        # Predictions begin at the third visit.
        known = rows["hazard"].to_numpy()[: max(len(own) - 2, 0)]
        np.testing.assert_allclose(known, own[2:], atol=ROUNDING)
        compared += len(known)
    assert compared > 50


def test_the_columns_change_predictions():
    rows = meds(random_records(20, seed=1))
    bare = replace(bundle().preprocessing.code_groups, groups=tuple(group._replace(codes=()) for group in GROUPS[:2]))
    without = replace(bundle(), preprocessing=replace(bundle().preprocessing, code_groups=bare))
    found, other = (Predictor(each).predict(rows).table["risk"] for each in (bundle(), without))
    assert np.abs(found - other).max() > 1e-3


def test_the_onnx_model_has_the_hazards_of_the_run(folder):
    expected = predict_split(bundle().model, batches_of(prepared(), Split.TEST), CPU)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    [hazard] = session.run(["hazard"], padded(prepared().tensors, expected.subject))
    known = np.isfinite(expected.hazard)
    np.testing.assert_allclose(hazard[:, : known.shape[1]][known], expected.hazard[known], atol=ROUNDING, rtol=0)


def test_the_server_gives_the_same_predictions(folder):
    rows = meds(random_records(5, seed=1)).drop(columns="numeric_value")
    rows["time"] = pd.to_datetime(rows["time"], format="ISO8601").dt.strftime("%Y-%m-%dT%H:%M:%S")
    answer = ask(app_on(predictor=Predictor(read_bundle(folder))), "POST", "/predict", json=as_json(rows)).json()
    expected = Predictor(bundle()).predict(rows).table.set_index("subject_id")["risk"]
    assert len(answer["predictions"]) == len(expected) > 3
    for row in answer["predictions"]:
        assert row["risk"] == pytest.approx(expected[row["subject_id"]], abs=ROUNDING)


def test_the_card_lists_the_codes_of_each_group():
    whole = bundle()
    card = write_card(
        whole.about,
        whole.config,
        reference=whole.reference,
        cohort=whole.cohort,
        metrics=whole.metrics,
        figures=[],
        has_onnx=False,
    )
    assert "| Code group common | X/1, X/3 |\n| Code group outcome | X/7 |\n" in card
    assert "code groups with those of their columns" in card
