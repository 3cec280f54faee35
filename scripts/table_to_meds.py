"""Write a table with one row per subject as a MEDS dataset with one visit each.

    python scripts/table_to_meds.py TABLE OUTPUT time=COLUMN event=COLUMN [age=COLUMN] [code=CODE] [unit=days]
                                    [categories=a,b] [drop=a,b]

TABLE is a file (.csv or .parquet), or ``sksurv:gbsg2`` and the like for ``load_gbsg2`` of scikit-survival, whose
columns of time and event are known. Time zero of every subject, at which the visit is, is 2000-01-01.

- A column of numbers is a code with a value, its name. Another column, or one in ``categories``, gives the code
  ``NAME//value``. A missing value gives no event; the script counts them.
- ``age`` is in years at the visit. It becomes the birth, from which survlstm computes the age, and no code. Models and
  baselines need it; without it, ``model.visit_features`` must leave out ``age``.
- ``time`` is counted in ``unit``: days, months or years. ``event`` is true, or a number other than 0, for an event.
- Without ``code`` the event is MEDS_DEATH; with it, an event with that code, for ``outcome=first_code``. Observation
  ends on the day of ``time``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from meds_rows import as_day, days_after_start, events_of_rows, write_dataset
from runs import read_options

from survlstm.data.events import Events, Subjects

OPTIONS = {"time": "", "event": "", "age": "", "code": "", "unit": "days", "categories": "", "drop": ""}
UNIT_DAYS = {"days": 1.0, "months": 365.25 / 12, "years": 365.25}
PACKAGE = "sksurv:"


class Table(NamedTuple):
    """A table, read.

    Attributes:
        covariates: One row per subject, one column per input.
        days: Days to the event or the end of observation.
        event: Whether the event happened then.
        age: Years at the visit; NaN if unknown.
    """

    covariates: pd.DataFrame
    days: np.ndarray
    event: np.ndarray
    age: np.ndarray


def main(words: list[str]) -> None:
    """Read the table and write the dataset."""
    options, places = read_options(words, OPTIONS)
    unknown = [word for word in places if "=" in word]
    if len(places) != 2 or unknown:
        sys.exit(f"the script needs TABLE, OUTPUT and options among {', '.join(OPTIONS)}; found {' '.join(words)}")
    source, output = places
    try:
        table = read_table(source, options)
        events = events_of(table, code=options["code"])
    except ValueError as error:
        sys.exit(str(error))
    writer = write_dataset(events, Path(output), name=Path(source.removeprefix(PACKAGE)).stem)
    missing = table.covariates.isna().sum()
    print(f"{writer.subjects} subjects, {int(table.event.sum())} with the event, {writer.events:,} events: {output}")
    counts = ", ".join(f"{name} {count}" for name, count in missing[missing > 0].items())
    print(f"age unknown: {int(np.isnan(table.age).sum()):,} subjects")
    print(f"missing values, which give no event: {int(missing.sum()):,}" + (f" ({counts})" if counts else ""))


def read_table(source: str, options: dict[str, str]) -> Table:
    """Read a table.

    Args:
        source: A file, or ``sksurv:NAME``.
        options: ``OPTIONS``, filled in.

    Returns:
        The table; columns of ``categories`` are no numbers.

    Raises:
        ValueError: If a column is missing, or times or events are not what they must be; the message has counts only.
    """
    frame, time, event = _of_package(source.removeprefix(PACKAGE)) if source.startswith(PACKAGE) else _of_file(source)
    time, event = options["time"] or time, options["event"] or event
    if not time or not event:
        raise ValueError("time=COLUMN and event=COLUMN must name the columns of the time and of the event")
    lists = {name: [column for column in options[name].split(",") if column] for name in ("categories", "drop", "age")}
    chosen = {time, event, *(column for columns in lists.values() for column in columns)}
    absent = sorted(chosen - set(frame.columns))
    if absent:
        raise ValueError(f"the columns {', '.join(absent)} must be in the table; it has {', '.join(frame.columns)}")
    if options["unit"] not in UNIT_DAYS:
        raise ValueError(f"unit must be {', '.join(UNIT_DAYS)}; found {options['unit']}")
    days, happened = _numbers(frame, time) * UNIT_DAYS[options["unit"]], _numbers(frame, event)
    wrong = int((~np.isfinite(days) | (days < 0)).sum()), int(np.isnan(happened).sum())
    if any(wrong):
        raise ValueError(
            f"{time} must be a number of 0 or more and {event} a number or true or false in each of {len(frame)} rows; "
            f"found {wrong[0]} and {wrong[1]} rows in which it is not. Leave them out or correct them"
        )
    covariates = frame.drop(columns=[time, event, *lists["drop"], *lists["age"]])
    covariates = covariates.astype(dict.fromkeys(lists["categories"], "object"))
    age = _numbers(frame, options["age"]) if options["age"] else np.full(len(frame), np.nan)
    return Table(covariates, days, happened != 0, age)


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as numbers, NaN where it is none."""
    return pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)


def events_of(table: Table, *, code: str) -> Events:
    """Return the events of all subjects.

    Args:
        table: The table.
        code: Code of the event; "" for a death.

    Returns:
        Events with one encounter per subject. Subjects are numbered from 0 in the order of the rows.
    """
    number = np.arange(len(table.days))
    order = np.argsort(number.astype(np.str_))
    place = np.empty_like(order)
    place[order] = number
    visit = pd.DataFrame({"subject": place, "days": 0.0, "encounter": number})
    rows = [_entries(visit, column) for _, column in table.covariates.items()]
    if code:
        happened = np.flatnonzero(table.event)
        ends = {"subject": place[happened], "days": table.days[happened], "encounter": -1, "code": code}
        rows.append(pd.DataFrame(ends).assign(value=np.nan))
    end = as_day(days_after_start(table.days))[order]
    never = np.full(len(order), np.datetime64("NaT"), dtype="datetime64[s]")
    died = table.event[order] & (not code)
    birth = as_day(days_after_start(-table.age * UNIT_DAYS["years"]))[order]
    subjects = Subjects(
        number[order].astype(np.str_), birth=birth, death=np.where(died, end, never), observed_until=end
    )
    return events_of_rows(pd.concat(rows, ignore_index=True), subjects)


def _of_file(path: str) -> tuple[pd.DataFrame, str, str]:
    if path.endswith(".parquet"):
        return pd.read_parquet(path), "", ""
    # "None" and the like are categories; only an empty cell and NA are missing.
    return pd.read_csv(path, skipinitialspace=True, keep_default_na=False, na_values=["", "NA"]), "", ""


def _of_package(name: str) -> tuple[pd.DataFrame, str, str]:
    from sksurv import datasets  # type: ignore[import-untyped]

    load = getattr(datasets, f"load_{name}", None)
    if load is None:
        raise ValueError(f"scikit-survival must have the data set; it has no load_{name}")
    covariates, outcome = load()
    event, time = outcome.dtype.names
    return covariates.assign(**{time: outcome[time], event: outcome[event]}).reset_index(drop=True), time, event


def _entries(visit: pd.DataFrame, column: pd.Series) -> pd.DataFrame:
    """Return one event for each subject that has a value in the column."""
    present = column.notna().to_numpy()
    taken, values = visit[present], column[present]
    if pd.api.types.is_numeric_dtype(column.dtype):
        return taken.assign(code=str(column.name), value=values.to_numpy(dtype=float))
    return taken.assign(code=f"{column.name}//" + values.astype(str).to_numpy(dtype=object), value=np.nan)


if __name__ == "__main__":
    main(sys.argv[1:])
