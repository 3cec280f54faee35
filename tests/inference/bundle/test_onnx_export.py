"""Tests of write_onnx: hazards equal those of the model for records of any size; the file holds no path."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from survlstm.data.batches import feature_columns
from survlstm.data.features import FEATURES
from survlstm.data.split import Split
from survlstm.inference.bundle.onnx_export import export_onnx, write_onnx
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.models.protocol import ModelInputs
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import BundleError, ConfigError
from tests.days_bundle import prepared_at_times
from tests.learning import CPU, batches_of, model_for, prepared_on


def model_of(*, intervals=None, layers=1, visit_features=5):
    torch.manual_seed(0)
    return DiscreteTimeSurvivalLSTM(
        vocabulary_size=30,
        embedding_dim=8,
        hidden_dim=16,
        num_layers=layers,
        dropout=0.3,
        visit_features=visit_features,
        intervals=intervals,
        mean_hazard=[0.1] * (intervals or 1),
    )


def padded(tensors, subjects):
    """Pad records as the file takes them, with arbitrary values after their ends; of the features the first five."""
    columns = feature_columns(FEATURES[:5], tensors)
    visits = np.diff(tensors.visit_offsets)[subjects]
    codes = np.diff(tensors.code_offsets)
    found = np.full((len(subjects), visits.max() + 2, codes.max() + 1), 3, dtype=np.int64)
    features = np.full((*found.shape[:2], len(columns)), 7.0, dtype=np.float32)
    for row, subject in enumerate(subjects):
        found[row, : visits[row]] = 0
        own = np.arange(tensors.visit_offsets[subject], tensors.visit_offsets[subject + 1])
        features[row, : visits[row]] = tensors.features[own][:, columns]
        for place, visit in enumerate(own):
            found[row, place, : codes[visit]] = tensors.code[
                tensors.code_offsets[visit] : tensors.code_offsets[visit + 1]
            ]
    return {"codes": found, "visit_features": features, "visits_per_row": visits.astype(np.int64)}


@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_hazards_are_those_of_the_trained_model(clock, tmp_path):
    prepared = prepared_on(clock)
    model = model_for(prepared)
    torch.nn.init.normal_(model.head[3].weight, std=0.5)
    assert write_onnx(model, tmp_path / "model.onnx", visit_features=5) < 1e-6
    assert model.training
    expected = predict_split(model, batches_of(prepared, Split.TRAIN), CPU)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    [hazard] = session.run(["hazard"], padded(prepared.tensors, expected.subject))
    known = np.isfinite(expected.hazard)
    assert known.any(axis=1).all()
    np.testing.assert_allclose(hazard[:, : known.shape[1]][known], expected.hazard[known], atol=1e-5, rtol=0)


def test_on_the_days_clock_a_row_is_predicted_after_its_last_visit(tmp_path):
    prepared = prepared_at_times()
    model, tensors = model_for(prepared), prepared.tensors
    torch.nn.init.normal_(model.head[3].weight, std=0.5)
    assert write_onnx(model, tmp_path / "model.onnx", visit_features=5, prediction_features=1) < 1e-6
    expected = predict_split(model, batches_of(prepared, Split.TEST), CPU)
    # The last row of each subject sees all that is stored of it.
    last = np.flatnonzero(np.append(np.diff(expected.subject) != 0, True))
    seen = tensors.row_visits[expected.row[last]] == tensors.visits_per_subject[expected.subject[last]]
    chosen = last[seen]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    features = tensors.prediction_features[expected.row[chosen]]
    inputs = padded(tensors, expected.subject[chosen]) | {"prediction_features": features}
    [hazard] = session.run(["hazard"], inputs)
    np.testing.assert_allclose(hazard, expected.hazard[chosen], atol=1e-5, rtol=0)
    assert len(chosen) > 3
    [later] = session.run(["hazard"], inputs | {"prediction_features": features + 1})
    assert np.abs(later - hazard).max() > 1e-4
    described = onnx.load(tmp_path / "model.onnx").doc_string
    assert "prediction_features float32 [row, feature]" in described
    assert "each interval after the prediction time of a row" in described


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("intervals", [None, 4])
def test_rows_visits_and_codes_may_be_any_number(intervals, layers, tmp_path):
    model = model_of(intervals=intervals, layers=layers)
    assert write_onnx(model, tmp_path / "model.onnx", visit_features=5) < 1e-6
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 30, (7, 50, 30))
    features = generator.normal(size=(7, 50, 5)).astype(np.float32)

    def run(rows, visits, most_codes):
        inputs = (codes[:rows, :visits, :most_codes], features[:rows, :visits], np.full(rows, visits))
        names = ("codes", "visit_features", "visits_per_row")
        return session.run(["hazard"], dict(zip(names, inputs, strict=True)))[0]

    for rows, visits, most_codes in ((1, 1, 1), (7, 1, 30), (1, 50, 2), (7, 50, 30)):
        found = run(rows, visits, most_codes)
        assert found.shape == (rows, visits if intervals is None else intervals)
        # A row depends neither on other rows nor on later visits.
        alone = run(1, visits, most_codes)
        np.testing.assert_allclose(found[:1], alone, atol=1e-6)
        if intervals is None:
            np.testing.assert_allclose(found[:, :1], run(rows, 1, most_codes), atol=1e-6)


def test_behind_the_end_of_a_row_there_is_no_hazard(tmp_path):
    write_onnx(model_of(), tmp_path / "model.onnx", visit_features=5)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    inputs = {
        "codes": np.ones((2, 3, 1), dtype=np.int64),
        "visit_features": np.zeros((2, 3, 5), dtype=np.float32),
        "visits_per_row": np.array([1, 3]),
    }
    np.testing.assert_array_equal(
        np.isnan(session.run(["hazard"], inputs)[0]), [[False, True, True], [False, False, False]]
    )


def test_padding_among_codes_and_a_visit_without_any(tmp_path):
    """The mean excludes padding at any position; for a visit without a code it is 0."""
    model = model_of(visit_features=0).eval()
    write_onnx(model, tmp_path / "model.onnx", visit_features=0)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    codes = np.array([[[3, 4, 0, 0]], [[0, 4, 0, 3]], [[0, 0, 0, 0]]])
    inputs = {
        "codes": codes,
        "visits_per_row": np.ones(3, dtype=np.int64),
    }
    [hazard] = session.run(["hazard"], inputs)
    with torch.no_grad():
        inputs = ModelInputs(
            codes=torch.tensor([3, 4]),
            code_offsets=torch.tensor([0, 2]),
            visit_features=torch.zeros(2, 0),
            visit_days=torch.zeros(2),
            slices=((2, 1),),
            slot=torch.arange(2),
            visits_per_row=torch.ones(2).long(),
        )
        logits = model(inputs)
    expected = torch.sigmoid(logits).numpy()
    np.testing.assert_allclose(hazard[:, 0], expected[[0, 0, 1]], atol=1e-6)


def test_the_file_says_what_it_takes_and_nothing_of_this_machine(tmp_path):
    write_onnx(model_of(intervals=4), tmp_path / "model.onnx", visit_features=5)
    written = onnx.load(tmp_path / "model.onnx")
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*written.graph.input, *written.graph.output)
    }
    assert shapes == {
        "codes": ["row", "visit", "code"],
        "visit_features": ["row", "visit", 5],
        "visits_per_row": ["row"],
        "hazard": ["row", 4],
    }
    assert "hazard float32 [row, interval]" in written.doc_string
    content = (tmp_path / "model.onnx").read_bytes()
    assert not any(text in content for text in (b"/work", b"site-packages", b".py", str(tmp_path).encode(), b"/root"))


def test_a_bundle_gets_the_file_by_its_name(tmp_path):
    write_onnx(model_of(), tmp_path / "model.onnx", visit_features=5)
    assert export_onnx(model_of(), visit_features=5) == {"model.onnx": (tmp_path / "model.onnx").read_bytes()}


class Shifted(DiscreteTimeSurvivalLSTM):
    """A model that gives other hazards where it is exported."""

    def forward(self, inputs):
        return super().forward(inputs) + (0.01 if type(inputs) is ModelInputs else 0.0)


def test_a_file_that_gives_other_hazards_is_refused():
    model = model_of()
    model.__class__ = Shifted
    with pytest.raises(
        BundleError, match=r"must agree with torch's within 1e-05; they differ by up to .*format=native"
    ):
        export_onnx(model, visit_features=5)


def test_a_model_of_another_class_is_refused(tmp_path):
    with pytest.raises(
        ConfigError,
        match="to be explained or exported to ONNX; Linear has 0",
    ):
        write_onnx(torch.nn.Linear(1, 1), tmp_path / "model.onnx", visit_features=5)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package} isn't installed\. pip install 'survlstm\[onnx\]'"):
        write_onnx(model_of(), tmp_path / "model.onnx", visit_features=5)
