"""patients.csv → the subjects, sorted, and the ids of the patients who could not be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from survlstm.data.events import Subjects, TableCount
from survlstm.data.sources.csv_table import CsvTable
from survlstm.data.sources.row_fates import Check, Fate, check_unusable_share, count_rows, judge_rows
from survlstm.data.sources.synthea_format import PATIENTS
from survlstm.data.sources.timestamps import first_unusable, parse_times
from survlstm.errors import SourceError


@dataclass(frozen=True)
class Patients:
    """``ids`` are those of ``subjects``, in their order; ``left_out`` those of unusable rows of patients.csv."""

    subjects: Subjects
    ids: pa.Array
    left_out: pa.Array
    count: TableCount


def code_patients(table: CsvTable, *, max_unusable_share: float) -> Patients:
    """Turn the table into subjects; a patient without a usable birth and death date is left out and counted.

    A death date that can't be read leaves the patient out too: neither alive nor dead would be true.
    Raises SourceError for a repeated id, too many unusable rows, or no patient at all.
    """
    ids, births, deaths = (table.columns[name] for name in ("subject", "birth", "death"))
    if table.rows + table.malformed == 0:
        raise SourceError(f"{table.path.name} must hold at least one patient; it has a header only ({table.path}).")
    names = np.array(ids.values.to_pylist(), dtype=np.str_)
    _check_unique(table, names, ids.index)
    born, died = parse_times(births.values), parse_times(deaths.values)
    birth, death = (day.time[column.index] for day, column in ((born, births), (died, deaths)))
    birth, death = (time.astype("datetime64[D]").astype("datetime64[s]") for time in (birth, death))
    fates = judge_rows(
        table.rows,
        [
            Check(Fate.NO_PATIENT, names == "", ids.index),
            Check(Fate.NO_DATE, born.missing, births.index),
            Check(Fate.UNPARSABLE_DATE, born.unparsable, births.index),
            Check(Fate.IMPOSSIBLE_DATE, born.impossible, births.index),
            Check(Fate.UNPARSABLE_DATE, died.unparsable, deaths.index),
            Check(Fate.IMPOSSIBLE_DATE, died.impossible, deaths.index),
            Check(Fate.DEATH_BEFORE_BIRTH, death < birth),
        ],
    )
    count = count_rows(PATIENTS, fates, malformed=table.malformed)
    example = first_unusable(births.values, born) or first_unusable(deaths.values, died)
    check_unusable_share(count, limit=max_unusable_share, example=example)
    usable = np.flatnonzero(fates == Fate.USED)
    if len(usable) == 0:
        raise SourceError(f"{table.path.name} must hold a usable patient; none of {count.rows_read} is ({table.path}).")
    usable = usable[np.argsort(names[ids.index[usable]], kind="stable")]
    subject_id = names[ids.index[usable]]
    unusable = names[ids.index[fates != Fate.USED]]
    return Patients(
        Subjects(subject_id, birth[usable], death[usable]),
        pa.array(subject_id.tolist(), pa.string()),
        pa.array(unusable[unusable != ""].tolist(), pa.string()),
        count,
    )


def _check_unique(table: CsvTable, names: np.ndarray, rows: np.ndarray) -> None:
    repeated = np.flatnonzero((np.bincount(rows, minlength=len(names)) > 1) & (names != ""))
    if len(repeated):
        raise SourceError(
            f"{table.path.name} must name every patient once; {len(repeated)} ids stand there more than once, the "
            f"first is {names[repeated[0]]}. Remove the repeated rows, or read one export at a time ({table.path})."
        )
