"""Shared by the scripts that tabulate results: their options, one run, and metrics as table cells."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = ("metrics", "history")
MODEL = ["model=lstm_medium", "trainer=a40"]


def read_options(words: list[str], defaults: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """``name=value`` of a script's own options, defaults filled in, and the overrides that are left."""
    own = [word.split("=", 1) for word in words if word.split("=")[0] in defaults]
    overrides = [word for word in words if word.split("=")[0] not in defaults]
    return defaults | {name: value for name, value in own}, overrides


def run_cohort(cohort: str, real: str, overrides: list[str]) -> dict | str:
    """metrics.json of one run, with its epochs, or the sentence it ended with; ``real`` holds the real export."""
    chosen = {word.split("=")[0] for word in overrides}
    model = [word for word in MODEL if word.split("=")[0] not in chosen]
    words = [f"data={cohort}", *model, *([f"data.path={real}/{cohort}"] if real else []), *overrides]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "survlstm", "train", *words, f"output_dir={folder}/run"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return (done.stdout + done.stderr).strip().splitlines()[-1]
        metrics, history = (json.loads((Path(folder) / "run" / f"{name}.json").read_text()) for name in FILES)
        return metrics | {"epochs": history["epochs"]}


def number(value: float | None) -> str:
    """Three digits; a figure that does not exist (no event, no oracle) is a dash."""
    return "-" if value is None else f"{value:.3f}"


def difference(found: dict | None, *, sign: int = 1) -> str:
    """The model's figure minus the other's with its interval; ``sign=-1`` turns it round."""
    if found is None:
        return "-"
    low, high = sorted(sign * end for end in (found["interval"]["low"], found["interval"]["high"]))
    return f"{sign * found['value']:+.3f} ({low:+.3f} to {high:+.3f})"
