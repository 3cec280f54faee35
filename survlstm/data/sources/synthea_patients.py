"""patients.csv → the subjects, sorted, and the ids of the patients who could not be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from survlstm.data.events import Subjects, TableCount
from survlstm.data.sources.csv_table import CsvTable
from survlstm.data.sources.row_checks import (
    LONGEST_ID,
    RowCheck,
    RowStatus,
    check_rows,
    check_unusable_share,
    count_rows,
    describe_first_cell,
    name_checks,
)
from survlstm.data.sources.synthea_format import PATIENTS
from survlstm.data.sources.timestamps import parse_times
from survlstm.utils.errors import SourceError


@dataclass(frozen=True)
class CodedPatients:
    """``ids`` are those of ``subjects``, in their order; ``left_out`` those of unusable rows of patients.csv."""

    subjects: Subjects
    ids: pa.Array
    left_out: pa.Array
    count: TableCount


def code_patients(table: CsvTable, *, max_unusable_share: float) -> CodedPatients:
    """Turn the table into subjects; a patient without a usable birth and death date is left out and counted.

    A death date that can't be read leaves the patient out too: neither alive nor dead would be true.
    Raises SourceError for a repeated id, too many unusable rows, or no patient at all.
    """
    ids, births, deaths = (table.columns[name] for name in ("subject", "birth", "death"))
    if table.rows + table.malformed == 0:
        raise SourceError(f"{table.path.name} must hold at least one patient; it has a header only ({table.path}).")
    # Objects: in numpy's own texts each takes as much room as the longest, and a trailing NUL is lost.
    names = np.array(ids.values.to_pylist(), dtype=object)
    _check_unique(table)
    born, died = parse_times(births.values), parse_times(deaths.values)
    birth, death = (day.time[column.index] for day, column in ((born, births), (died, deaths)))
    birth, death = (time.astype("datetime64[D]").astype("datetime64[s]") for time in (birth, death))
    fates = check_rows(
        table.rows,
        [
            RowCheck(RowStatus.NO_PATIENT, names == "", ids.index),
            *name_checks(table, {"subject": LONGEST_ID}),
            RowCheck(RowStatus.NO_DATE, born.missing, births.index),
            RowCheck(RowStatus.UNPARSABLE_DATE, born.unparsable, births.index),
            RowCheck(RowStatus.IMPOSSIBLE_DATE, born.impossible, births.index),
            RowCheck(RowStatus.UNUSABLE_DEATH, died.unparsable | died.impossible, deaths.index),
            RowCheck(RowStatus.DEATH_BEFORE_BIRTH, death < birth),
        ],
    )
    count = count_rows(PATIENTS, fates, malformed=table.malformed)

    def example() -> str:
        of_birth = describe_first_cell(table, "birth", fates, RowStatus.UNPARSABLE_DATE, RowStatus.IMPOSSIBLE_DATE)
        return of_birth or describe_first_cell(table, "death", fates, RowStatus.UNUSABLE_DEATH)

    check_unusable_share(count, limit=max_unusable_share, example=example)
    usable = np.flatnonzero(fates == RowStatus.USED)
    if len(usable) == 0:
        raise SourceError(f"{table.path.name} must hold a usable patient; none of {count.rows_read} is ({table.path}).")
    subject_id = names[ids.index[usable]].astype(np.str_)
    order = np.argsort(subject_id, kind="stable")
    usable, subject_id = usable[order], subject_id[order]
    unusable = names[ids.index[fates != RowStatus.USED]]
    return CodedPatients(
        Subjects(subject_id, birth[usable], death[usable]),
        pa.array(subject_id.tolist(), pa.string()),
        pa.array(unusable[unusable != ""].tolist(), pa.string()),
        count,
    )


def _check_unique(table: CsvTable) -> None:
    ids = table.columns["subject"]
    # By the text: two texts that were trimmed may be the same.
    encoded = ids.values.dictionary_encode()
    seen = encoded.indices.to_numpy()[ids.index]
    repeated = np.bincount(seen, minlength=len(encoded.dictionary)) > 1
    repeated &= pc.not_equal(encoded.dictionary, "").to_numpy(zero_copy_only=False)
    if repeated.any():
        rows = np.flatnonzero(repeated[seen])
        raise SourceError(
            f"{table.path.name} must name every patient once; {int(repeated.sum())} ids stand there more than once, in "
            f"{len(rows)} rows, the first in {table.place(int(rows[0]))}. Remove the repeated rows, or read one export "
            f"at a time ({table.path})."
        )
