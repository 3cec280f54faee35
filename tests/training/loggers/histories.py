"""Build small histories, configs and run folders for the tests of the loggers."""

import logging
from dataclasses import replace

from survlstm.training.history import Epoch, History

CONFIG = {"seed": 0, "model": {"hidden_dim": 16, "dropout": 0.3, "features": ["age"]}, "resume": None, "verbose": False}
METRICS = {"test.c_td": 0.75, "test.nll": 2.5, "test.baseline.oracle.c_td": float("nan")}


def history(epochs, *, shift=0.0, val_c_td=0.5):
    """Build a history of some epochs with distinct figures; ``shift`` gives the figures of another process."""
    return History(
        10,
        0.5,
        epochs=[
            Epoch(n, train_loss=3 - n / 10 + shift, val_loss=2 - n / 10, val_c_td=val_c_td, lr=0.01, grad_norm=1.5,
                  seconds=2.0, subjects_per_second=100.0 + n)
            for n in range(1, epochs + 1)
        ],
    )  # fmt: skip


def started_from_a_fit(trained):
    """The history of a model that was validated before its first step."""
    return replace(trained, start=Epoch(0, 3.5, 2.5, 0.4, 0.0, 0.0, 0.0, 0.0))


def results(folder):
    """Fill a folder with the files of a finished run."""
    for name in ("config.yaml", "history.json", "metrics.json", "report.html", "predictions.parquet"):
        (folder / name).write_text(f"this is {name}")
    for name in ("figures", "checkpoints"):
        (folder / name).mkdir()
    (folder / "figures" / "loss.png").write_text("a figure")
    (folder / "checkpoints" / "best.pt").write_text("the weights")


def warnings_in(caplog):
    """Return the logged warnings as text."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
