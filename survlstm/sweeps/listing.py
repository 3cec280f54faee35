"""A folder → one line for each run below it, filtered and sorted: what ``survlstm runs`` shows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from survlstm.config.validation import nearest_key
from survlstm.evaluation.results import Estimate, Interval
from survlstm.report.formatting import format_estimate
from survlstm.report.task import is_drawn, outcome_name_of_class
from survlstm.sweeps.load_runs import RunRow, Value, find_runs, parse_value, read_run
from survlstm.sweeps.table import format_setting
from survlstm.utils.errors import ConfigError
from survlstm.utils.formatting import MISSING, format_dollars, format_duration

log = logging.getLogger(__name__)

COLUMNS = (
    "run",
    "state",
    "data",
    "outcome",
    "model",
    "val.nll",
    "val.c_td",
    "test.c_td",
    "test.nll",
    "epochs",
    "seconds",
    "cost",
    "started",
)
INTERVALS = {"test.c_td": ("test.c_td.low", "test.c_td.high")}
_HIGHEST_FIRST = {"val.c_td", "test.c_td", "started"}


def list_runs(folder: Path, *, sort: str | None = None, where: tuple[str, ...] = ()) -> pd.DataFrame:
    """COLUMNS and the ends of the intervals, as numbers, of every run below ``folder``; the newest first.

    ``sort`` names a column: c_td and started begin with the highest, others with the lowest; runs without a value come
    last. Each ``where`` is key=value, and all must hold: the key is a config key, the end of one, an overridden group,
    or state; of a ``_target_`` a part is enough. A group whose default was taken, as data in train.yaml, stands in no
    record. ConfigError for a missing folder, an unknown column, and a key that no run knows.
    """
    if not folder.is_dir():
        raise ConfigError(f"runs are looked for in a folder; found no folder {folder}")
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
    # By name first, so that equals stay in an order of their own.
    return (
        table.iloc[::-1]
        .sort_values(column, ascending=column not in _HIGHEST_FIRST, kind="stable", na_position="last")
        .reset_index(drop=True)
    )


def format_listing(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a terminal shows it: intervals beside their figures, dashes for what is missing."""
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
    """The group where it was named, else the export's folder, else how many patients were simulated."""
    path, patients = row.config.get("data.path"), row.config.get("data.simulated.patients")
    if row.overrides and "data" in row.overrides:
        return format_setting(row.overrides["data"])
    if path not in {None, "null"}:
        return Path(str(path)).name
    return None if patients is None else f"{format_setting(patients)} simulated"


def _outcome(row: RunRow) -> str | None:
    """The group where it was named, else in words; a drawn outcome always says so."""
    target = row.config.get("outcome._target_")
    named = format_setting(row.overrides["outcome"]) if row.overrides and "outcome" in row.overrides else None
    if target is None or (named is not None and not is_drawn(str(target))):
        return named
    codes = str(row.config.get("outcome.codes", "")).strip("[]")
    return outcome_name_of_class(str(target), codes.split(",") if codes else ())


def _model(row: RunRow) -> str | None:
    """128-256x2 (1.1M): embedding, hidden, layers, parameters."""
    sizes = [row.config.get(f"model.{name}") for name in ("embedding_dim", "hidden_dim", "num_layers")]
    if any(size is None for size in sizes):
        return None
    embedding, hidden, layers = map(format_setting, sizes)
    count = row.parameters
    size = "" if count is None else f" ({count / 1e6:.1f}M)" if count >= 1e6 else f" ({count / 1e3:.0f}k)"
    return f"{embedding}-{hidden}x{layers}{size}"


def _filtered(kept: list[RunRow], rows: list[RunRow], condition: str) -> list[RunRow]:
    key, equals, written = condition.partition("=")
    if not (key and equals):
        raise ConfigError(f"where must read key=value; found {condition!r}")
    known = sorted({name for row in rows for name in _facts(row)})
    if rows and not any(_is_named(name, key) for name in known):
        nearest = nearest_key(key, known)
        hint = f"; the nearest is {nearest}" if nearest else ""
        raise ConfigError(f"where names {key}, which is a key of none of {len(rows)} runs{hint}")
    found = [row for row in kept if _holds(_facts(row), key, written)]
    log.info("where %s: %d of %d", condition, len(found), len(kept))
    return found


def _facts(row: RunRow) -> Mapping[str, Value]:
    return {**row.config, **(row.overrides or {}), "state": row.state}


def _holds(facts: Mapping[str, Value], key: str, written: str) -> bool:
    asked = parse_value(written.replace(", ", ",") if written.startswith("[") else written)
    return any(
        value == asked or (name.endswith("_target_") and written in str(value))
        for name, value in facts.items()
        if _is_named(name, key)
    )


def _is_named(name: str, key: str) -> bool:
    return name == key or name.endswith(f".{key}")
