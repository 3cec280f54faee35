"""The guide's own story: its first run, 106 patients and a million parameters, must be told to be overfitting."""

import json

import pytest


def health_of(survlstm, folder, *words):
    assert survlstm("train", "experiment=guide_106", "trainer.device=cpu", f"output_dir={folder}", *words) == 0
    findings = json.loads((folder / "metrics.json").read_text())["diagnostics"]
    assert all({"check", "level", "finding", "evidence", "advice"} <= set(one) for one in findings)
    return {one["check"]: one for one in findings}


def assert_told(health, *, epochs):
    overfitting = health["validation loss"]
    assert overfitting["level"] == "warning"
    assert "Overfitting: the training loss fell while the validation loss rose" in overfitting["finding"]
    assert f"last epoch {epochs}: validation loss" in overfitting["evidence"]
    advice = {"model.dropout=0.5", "optimizer.weight_decay=0.001", "trainer.early_stopping.patience=5"}
    assert advice | {"data=cohort_1000"} == set(overfitting["advice"])
    assert health["model size"]["level"] == "warning"
    assert "model=lstm_small" in health["model size"]["advice"]
    assert health["test events"]["level"] == "warning"
    assert "failure" not in {one["level"] for one in health.values()}


def test_thirty_epochs_show_it(survlstm, tmp_path):
    bare = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
    words = ["trainer.epochs=30", *bare]
    assert_told(health_of(survlstm, tmp_path / "run", *words), epochs=30)


@pytest.mark.slow
def test_the_whole_run(survlstm, tmp_path):
    health = health_of(survlstm, tmp_path / "run")
    assert_told(health, epochs=100)
    # The C-index falls over the epochs too, but by less than 13 validation events can show.
    assert "Mann-Kendall z -" in health["validation C-index over epochs"]["evidence"]
    for check in ("C-index on validation", "C-index on test"):
        assert "the wrong way round" in health[check]["finding"]
