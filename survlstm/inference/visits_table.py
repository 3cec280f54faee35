"""Read and check a pandas table of visits, for records that were grouped into visits elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from survlstm.data.death_codes import is_death_code
from survlstm.data.events import Subjects
from survlstm.data.known_times import known_times
from survlstm.data.visits import Visits, offsets_from_sizes
from survlstm.inference.events_table import SHOWN_COLUMNS, read_events_table
from survlstm.utils.content import list_known_names
from survlstm.utils.errors import SourceError

REQUIRED = ("subject_id", "time", "codes")


def read_visits_table(table: pd.DataFrame, *, as_of: np.datetime64 | None, timezone: str | None = None) -> Visits:
    """Read a table of visits.

    Visits are ordered by time, those at the same time by their codes, so that the order of the rows has no effect.
    Codes that are entered only because a patient has died are left out, and so is a visit with no other code.

    Args:
        table: one row per visit with these columns:

            - subject_id: as in ``read_events_table``;
            - time: time of the last entry of the visit, as in ``read_events_table``. A visit dated to a day is known at
              the end of that day;
            - codes: a list of at least one text. A repeated code counts as often as it is listed;
            - birth (optional): day of birth.

            There is no column for static codes: a model that reads some needs a table of events.
        as_of: prediction time; later visits are left out. None to read every visit.
        timezone: as in ``read_events_table``.

    Returns:
        The visits of all subjects of the table; a subject whose visits are all left out has none.

    Raises:
        SourceError: a column is missing, or a row cannot be read.
    """
    if not isinstance(table, pd.DataFrame):
        raise SourceError(f"visits must be a pandas DataFrame; found {type(table).__name__}")
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        present = list_known_names(list(map(str, table.columns)), (*REQUIRED, *SHOWN_COLUMNS))
        raise SourceError(
            f"visits must have the columns {', '.join(REQUIRED)}; {', '.join(missing)} missing, found {present}. "
            "Rename the columns"
        )
    bad = [
        number
        for number, codes in enumerate(table["codes"], start=1)
        if isinstance(codes, str) or not hasattr(codes, "__len__") or not len(codes)
    ]
    if bad or not len(table):
        problem = f"{len(bad)} of {len(table)} have none, the first is row {bad[0]}" if bad else "the table is empty"
        raise SourceError(f"visits must have a list of at least one code each; {problem}")
    visit_of = np.repeat(np.arange(len(table)), [len(codes) for codes in table["codes"]])
    rows = table.iloc[visit_of]
    entries = pd.DataFrame(
        {
            "subject_id": rows["subject_id"].to_numpy(),
            "time": rows["time"].to_numpy(),
            "code": [code for codes in table["codes"] for code in codes],
        }
    )
    # The same reader checks ids, times and codes of both kinds of table.
    events = read_events_table(entries, timezone=timezone).events
    if len(events) < len(entries):
        raise SourceError(
            "visits must have a time each, and no codes MEDS_BIRTH or MEDS_DEATH; give births in a column birth"
        )
    time = known_times(events).latest.astype("datetime64[s]")
    is_read = ~is_death_code(events.codes)[events.code]
    if as_of is not None:
        is_read &= time <= as_of
    kept = np.flatnonzero(is_read)
    content = _ranks([tuple(sorted(str(code) for code in codes)) for codes in table["codes"]])[visit_of]
    order = kept[np.lexsort([visit_of[kept], content[kept], time[kept], events.subject[kept]])]
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
    )


def _ranks(contents: list[tuple[str, ...]]) -> np.ndarray:
    """Rank visits by their codes: fewer codes first, then in alphabetical order; equal codes share a rank."""
    rank = {content: number for number, content in enumerate(sorted(set(contents), key=lambda each: (len(each), each)))}
    return np.array([rank[content] for content in contents])


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
