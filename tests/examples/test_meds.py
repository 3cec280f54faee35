"""Train, evaluate, export, predict and plot on the MIMIC-IV demo, a MEDS dataset of 100 real patients."""

import json

import numpy as np
import pandas as pd
import pytest

from survlstm.inference.predictor import load_bundle

pytestmark = pytest.mark.slow


def told(path):
    return json.loads(path.read_text())


@pytest.fixture
def bundle(survlstm, mimic, tmp_path):
    words = ["data=meds", f"data.path={mimic}", "outcome=death", "split=dataset"]
    assert survlstm("train", *words, "experiment=smoke", "output_dir=run") == 0
    assert survlstm("export", "run=run", "output=bundle") == 0
    return tmp_path / "bundle"


def test_a_model_of_mimic_is_trained_evaluated_exported_and_predicts(survlstm, mimic, bundle, tmp_path, capsys):
    run = told(tmp_path / "run" / "metrics.json")
    assert run["test"]["subjects"] == 10
    assert any("30 are needed" in line for line in run["test"]["notes"])
    dataset = f"data.path={mimic}"
    for output, at_once in (("whole", 2000), ("parts", 20)):
        words = [f"bundle={bundle}", dataset, f"output={output}.parquet", f"subjects_at_once={at_once}"]
        assert survlstm("predict", *words) == 0
    whole, parts = (pd.read_parquet(f"{name}.parquet").sort_values("subject_id") for name in ("whole", "parts"))
    assert len(whole) == 69
    assert told(tmp_path / "whole.json")["subjects_not_scored"] == told(tmp_path / "parts.json")["subjects_not_scored"]
    np.testing.assert_allclose(np.stack(parts["curve"]), np.stack(whole["curve"]), atol=1e-6)
    table = pd.concat([pd.read_parquet(path) for path in sorted((mimic / "data").rglob("*.parquet"))])
    found = load_bundle(bundle).predict(table).table.sort_values("subject_id")
    assert found["subject_id"].tolist() == whole["subject_id"].tolist()
    np.testing.assert_allclose(np.stack(found["curve"]), np.stack(whole["curve"]), atol=1e-6)
    assert survlstm("plot", "survival", f"bundle={bundle}", dataset, "output=curves", "subjects=[10001217]") == 0
    assert survlstm("plot", "survival", f"bundle={bundle}", dataset, "output=other", "subjects=[7]") == 2
    assert "are not among its 100 patients" in capsys.readouterr().out
    assert survlstm("evaluate", "run=run", "data=meds", dataset, "output_dir=evaluated") == 0
    # All but the training and validation subjects.
    assert told(tmp_path / "evaluated" / "metrics.json")["test"]["subjects"] == 10
