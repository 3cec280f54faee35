"""Read and check a pandas table of visits, for records that were grouped into visits elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int32, Int64

from survlstm.data.death_codes import is_death_code
from survlstm.data.events import Events, Subjects
from survlstm.data.known_times import known_times
from survlstm.data.visits import Visits, offsets_from_sizes
from survlstm.inference.events_table import SHOWN_COLUMNS, read_events_table
from survlstm.utils.content import list_known_names
from survlstm.utils.errors import SourceError

REQUIRED, OPTIONAL = ("subject_id", "time", "codes"), ("values", "units", "birth")


def read_visits_table(table: pd.DataFrame, *, as_of: np.datetime64 | None, timezone: str | None = None) -> Visits:
    """Read a table of visits.

    Visits are ordered by time, those at the same time by their entries, so that the order of the rows has no effect.
    The entries of a visit are at one time: they are ordered by code, value and unit, whatever the order of the lists.
    Codes that are entered only because a patient has died are left out, and so is a visit with no other code.

    Args:
        table: one row per visit with these columns:

            - subject_id: as in ``read_events_table``;
            - time: time of the last entry of the visit, as in ``read_events_table``. A visit dated to a day is known at
              the end of that day;
            - codes: a list of at least one text. A repeated code counts as often as it is listed;
            - values (optional): a list with the number of each code, or None for a code without one; None in place of a
              list for a visit without numbers;
            - units (optional): a list with the unit of each number as text, or None for no unit; None in place of a
              list for a visit without units;
            - birth (optional): day of birth.

            There is no column for static codes: a model that reads some needs a table of events.
        as_of: prediction time; later visits are left out. None to read every visit.
        timezone: as in ``read_events_table``.

    Returns:
        The visits of all subjects of the table; a subject whose visits are all left out has none.

    Raises:
        SourceError: a column is missing, or a row cannot be read.
    """
    _check(table)
    visit_of = np.repeat(np.arange(len(table)), [len(codes) for codes in table["codes"]])
    # The same reader checks ids, times, codes and units of both kinds of table.
    entries = _entries(table, visit_of)
    events = read_events_table(entries, timezone=timezone).events
    if len(events) < len(entries):
        raise SourceError(
            "visits must have a time each, and no codes MEDS_BIRTH or MEDS_DEATH; give births in a column birth"
        )
    time = known_times(events).latest.astype("datetime64[s]")
    is_read = ~is_death_code(events.codes)[events.code]
    if as_of is not None:
        is_read &= time <= as_of
    order = _ordered(events, np.flatnonzero(is_read), visit_of, time)
    is_first = np.diff(visit_of[order], prepend=-1) != 0
    first = order[is_first]
    return Visits(
        subjects=Subjects(
            events.subjects.subject_id, _births(table, events.subjects.subject_id), events.subjects.death
        ),
        codes=events.codes,
        visit_offsets=offsets_from_sizes(np.bincount(events.subject[first], minlength=len(events.subjects))),
        visit_time=time[first],
        code_offsets=np.append(np.flatnonzero(is_first), len(order)).astype(np.int64),
        code=events.code[order],
        value=events.numeric_value[order],
        units=events.units,
        unit=events.unit[order],
    )


def _check(table: pd.DataFrame) -> None:
    """Raise SourceError if a column or a list is missing, or a list has another length or holds no numbers."""
    if not isinstance(table, pd.DataFrame):
        raise SourceError(f"visits must be a pandas DataFrame; found {type(table).__name__}")
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        present = list_known_names(list(map(str, table.columns)), (*REQUIRED, *SHOWN_COLUMNS))
        raise SourceError(
            f"visits must have the columns {', '.join(REQUIRED)} (and may have {', '.join(OPTIONAL)}); "
            f"{', '.join(missing)} missing, found {present}. Rename the columns"
        )
    if not len(table):
        raise SourceError("visits must have a list of at least one code each; the table is empty")
    codes = list(table["codes"])
    _refuse([not (_is_list(listed) and len(listed)) for listed in codes], "have a list of at least one code each")
    _check_values(table, codes)


def _check_values(table: pd.DataFrame, codes: list[Any]) -> None:
    """Raise SourceError if a list of values or units has another length than the codes, or holds anything else."""
    for name in ("values", "units"):
        if name in table.columns:
            _refuse(
                [
                    not (_is_missing(listed) or (_is_sequence(listed, own) and len(listed) == len(own)))
                    for listed, own in zip(table[name], codes, strict=True)
                ],
                f"have a list as long as codes, or nothing, as {name}",
            )
    if "values" in table.columns:
        _refuse(
            [not (_is_missing(listed) or all(map(_is_value, listed))) for listed in table["values"]],
            "have numbers of single precision (up to 3.4e38) or None in values",
        )
    if "units" in table.columns:
        _refuse(
            [
                not (_is_missing(listed) or all(_is_missing(unit) or isinstance(unit, str) for unit in listed))
                for listed in table["units"]
            ],
            "have texts or None in units",
        )


def _refuse(bad: list[bool], must: str) -> None:
    """Raise SourceError if any row is bad, with their number and the first one, but never with their content."""
    if any(bad):
        raise SourceError(
            f"visits must {must}; {sum(bad)} of {len(bad)} do not, the first is row {bad.index(True) + 1}"
        )


def _is_list(cell: object) -> bool:
    return not isinstance(cell, str) and hasattr(cell, "__len__")


def _is_sequence(*cells: object) -> bool:
    # A set has no order in which its elements could belong to those of another list.
    return all(_is_list(cell) and isinstance(cell, Sequence | np.ndarray) for cell in cells)


def _is_missing(cell: object) -> bool:
    return cell is None or cell is pd.NA or (isinstance(cell, float | np.floating) and bool(np.isnan(cell)))


def _is_value(value: object) -> bool:
    if _is_missing(value):
        return True
    is_real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return is_real and bool(abs(value) <= float(np.finfo(np.float32).max))  # type: ignore[arg-type]


def _entries(table: pd.DataFrame, visit_of: Int64[np.ndarray, " entry"]) -> pd.DataFrame:
    """Return a table of events with one row for each code of each visit."""
    rows = table.iloc[visit_of]
    entries = {
        "subject_id": rows["subject_id"].to_numpy(),
        "time": rows["time"].to_numpy(),
        "code": [code for codes in table["codes"] for code in codes],
    }
    for name, column in (("values", "numeric_value"), ("units", "unit")):
        if name in table.columns:
            lists = zip(table[name], table["codes"], strict=True)
            entries[column] = [
                None if _is_missing(entry) else entry
                for listed, codes in lists
                for entry in ([None] * len(codes) if _is_missing(listed) else listed)
            ]
    return pd.DataFrame(entries).astype({"code": object, **({"unit": object} if "unit" in entries else {})})


def _ordered(
    events: Events, kept: Int64[np.ndarray, " kept"], visit_of: Int64[np.ndarray, " entry"], time: np.ndarray
) -> Int64[np.ndarray, " kept"]:
    """Sort entries by subject, time, content of the visit, visit, code, value and unit; no number comes last."""
    value = events.numeric_value[kept]
    kept = kept[np.lexsort([events.unit[kept], value, events.code[kept], visit_of[kept]])]
    rank = _ranks(visit_of[kept], events.code[kept], events.numeric_value[kept], events.unit[kept])
    # lexsort is stable, so that the entries of a visit stay in order.
    return kept[np.lexsort([visit_of[kept], rank, time[kept], events.subject[kept]])]


def _ranks(
    visit: Int64[np.ndarray, " entry"],
    code: Int32[np.ndarray, " entry"],
    value: Float32[np.ndarray, " entry"],
    unit: Int32[np.ndarray, " entry"],
) -> Int64[np.ndarray, " entry"]:
    """Rank visits by their entries: fewer first, then by codes, by values and by units; equal visits share a rank.

    Args:
        visit: visit of each entry, rising; entries of a visit are sorted.
        code: code of each entry.
        value: value of each entry; NaN for none.
        unit: unit of each entry.
    """
    is_first = np.diff(visit, prepend=-1) != 0
    first = np.flatnonzero(is_first)
    columns = (code, np.nan_to_num(value, nan=np.inf), unit)
    parts = zip(*(np.split(column, first[1:]) for column in columns), strict=True)
    contents = [tuple(tuple(part.tolist()) for part in content) for content in parts]
    rank = {
        content: number for number, content in enumerate(sorted(set(contents), key=lambda each: (len(each[0]), each)))
    }
    return np.array([rank[content] for content in contents], dtype=np.int64)[np.cumsum(is_first) - 1]


def _births(table: pd.DataFrame, subject_id: np.ndarray) -> np.ndarray:
    """Return the day of birth as datetime64[s] per subject, NaT if not given; SourceError if a subject has two."""
    birth = np.full(len(subject_id), np.datetime64("NaT"), dtype="datetime64[s]")
    if "birth" not in table.columns:
        return birth
    given = table.loc[table["birth"].notna(), ["subject_id", "birth"]]
    if not len(given):
        return birth
    rows = given.rename(columns={"birth": "time"}).assign(code="MEDS_BIRTH")
    born = read_events_table(rows).events.subjects
    birth[np.searchsorted(subject_id, born.subject_id)] = born.birth
    return birth
