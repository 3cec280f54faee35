"""List the runs below a folder, filtered and sorted, for ``survlstm runs``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from survlstm.config.validation import nearest_key
from survlstm.evaluation.results import Estimate, Interval
from survlstm.report.formatting import format_estimate
from survlstm.report.task import outcome_name_of_class
from survlstm.sweeps.columns import COLUMNS
from survlstm.sweeps.load_runs import RunRow, Value, find_runs, parse_value, read_run
from survlstm.sweeps.table import format_setting
from survlstm.utils.data_location import place_name
from survlstm.utils.errors import ConfigError
from survlstm.utils.formatting import MISSING, format_dollars, format_duration

log = logging.getLogger(__name__)

LSTM = "survlstm.models.lstm.DiscreteTimeSurvivalLSTM"

INTERVALS = {"test.c_td": ("test.c_td.low", "test.c_td.high")}
_HIGHEST_FIRST = {"val.c_td", "test.c_td", "started"}


def list_runs(folder: Path, *, sort: str | None = None, where: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return a table with one row per run below ``folder``.

    Args:
        folder: The folder to search.
        sort: The column to sort by; None sorts by start time. C-index and start time sort descending, other columns
            ascending; runs without a value come last.
        where: Conditions ``key=value`` that must all hold. The key is a config key, the last parts of one, an
            overridden group, or ``state``; of a ``_target_`` a part of the class name is enough. A group whose default
            was used is not recorded.

    Returns:
        A table with ``COLUMNS`` and the bounds of the interval of the test C-index.

    Raises:
        ConfigError: If the folder is missing, the column is unknown, or no run has the key.
    """
    if not folder.is_dir():
        raise ConfigError(f"survlstm runs needs a folder; found no folder {folder}")
    if sort is not None and sort not in COLUMNS:
        nearest = nearest_key(sort, list(COLUMNS))
        hint = f"; the nearest is {nearest}" if nearest else ""
        raise ConfigError(f"sort must be one of {', '.join(COLUMNS)}; found {sort!r}{hint}")
    rows = [read_run(path, name=path.relative_to(folder).as_posix()) for path in find_runs(folder)]
    kept = rows
    for condition in where:
        kept = _filtered(kept, rows, condition)
    table = pd.DataFrame([_line(row) for row in kept], columns=[*COLUMNS, *INTERVALS["test.c_td"]])
    log.info("Runs below %s: %d; left out: %d", folder, len(rows), len(rows) - len(kept))
    column = sort or "started"
    # Reversed first: the sort is stable, so that equal rows stay in reverse order of their names.
    return (
        table.iloc[::-1]
        .sort_values(column, ascending=column not in _HIGHEST_FIRST, kind="stable", na_position="last")
        .reset_index(drop=True)
    )


def format_listing(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table for a terminal: intervals beside their estimates, dashes for missing values.

    Args:
        table: A table of ``list_runs``.

    Returns:
        The same rows as texts, with one column for each metric, and ``time`` instead of ``seconds``.
    """
    words = table[["run", "state", "data", "outcome", "model"]].fillna(MISSING)
    for name in ("val.nll", "val.c_td", "test.c_td", "test.nll"):
        ends = [table[end] for end in INTERVALS.get(name, ())]
        words[name] = [
            format_estimate(_estimate(value, *(end.iloc[place] for end in ends)))
            for place, value in enumerate(table[name])
        ]
    words["epochs"] = [MISSING if pd.isna(value) else f"{value:.0f}" for value in table["epochs"]]
    words["time"] = [format_duration(None if pd.isna(value) else value) for value in table["seconds"]]
    words["cost"] = [format_dollars(None if pd.isna(value) else value) for value in table["cost"]]
    words["started"] = [MISSING if pd.isna(value) else value[:16].replace("T", " ") for value in table["started"]]
    return words


def _estimate(value: float, low: float = float("nan"), high: float = float("nan")) -> Estimate | None:
    if pd.isna(value):
        return None
    return Estimate(value, None if pd.isna(low) or pd.isna(high) else Interval(low, high))


def _line(row: RunRow) -> dict[str, object]:
    test, val = row.test, row.val
    low, high = test.c_td.interval if test.c_td and test.c_td.interval else (None, None)
    return {
        "run": row.name,
        "state": row.state,
        "data": _data(row),
        "outcome": _outcome(row),
        "model": _model(row),
        "val.nll": val.nll.value if val.nll else None,
        "val.c_td": val.c_td.value if val.c_td else None,
        "test.c_td": test.c_td.value if test.c_td else None,
        "test.nll": test.nll.value if test.nll else None,
        "epochs": row.epochs,
        "seconds": row.seconds,
        "cost": row.cost,
        "started": row.record.started or None,
        **dict(zip(INTERVALS["test.c_td"], (low, high), strict=True)),
    }


def _data(row: RunRow) -> str | None:
    """Return the data group if it was overridden, else the export's folder, else the number of simulated patients."""
    path, patients = row.config.get("data.path"), row.config.get("data.simulated.patients")
    if row.overrides and "data" in row.overrides:
        return format_setting(row.overrides["data"])
    if path not in {None, "null"}:
        return place_name(str(path))
    return None if patients is None else f"{format_setting(patients)} simulated"


def _outcome(row: RunRow) -> str | None:
    """Return the outcome group if it was overridden, else a description; a drawn outcome is always described."""
    target = row.config.get("outcome._target_")
    named = format_setting(row.overrides["outcome"]) if row.overrides and "outcome" in row.overrides else None
    if target is None or (named is not None and not row.is_drawn):
        return named
    codes = str(row.config.get("outcome.codes", "")).strip("[]")
    return outcome_name_of_class(str(target), codes.split(",") if codes else ())


def _model(row: RunRow) -> str | None:
    """Return an LSTM's size as in "128-256x2 (1.1M)": embedding, hidden units, layers, parameters; others by class."""
    target = row.config.get("model._target_")
    sizes = [row.config.get(f"model.{name}") for name in ("embedding_dim", "hidden_dim", "num_layers")]
    count = row.parameters
    size = "" if count is None else f" ({count / 1e6:.1f}M)" if count >= 1e6 else f" ({count / 1e3:.0f}k)"
    if target is not None and str(target) != LSTM:
        return f"{str(target).rpartition('.')[2]}{size}"
    if any(number is None for number in sizes):
        return None
    embedding, hidden, layers = map(format_setting, sizes)
    return f"{embedding}-{hidden}x{layers}{size}"


def _filtered(kept: list[RunRow], rows: list[RunRow], condition: str) -> list[RunRow]:
    key, equals, written = condition.partition("=")
    if not (key and equals):
        raise ConfigError(f"where must read key=value; found {condition!r}")
    known = sorted({name for row in rows for name in _facts(row)})
    if rows and not any(_is_named(name, key) for name in known):
        nearest = nearest_key(key, known)
        hint = f"; the nearest is {nearest}" if nearest else ""
        raise ConfigError(f"where names {key}, a key that none of {len(rows)} runs has{hint}")
    found = [row for row in kept if _holds(_facts(row), key, written)]
    log.info("where %s: %d of %d", condition, len(found), len(kept))
    return found


def _facts(row: RunRow) -> Mapping[str, Value]:
    return {**row.config, **(row.overrides or {}), "state": row.state}


def _holds(facts: Mapping[str, Value], key: str, written: str) -> bool:
    wanted = parse_value(written.replace(", ", ",") if written.startswith("[") else written)
    return any(
        value == wanted or (name.endswith("_target_") and written in str(value))
        for name, value in facts.items()
        if _is_named(name, key)
    )


def _is_named(name: str, key: str) -> bool:
    return name == key or name.endswith(f".{key}")
