"""``trainer.budget``: a run that stops with what it has, and goes on with more as if it had never stopped."""

import json
import re

import pytest

from tests.examples.conftest import run_all

BARE = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
RUN = ["train", "experiment=smoke", *BARE, "trainer.early_stopping.patience=null"]
FIGURES = ("train_loss", "val_loss", "val_c_td", "grad_norm", "lr")


def history_of(folder):
    return json.loads((folder / "history.json").read_text())


def figures_in(folder):
    return [[epoch[name] for name in FIGURES] for epoch in history_of(folder)["epochs"]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shared_cache):
    """The figures of a run of three epochs without a budget; fills the cache, too."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_all(folder, shared_cache, [*RUN, "output_dir=run"])
    return figures_in(folder / "run")


def test_a_spent_budget_ends_the_run_with_its_best_model(survlstm, tmp_path, capsys, undisturbed):
    # Time for a few of the epochs.
    words = [*RUN, "trainer.epochs=100000", "trainer.cost_per_hour=1.2", "output_dir=run"]
    assert survlstm(*words, f"trainer.budget.hours={1 / 3600:.8f}") == 0
    folder = tmp_path / "run"
    history = history_of(folder)
    done = len(history["epochs"])
    assert 1 <= done < 100000
    assert re.fullmatch(r"the budget of 0.00027778 hours is spent, in epoch \d+", history["stopped"])
    assert {path.name for path in folder.iterdir()} >= {"metrics.json", "report.html", "predictions.parquet"}
    assert (folder / "checkpoints" / "best.pt").is_file()

    usage = history["usage"]
    assert 1 <= usage["seconds"] < 10
    assert usage["cost"] == pytest.approx(usage["seconds"] / 3600 * 1.2)
    shown = capsys.readouterr().out
    assert f"Training ended: {history['stopped']}" in shown
    lines = re.findall(r"^Time: .+ so far, at most .+ to go; cost: \$[\d.]+ so far, at most \$[\d.]+$", shown, re.M)
    assert len(lines) == done

    # What had been computed when the budget was spent is neither lost nor done twice.
    again = ["train", f"resume={folder}", "trainer.budget.hours=null", f"trainer.epochs={done + 2}"]
    assert survlstm(*again) == 0
    assert survlstm(*RUN, f"trainer.epochs={done + 2}", "output_dir=whole") == 0
    assert figures_in(folder) == figures_in(tmp_path / "whole")
    gone_on = history_of(folder)
    assert gone_on["stopped"] == f"all {done + 2} epochs done"
    assert gone_on["usage"]["seconds"] > usage["seconds"]
    assert len(gone_on["events"]) == 1
    assert gone_on["events"][0].startswith("resumed in epoch ")


@pytest.mark.parametrize("budget", [["hours=1e-9"], ["dollars=1e-9", "trainer.cost_per_hour=1"]])
def test_a_budget_that_is_too_small_for_an_epoch(survlstm, tmp_path, capsys, undisturbed, budget):
    words = [f"trainer.budget.{budget[0]}", *budget[1:], "output_dir=run"]
    assert survlstm(*RUN, *words) == 6
    shown = capsys.readouterr().out
    assert "TrainingError: a model must have been trained for an epoch before its budget is spent; 0 steps" in shown
    assert "Raise trainer.budget and resume with survlstm train resume=RUN" in shown
    assert (tmp_path / "run" / "checkpoints" / "last.pt").is_file()
    history = history_of(tmp_path / "run")
    assert history["epochs"] == []
    assert re.fullmatch(r"the budget of \$?1e-09( hours)? is spent, in epoch 1", history["stopped"])
    key = budget[0].split("=")[0]
    assert survlstm("train", "resume=run", f"trainer.budget.{key}=10") == 0
    assert figures_in(tmp_path / "run") == undisturbed


def test_a_budget_of_dollars_needs_a_price(survlstm, tmp_path, capsys):
    assert survlstm(*RUN, "trainer.budget.dollars=5") == 2
    assert "trainer.budget.dollars=5 needs trainer.cost_per_hour above 0; found null" in capsys.readouterr().err
    assert survlstm(*RUN, "trainer.budget.dollars=5", "trainer.cost_per_hour=0") == 2
    assert "trainer.budget.dollars=5 needs trainer.cost_per_hour above 0; found 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_price_nothing_is_said_of_cost(survlstm, tmp_path, capsys):
    assert survlstm(*RUN, "trainer.epochs=1", "output_dir=run") == 0
    usage = history_of(tmp_path / "run")["usage"]
    assert set(usage) == {
        "seconds",
        "seconds_at_most",
        "cost",
        "cost_at_most",
        "peak_bytes",
        "peak_device_bytes",
        "device_busy",
    }
    assert usage["cost"] is usage["cost_at_most"] is usage["peak_device_bytes"] is usage["device_busy"] is None
    assert usage["peak_bytes"] > 2**27
    shown = capsys.readouterr().out
    assert re.search(r"^Time: .+ so far, at most 0.0 s to go$", shown, re.M)
    assert "$" not in shown.split("Epoch 1/1")[1].split("Training ended")[0]
