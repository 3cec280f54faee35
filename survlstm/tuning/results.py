"""Write ``trials.csv``, ``study.json``, the best trial's experiment file, figures and ``tune.html`` of a study."""

from __future__ import annotations

import csv
import io
import logging
import math
from pathlib import Path
from typing import Any

import optuna

from survlstm.tuning.config import TuneConfig
from survlstm.tuning.experiment import experiment_yaml
from survlstm.tuning.page import write_page
from survlstm.tuning.space import overrides
from survlstm.tuning.storage import mask_password
from survlstm.tuning.study import RECORD
from survlstm.tuning.trial_table import TrialSlot, best_slot, trial_folder, trial_slots
from survlstm.utils.files import file_lock, write_json, write_text
from survlstm.utils.stored_files import read_json

log = logging.getLogger(__name__)

FIGURES = ("val_nll", "val_c_td", "best_epoch", "epochs", "seconds")
STATES = ("complete", "pruned", "failed", "running", "waiting", "lost")


def write_results(study: optuna.Study, config: TuneConfig, *, with_pictures: bool) -> None:
    """Write the present results of a study; a failure is logged and does not stop the search.

    Args:
        study: The study.
        config: The config of the search; its folder receives the files.
        with_pictures: Whether to draw the figures and write ``tune.html`` too, which takes seconds.
    """
    try:
        with file_lock(config.folder / ".results"):
            found = trial_slots(study.get_trials(deepcopy=False))
            best = best_slot(found, config.metric, maximised=config.maximised)
            write_text(config.folder / "trials.csv", _table(found, config))
            if best is not None:
                _write_experiment(best, config)
            write_json(config.folder / RECORD, _record(found, best, config))
            if with_pictures:
                write_page(study, config, found, best)
    # For example a full disk. Nothing is lost: the storage holds everything, and the next trial writes again.
    except Exception as error:
        log.warning("The results in %s could not be written", config.folder, exc_info=error)


def experiment_path(config: TuneConfig) -> Path:
    """Return the path of the best trial's experiment file.

    Args:
        config: The config of the search.

    Returns:
        The path below the study's folder, which is a Hydra config folder; the file need not exist.
    """
    return config.folder / "experiment" / f"{config.name}.yaml"


def _table(found: list[TrialSlot], config: TuneConfig) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", "state", *FIGURES, *config.space, "attempts", "folder", "failure"])
    for place in found:
        figures = [_cell(place.figure(name)) for name in FIGURES]
        values = [place.params.get(key, "") for key in config.space]
        folder = trial_folder(Path(), place.slot)
        failure = " ".join(place.failure.split())
        writer.writerow([place.slot, place.state, *figures, *values, len(place.attempts), folder, failure])
    return stream.getvalue()


def _cell(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def _record(found: list[TrialSlot], best: TrialSlot | None, config: TuneConfig) -> dict[str, Any]:
    return {
        "name": config.name,
        **config.identity(),
        "trials": config.trials,
        "storage": None if config.storage is None else mask_password(config.storage),
        "states": {state: sum(place.state == state for place in found) for state in STATES},
        "best": None
        if best is None
        else {
            "trial": best.slot,
            **{name: best.figure(name) for name in FIGURES},
            "overrides": overrides({key: best.params[key] for key in config.space}),
            "folder": str(trial_folder(config.folder, best.slot)),
            "experiment": str(experiment_path(config)),
        },
    }


def _write_experiment(best: TrialSlot, config: TuneConfig) -> None:
    path = experiment_path(config)
    if path.exists() and _recorded_best(config) == best.slot:
        return
    path.parent.mkdir(exist_ok=True)
    about = (
        f"Trial {best.slot} of the search {config.name}, its best in {config.metric}: {best.figure(config.metric):.4f} "
        f"at epoch {best.figure('best_epoch'):.0f}, on validation subjects."
    )
    lines = [*config.base, *overrides({key: best.params[key] for key in config.space})]
    write_text(path, experiment_yaml(lines, about=about))


def _recorded_best(config: TuneConfig) -> int | None:
    try:
        best = read_json(config.folder / RECORD)["best"]
        return None if best is None else int(best["trial"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
