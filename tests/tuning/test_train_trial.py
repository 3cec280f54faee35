"""Real trials: trained, not judged, pruned by their curves, and gone on with."""

import json

import pytest

from survlstm.tuning import tune
from survlstm.tuning.pruning import Pruned
from survlstm.tuning.trial import read_history, train_trial
from tests.tuning.bowl import config_of

BASE = ["experiment=smoke", "data.simulated.patients=120", "model.embedding_dim=8", "model.hidden_dim=8"]


class Watching:
    def __init__(self, stop_at=None):
        self.epochs, self.stop_at, self.outcome = [], stop_at, None

    def epoch_ended(self, history):
        self.epochs.append(len(history.epochs))
        if len(history.epochs) == self.stop_at:
            raise Pruned("enough")


def test_a_search_over_real_runs(tmp_path, shared_cache):
    folder = tmp_path / "study"
    base = ",".join(f'"{word}"' for word in [*BASE, f"cache_dir={shared_cache}"])
    tune(config_of(folder, f"base=[{base}]", "trials=3", "pruner=null"))
    best = json.loads((folder / "study.json").read_text())["best"]
    values = [read_history(folder / "trials" / f"{number:04d}").best.val_loss for number in range(3)]
    assert best["val_nll"] == min(values)
    assert not list(folder.rglob("metrics.json"))
    assert not list(folder.rglob("predictions.parquet"))


def test_a_pruned_trial_ends_at_once_and_a_finished_one_is_not_trained_again(tmp_path, shared_cache):
    words = [*BASE, f"cache_dir={shared_cache}"]
    with pytest.raises(Pruned):
        train_trial(words, tmp_path / "run", Watching(stop_at=2))
    assert len(read_history(tmp_path / "run").epochs) == 2
    rest = Watching()
    outcome = train_trial(words, tmp_path / "run", rest)
    assert (rest.epochs, outcome.epochs) == ([3], 3)
    again = Watching()
    assert train_trial(words, tmp_path / "run", again) == outcome
    assert again.epochs == []
