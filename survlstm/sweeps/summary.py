"""Write ``summary.csv``, ``summary.json``, ``summary.html`` and ``figures/`` of a sweep."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.errors import HydraException

from survlstm.evaluation.results import Estimate
from survlstm.report.console_summary import to_json
from survlstm.report.formatting import format_estimate
from survlstm.runs.folder import holds_a_run
from survlstm.sweeps.load_runs import RunRow, find_runs, read_run
from survlstm.sweeps.page import write_page
from survlstm.sweeps.record import read_sweep_record
from survlstm.sweeps.repeats import RepeatSpread
from survlstm.sweeps.sweep_overrides import planned_jobs
from survlstm.sweeps.table import (
    CONVENTIONS,
    RepeatGroup,
    Sweep,
    format_setting,
    main_effects,
    make_sweep,
    metric_named,
)
from survlstm.sweeps.text import (
    failure_sentence,
    summary_sentences,
    table_columns,
    why_no_interval,
)
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import atomic_files, file_lock, write_json
from survlstm.utils.formatting import format_dollars, format_duration

log = logging.getLogger(__name__)

FIGURES = ("main_effects", "heat_map", "parallel")


def summarize(folder: Path, *, metric: str = "val_nll", show: bool = True) -> Sweep:
    """Read all runs of a sweep, write its summary and show it.

    Runs may be unfinished, failed or killed. Several processes may summarise a sweep at the same time: every file is
    replaced as a whole, and the last process to write has read last.

    Args:
        folder: The sweep's folder.
        metric: The metric that chooses the winner, ``val_nll`` or ``val_c_td``.
        show: Whether to log all tables; otherwise only the first sentence.

    Returns:
        The sweep as it was read for the summary.

    Raises:
        ConfigError: If there is no run, the metric is unknown, or the folder can't be written.
    """
    metric_named(metric)
    if not folder.is_dir():
        raise ConfigError(f"a sweep must be the folder that survlstm train -m made; found no folder {folder}")
    # Checked before the lock file is created.
    _runs_below(folder)
    try:
        # Without the lock a process that has read early could write last, and the last job would be missing.
        with file_lock(folder / ".summary.lock"):
            sweep = read_sweep(folder, metric=metric)
            _write(folder, sweep)
    except OSError as error:
        raise ConfigError(f"a sweep's folder must be one that can be written; found {folder}: {error}") from error
    if show:
        _show(sweep)
        if sweep.banner:
            log.warning("%s", sweep.banner)
    log.info("%s", "\n".join(summary_sentences(sweep)) if show else summary_sentences(sweep)[0])
    log.info("Summary: %s", folder / "summary.html")
    return sweep


def _show(sweep: Sweep) -> None:
    log.info("%s", console_table(sweep).to_string(index=False))
    for row in sweep.rows:
        if row.record.sentence:
            log.info("Run %s %s: %s", row.name, row.state, failure_sentence(row))
        for note in row.notes:
            log.info("Note: run %s: %s", row.name, note)


def read_sweep(folder: Path, *, metric: str = "val_nll") -> Sweep:
    """Read the runs below a folder and choose the winner.

    Args:
        folder: The sweep's folder.
        metric: The metric that chooses the winner, ``val_nll`` or ``val_c_td``.

    Returns:
        The sweep. A run whose files are missing or damaged has a row with notes.

    Raises:
        ConfigError: If there is no run, the folder is itself a run folder, or the metric is unknown.
    """
    rows = [read_run(path, name=path.relative_to(folder).as_posix()) for path in _runs_below(folder)]
    return make_sweep(folder, rows, metric=metric, planned=_planned(folder))


def _planned(folder: Path) -> int | None:
    """Return the number of jobs that the sweep was started with; None if it is not recorded."""
    try:
        return planned_jobs(read_sweep_record(folder).words)
    except (ConfigError, HydraException):
        return None


def _runs_below(folder: Path) -> list[Path]:
    found = find_runs(folder)
    if not found:
        what = "found a run folder" if holds_a_run(folder) else "found no run"
        raise ConfigError(f"a sweep must be a folder with runs below it; {what}: {folder}. Name the folder above them")
    return found


def runs_table(sweep: Sweep) -> pd.DataFrame:
    """Return the rows of ``summary.csv``.

    Args:
        sweep: The sweep.

    Returns:
        One row per run, in the order of ``sweep.rows``; a missing value is None or NaN. ``_low`` and ``_high`` are
        bounds of intervals over subjects, ``seconds`` is the training time, ``cost`` is in dollars.
    """
    chosen = {id(row) for row in sweep.winner.group.rows} if sweep.winner else set()
    group_of = {id(row): group.label for group in sweep.groups for row in group.rows}
    return pd.DataFrame(
        [
            {"run": row.name, "state": row.state}
            | {key: row.setting(key) for key in (*sweep.keys, *sweep.repeats)}
            | _figures("val", row.val.nll, row.val.c_td)
            | _figures("test", row.test.nll, row.test.c_td)
            | {
                "test_subjects": row.subjects,
                "test_events": row.events,
                "best_baseline": row.baseline,
                "against_best_baseline": row.against_baseline,
                "epochs": row.epochs,
                "best_epoch": row.best_epoch,
                "seconds": row.seconds,
                "cost": row.cost,
                "parameters": row.parameters,
                "group": group_of[id(row)],
                "is_winner": id(row) in chosen,
                "started": row.record.started,
                "ended": row.record.ended,
                "overrides": " ".join(row.record.overrides),
                "sentence": row.record.sentence,
                "notes": "; ".join(row.notes),
            }
            for row in sweep.rows
        ]
    )


def console_table(sweep: Sweep) -> pd.DataFrame:
    """Return the table of runs for a terminal.

    Args:
        sweep: The sweep.

    Returns:
        One row per run as texts, in the order of ``sweep.rows``. Keys that are part of every run's name have no column.
    """
    keys = [key for key in table_columns(sweep) if not all(f"{key}=" in row.name for row in sweep.rows)]
    return pd.DataFrame(
        [
            {"run": row.name, "state": row.state}
            | {key: format_setting(row.setting(key)) for key in keys}
            | {
                f"{split} {name}": format_estimate(getattr(getattr(row, split), name))
                for split in ("val", "test")
                for name in ("nll", "c_td")
            }
            | {
                "epochs": format_setting(row.epochs),
                "time": format_duration(row.seconds),
                "cost": format_dollars(row.cost),
            }
            for row in sweep.rows
        ]
    )


def sweep_as_json(sweep: Sweep) -> dict[str, Any]:
    """Return the content of ``summary.json``.

    Args:
        sweep: The sweep.

    Returns:
        Plain values; what is missing is None, and a main effect without finished runs is NaN, which ``write_json``
        writes as null.
    """
    winner = sweep.winner
    return {
        "banner": sweep.banner,
        "verdict": list(summary_sentences(sweep)),
        "metric": {"name": sweep.metric.name, "meaning": sweep.metric.axis},
        "conventions": CONVENTIONS,
        "swept": list(sweep.keys),
        "repeats": list(sweep.repeats),
        "winner": None
        if winner is None
        else {
            "group": winner.group.label,
            "runs": [row.name for row in winner.group.rows],
            "overrides": list(winner.group.rows[0].record.overrides),
            "second": winner.second.label if winner.second else None,
            "tied_with_second": winner.tie.is_tied if winner.tie else None,
            "told_apart_by": winner.tie.sentence if winner.tie else None,
            "notes": list(winner.notes),
        },
        "groups": [_plain_group(group) for group in sweep.groups],
        "main_effects": main_effects(sweep).to_dict("records"),
        "runs": [_plain_run(row) for row in sweep.rows],
    }


def _plain_group(group: RepeatGroup) -> dict[str, Any]:
    def over_repeats(split: str) -> dict[str, Any]:
        spreads = {name: group.spread(split, name) for name in ("nll", "c_td")}
        return {name: _plain_spread(spread) for name, spread in spreads.items()}

    return {
        "group": group.label,
        "values": group.values,
        "runs": [row.name for row in group.rows],
        "finished": len(group.finished),
        "val": over_repeats("val"),
        "test": over_repeats("test"),
    }


def _plain_spread(spread: RepeatSpread | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    return {
        "mean": spread.mean,
        "sd": spread.sd,
        "repeats": spread.number,
        "interval_over_repeats": to_json(spread.interval),
        "why_no_interval": None if spread.interval else why_no_interval(spread),
    }


def _plain_run(row: RunRow) -> dict[str, Any]:
    return {
        "run": row.name,
        "state": row.state,
        "sentence": row.record.sentence,
        "overrides": list(row.record.overrides),
        "val": to_json(row.val),
        "test": to_json(row.test) | {"subjects": row.subjects, "events": row.events},
        "best_baseline": row.baseline,
        "against_best_baseline": row.against_baseline,
        "epochs": row.epochs,
        "best_epoch": row.best_epoch,
        "seconds": row.seconds,
        "cost": row.cost,
        "parameters": row.parameters,
        "started": row.record.started,
        "ended": row.record.ended,
        "notes": list(row.notes),
    }


def _figures(split: str, nll: Estimate | None, c_td: Estimate | None) -> dict[str, float | None]:
    columns: dict[str, float | None] = {}
    for name, found in (("nll", nll), ("c_td", c_td)):
        low, high = found.interval if found and found.interval else (None, None)
        columns |= {
            f"{split}_{name}": found.value if found else None,
            f"{split}_{name}_low": low,
            f"{split}_{name}_high": high,
        }
    return columns


def _write(folder: Path, sweep: Sweep) -> None:
    """Write everything to a temporary folder, then move it into place file by file."""
    (folder / "figures").mkdir(exist_ok=True)
    with atomic_files(folder) as temporary:
        runs_table(sweep).to_csv(temporary / "summary.csv", index=False)
        write_json(temporary / "summary.json", sweep_as_json(sweep))
        write_page(temporary, sweep)
        drawn = {path.relative_to(temporary) for path in temporary.rglob("*")}
    # Remove figures of an earlier summary that this one does not have.
    for path in {Path("figures") / f"{name}.{end}" for name in FIGURES for end in ("svg", "png")} - drawn:
        (folder / path).unlink(missing_ok=True)
