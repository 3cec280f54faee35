"""Compare finished runs on the subjects that all of them have evaluated."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from survlstm.config.schema.commands import CompareConfig
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.comparison import Comparison, compare
from survlstm.report.console_summary import COMPARISON_HEADINGS, comparison_table, to_json
from survlstm.report.task import BANNER
from survlstm.runs.predictions_table import read_predictions
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import write_json
from survlstm.utils.write_access import refuse_unwritable

log = logging.getLogger(__name__)


def compare_runs(folders: list[Path], config: CompareConfig) -> Comparison:
    """Compare runs, or evaluations of runs, by their predictions, and log the table.

    Args:
        folders: Run folders, or folders of ``survlstm evaluate``; at least two.
        config: The config of ``survlstm compare``; its ``output`` receives the table as files.

    Returns:
        The comparison: every run's metrics and the paired differences to the best run.

    Raises:
        ConfigError: If fewer than two folders are named, a folder is missing or named twice, or the output can't be
            written.
        CheckpointError: If a folder has no predictions that can be read.
        OutcomeError: If the runs differ in clock, split or labels.
        CohortError: If the runs share no subject.
    """
    if len(folders) < 2:
        raise ConfigError(f"a comparison needs at least two runs; found {len(folders)}. Name their folders")
    if config.output is not None:
        refuse_unwritable(Path(config.output).expanduser(), key="output")
    named = {_name(folder, folders): folder for folder in folders}
    settings = config.evaluation
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.min_events, config.seed)
    comparison = compare({name: _predictions(folder) for name, folder in named.items()}, bootstrap)
    banner = BANNER if any(_is_drawn(folder) for folder in folders) else ""
    if banner:
        log.warning("%s", banner)
    table = comparison_table(comparison)
    log.info("Shared %s subjects: %d, events: %d", comparison.split, comparison.subjects, comparison.events)
    log.info("%s", table.rename(columns=COMPARISON_HEADINGS).to_string(index=False))
    for note in comparison.notes:
        log.info("Note: %s", note)
    if config.output is not None:
        _write(Path(config.output).expanduser(), to_json(comparison) | {"banner": banner}, table)
    return comparison


def _predictions(folder: Path) -> pd.DataFrame:
    if not folder.is_dir():
        raise ConfigError(f"a run must be the folder that survlstm train made; found no folder {folder}")
    return read_predictions(folder / "predictions.parquet")


def _name(folder: Path, folders: list[Path]) -> str:
    """Return the folder's name, or its path if several runs have the same name."""
    if sum(other.resolve() == folder.resolve() for other in folders) > 1:
        raise ConfigError(f"each run must be named once; found {folder} twice")
    same = [other for other in folders if other.resolve().name == folder.resolve().name]
    return folder.resolve().name if len(same) == 1 else str(folder)


def _is_drawn(folder: Path) -> bool:
    """Return whether the outcome of a run is drawn; False if metrics.json can't be read."""
    try:
        return bool(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["task"]["banner"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _write(output: Path, comparison: dict[str, Any], table: pd.DataFrame) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        table.to_csv(output / "comparison.csv", index=False)
        write_json(output / "comparison.json", comparison)
    except OSError as error:
        raise ConfigError(f"output must be a folder that can be written; found {output}: {error}") from error
    log.info("Written to %s", output)
