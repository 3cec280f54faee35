"""Run folders as real runs write them, small and by hand."""

import contextlib
import json

from omegaconf import OmegaConf

from survlstm.utils.files import file_lock

CONFIG = {
    "data": {"path": None, "simulated": {"patients": 1123, "seed": 1000}},
    "outcome": {"_target_": "survlstm.data.outcomes.synthetic.SyntheticOutcome", "event_rate": 0.7},
    "model": {"embedding_dim": 128, "hidden_dim": 256, "num_layers": 2, "dropout": 0.3},
    "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001, "weight_decay": 1e-4},
    "evaluation": {"landmarks": {"visits": [2, 5, 10]}},
    "seed": 0,
}


def estimate(value, half=None):
    """A figure as metrics.json holds it."""
    interval = None if half is None else {"low": value - half, "high": value + half}
    return {"value": value, "interval": interval}


def manifest(overrides, state="finished", sentence="", started="2026-11-22T20:25:33+00:00"):
    """manifest.json."""
    ended = "" if state == "running" else "2026-11-22T20:26:31+00:00"
    return {"state": state, "sentence": sentence, "overrides": list(overrides), "started": started, "ended": ended}


def metrics(val_nll, val_c_td, test_c_td, test_nll, *, difference=(0.01, 0.09), validation=True, half=0.05):
    """metrics.json of a finished run."""
    low, high = difference
    model = {"name": "model", "role": "model", "c_td": estimate(test_c_td, half), "nll": estimate(test_nll, half)}
    beaten = {"value": (low + high) / 2, "interval": {"low": low, "high": high}, "p": 0.1}
    cox = {"name": "Cox (elastic net)", "role": "baseline", "c_td": estimate(0.7, half), "c_td_difference": beaten}
    flat = {"name": "covariate-free hazard", "role": "baseline", "c_td": estimate(0.5), "c_td_difference": None}
    content = {
        "test": {"split": "test", "subjects": 188, "events": 127, "rows": [model, flat, cox]},
        "training": {"best_epoch": 2, "val_loss": val_nll, "val_c_td": val_c_td},
    }
    if validation:
        content["validation"] = {"nll": estimate(val_nll, half), "c_td": estimate(val_c_td, half)}
    return content


def history(val_nll, val_c_td, *, epochs=3, seconds=90.0, cost=0.25):
    """history.json whose second epoch is the best."""
    losses = [val_nll + 0.4, val_nll, *[val_nll + 0.1] * (epochs - 2)]
    return {
        "parameters": 1098625,
        "epochs": [
            {"epoch": place, "train_loss": 2.0, "val_loss": loss, "val_c_td": val_c_td}
            for place, loss in enumerate(losses, start=1)
        ],
        "best_epoch": 2,
        "usage": {"seconds": seconds, "cost": cost},
    }


def write(path, content):
    """JSON as the runs write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_run(folder, overrides=(), *, val=(2.2, 0.8), test=(0.78, 2.3), config=None, started=None, **more):
    """A finished run; ``val`` is nll and c_td, ``test`` c_td and nll."""
    about = {"started": started} if started else {}
    write(folder / "manifest.json", manifest(overrides, **about))
    write(folder / "metrics.json", metrics(*val, *test, **more))
    write(folder / "history.json", history(*val))
    write_config(folder, overrides, config)
    (folder / "training.log").write_text("log\n", encoding="utf-8")
    (folder / "report.html").write_text("<!DOCTYPE html>", encoding="utf-8")


def write_unfinished(folder, overrides, state, sentence="", *, val=(2.5, 0.7), epochs=3):
    """A run that has got so far; with no epochs it has not got to training."""
    write(folder / "manifest.json", manifest(overrides, state, sentence))
    if epochs:
        write(folder / "history.json", history(*val, epochs=epochs))
        write_config(folder, overrides)
    (folder / "training.log").write_text("log\n", encoding="utf-8")
    (folder / ".lock").touch()


def write_config(folder, overrides, config=None):
    """config.yaml with those of the overrides that name a key of it."""
    content = OmegaConf.create(CONFIG if config is None else config)
    for line in overrides:
        key, _, value = line.partition("=")
        if isinstance(OmegaConf.select(content, key), int | float | str):
            OmegaConf.update(content, key, OmegaConf.create(f"value: {value}").value)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(content), encoding="utf-8")


@contextlib.contextmanager
def held(folder):
    """As long as a process would train there."""
    with file_lock(folder / ".lock"):
        yield


def grid_sweep(folder):
    """Nine jobs over two keys: seven finished, one failed, one killed; the test columns run against validation."""
    jobs = [(dropout, decay) for dropout in (0.1, 0.3, 0.5) for decay in ("1e-05", "0.0001", "0.001")]
    for number, (dropout, decay) in enumerate(jobs):
        overrides = [f"model.dropout={dropout}", f"optimizer.weight_decay={decay}"]
        if number == 4:
            sentence = "TrainingError: the loss must be finite; found nan in epoch 2. Lower optimizer.lr"
            write_unfinished(folder / str(number), overrides, "failed", sentence)
        elif number == 7:
            write_unfinished(folder / str(number), overrides, "running")
        else:
            nll, c_td = 2.2 + 0.03 * abs(number - 3), 0.8 - 0.01 * abs(number - 3)
            write_run(folder / str(number), overrides, val=(nll, c_td), test=(1.5 - c_td, 4.6 - nll))
    return folder


def repeats_sweep(folder, *, folds=5):
    """Two values of one key, five folds each."""
    for number, (hidden, fold) in enumerate((hidden, fold) for hidden in (64, 256) for fold in range(folds)):
        nll = (2.4 if hidden == 64 else 2.3) + 0.02 * fold
        overrides = [f"model.hidden_dim={hidden}", f"split.fold={fold}"]
        write_run(folder / str(number), overrides, val=(nll, 0.8), test=(0.7 + 0.01 * fold, nll + 0.1))
    return folder
