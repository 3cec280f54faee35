"""Turn the table of patients into subjects, and keep the ids of the patients who can't be used."""

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
    describe_first_unusable_row,
    name_checks,
)
from survlstm.data.sources.synthea_demographics import read_demographics
from survlstm.data.sources.synthea_format import PATIENTS
from survlstm.data.sources.timestamps import parse_times
from survlstm.utils.errors import SourceError

# What a message describes first: the dates, because their form is what an export most often gets wrong.
_COLUMNS_AT_FAULT = (
    ("birth", (RowStatus.UNPARSABLE_DATE, RowStatus.IMPOSSIBLE_DATE)),
    ("death", (RowStatus.UNUSABLE_DEATH,)),
    ("death", (RowStatus.DEATH_BEFORE_BIRTH,)),
    ("birth", (RowStatus.NO_DATE,)),
    ("subject", (RowStatus.NO_PATIENT, RowStatus.TOO_LONG, RowStatus.CONTROL_CHARACTER)),
)


@dataclass(frozen=True)
class CodedPatients:
    """The patients of an export.

    Attributes:
        subjects: The usable patients, sorted by id.
        ids: Their ids in the same order, a pyarrow array of strings.
        left_out: Ids of the patients who can't be used, a pyarrow array of strings.
        count: The rows of the table by what happened to them.
        notes: Sentences for the log about sex, race and ethnicity.
        warnings: Sentences for the log and the report about them.
    """

    subjects: Subjects
    ids: pa.Array
    left_out: pa.Array
    count: TableCount
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def code_patients(table: CsvTable, *, max_unusable_share: float) -> CodedPatients:
    """Turn the table of patients into subjects.

    A patient whose date of birth can't be used is left out and counted. So is one whose date of death is not empty and
    can't be used, because it is not known when the patient died.

    Args:
        table: The table, with the columns of ``PATIENT_FIELDS``.
        max_unusable_share: Greatest share of unusable rows, 0 to 1.

    Returns:
        The usable patients, the ids of the others, and the counts of rows.

    Raises:
        SourceError: An id occurs twice, too many rows are unusable, or no patient is usable.
    """
    ids, births, deaths = (table.columns[name] for name in ("subject", "birth", "death"))
    if table.rows + table.malformed == 0:
        raise SourceError(
            f"{table.path.name} must hold at least one patient; it has a header only. Export it again ({table.path})."
        )
    # An array of objects: in numpy's own type for texts each takes as much memory as the longest, and a trailing NUL
    # character is lost.
    names = np.array(ids.values.to_pylist(), dtype=object)
    _check_unique(table)
    born, died = parse_times(births.values), parse_times(deaths.values)
    birth, death = (day.time[column.index] for day, column in ((born, births), (died, deaths)))
    birth, death = (time.astype("datetime64[D]").astype("datetime64[s]") for time in (birth, death))
    statuses = check_rows(
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
    count = count_rows(PATIENTS, statuses, malformed=table.malformed)

    def example() -> str:
        return describe_first_unusable_row(table, statuses, _COLUMNS_AT_FAULT)

    check_unusable_share(count, limit=max_unusable_share, example=example)
    usable = np.flatnonzero(statuses == RowStatus.USED)
    if len(usable) == 0:
        raise SourceError(
            f"{table.path.name} must hold a usable patient; none of {count.rows_read} is. {example()}Every patient "
            f"needs an id, a BIRTHDATE written as YYYY-MM-DD, and a DEATHDATE written so or empty ({table.path})."
        )
    subject_id = names[ids.index[usable]].astype(np.str_)
    order = np.argsort(subject_id, kind="stable")
    usable, subject_id = usable[order], subject_id[order]
    unusable = names[ids.index[statuses != RowStatus.USED]]
    demographics = read_demographics(table, usable)
    return CodedPatients(
        Subjects(subject_id, birth[usable], death[usable], static=demographics.static),
        pa.array(subject_id.tolist(), pa.string()),
        pa.array(unusable[unusable != ""].tolist(), pa.string()),
        count,
        demographics.notes,
        demographics.warnings,
    )


def _check_unique(table: CsvTable) -> None:
    ids = table.columns["subject"]
    # Encoded again, because two texts that differed by spaces may be the same by now.
    encoded = ids.values.dictionary_encode()
    number = encoded.indices.to_numpy()[ids.index]
    repeated = np.bincount(number, minlength=len(encoded.dictionary)) > 1
    repeated &= pc.not_equal(encoded.dictionary, "").to_numpy(zero_copy_only=False)
    if repeated.any():
        rows = np.flatnonzero(repeated[number])
        raise SourceError(
            f"{table.path.name} must name every patient once; {int(repeated.sum())} ids occur more than once, in "
            f"{len(rows)} rows, the first in {table.locate_row(int(rows[0]))}. Remove the repeated rows, or read one "
            f"export at a time ({table.path})."
        )
