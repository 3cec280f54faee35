"""What a run leaves → plain values that compare exactly, without what only time or a stop changes."""

import json

import pandas as pd
import torch

from survlstm.training.checkpoint import load_checkpoint

PASSING = frozenset({"seconds", "subjects_per_second", "usage", "events", "about"})


def written_out(value, *, without=PASSING):
    """Tensors as lists of their exact values, all the way down."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: written_out(item, without=without) for key, item in value.items() if key not in without}
    if isinstance(value, list | tuple):
        return [written_out(item, without=without) for item in value]
    return value


def trained(folder, *, without=frozenset()):
    """Weights, optimizer, schedule, generators and history of a run."""
    checkpoints = {name: load_checkpoint(folder / "checkpoints" / f"{name}.pt") for name in ("best", "last")}
    found = checkpoints | {"history.json": json.loads((folder / "history.json").read_text())}
    return written_out(found, without=PASSING | without)


def judged(folder):
    """The predictions and the summary of a run."""
    predictions = pd.read_parquet(folder / "predictions.parquet")
    return {"predictions": predictions.to_csv(), "test": json.loads((folder / "metrics.json").read_text())["test"]}
