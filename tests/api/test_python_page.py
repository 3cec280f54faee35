"""The code of docs/python.md runs, and gives what the page says."""

import numpy as np
import pytest
import torch

import survlstm


def test_train_writes_a_finished_run_below_outputs(page):
    run = page["run"]
    assert run.state == "finished"
    assert run.folder.parents[1] == page["folder"] / "outputs"
    assert run.report() == run.folder / "report.html"


def test_a_loop_of_ones_own_lowers_the_loss(page):
    losses = page["losses"]
    assert len(losses) == 3 * len(page["loader"])
    assert np.mean(losses[-2:]) < np.mean(losses[:2])


def test_the_bundle_is_a_predictor(page):
    assert page["path"] == page["folder"] / "bundle.zip"
    assert isinstance(page["predictor"], survlstm.Predictor)


def test_compare_names_the_runs_by_their_folders(page):
    comparison, run = page["comparison"], page["run"]
    assert set(comparison.table.index) == {run.folder.name, "other"}
    assert comparison.table["c_td"].is_monotonic_decreasing
    assert comparison.table["subjects"].unique().tolist() == [comparison.details.subjects]
    assert np.isnan(comparison.table.iloc[0]["c_td_difference"])
    assert comparison.table.loc[run.folder.name, "c_td"] == run.metrics.loc["model", "c_td"]


def test_an_evaluation_has_the_tables_of_its_split(page):
    evaluation = page["on_validation"]
    assert isinstance(evaluation, survlstm.Evaluation)
    assert evaluation.config.split == "val"
    assert evaluation.predictions["split"].unique().tolist() == ["val"]
    assert evaluation.metrics.loc["model", "c_td"] == page["run"].history.query("is_best")["val_c_td"].item()
    assert survlstm.load_evaluation(evaluation.folder) == evaluation
    assert not hasattr(evaluation, "model")


def test_the_metrics_on_arrays(page):
    # By hand: at 4 every weight is 1; at 7 the subject censored at 5 is left out, and G is 3/4 from there on.
    expected = [
        (0.3**2 + 0.5**2 + 0.4**2 + 0.3**2 + 0.1**2 + 0.2**2) / 6,
        (0.1**2 + 0.3**2 + 0.4**2 / (3 / 4) + (0.2**2 + 0.3**2) / (3 / 4)) / 6,
    ]
    assert page["brier"] == pytest.approx(expected)
    assert page["observed"] == pytest.approx([4 / 6, 4 / 6 * 2 / 3])
    assert page["nll"].tolist() == pytest.approx([3 * np.log(2), np.log(2)])
    assert torch.equal(page["hazard"], torch.full((2, 3), 0.5))
