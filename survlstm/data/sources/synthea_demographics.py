"""Turn the sex, race and ethnicity in the table of patients into static codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from survlstm.data.events import StaticCodes
from survlstm.data.sources.csv_table import Column, CsvTable
from survlstm.data.sources.synthea_format import PATIENT_FIELDS, STATIC_SYSTEMS
from survlstm.utils.content import is_words

# Synthea's longest value has 11 characters. A longer text is no name of a group.
LONGEST_VALUE = 40


class PatientDemographics(NamedTuple):
    """Static codes of the patients.

    Attributes:
        static: Codes such as ``SEX/F``, ``RACE/white`` and ``ETHNICITY/nonhispanic``.
        notes: How many patients have no value, for the log.
        warnings: How many values are not used, without the values.
    """

    static: StaticCodes
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_demographics(table: CsvTable, rows: Int64[np.ndarray, " patient"]) -> PatientDemographics:
    """Read sex, race and ethnicity of the usable patients; the columns are optional.

    An empty cell gives no code. Neither does a cell that is not a short text, such as a number or a date.

    Args:
        table: The table of patients, with the columns of ``PATIENT_FIELDS``.
        rows: Row of each usable patient, in the order of the subjects.

    Returns:
        The static codes of the patients, and sentences about missing and unusable values.
    """
    spelling = {field.name: field.spellings[0] for field in PATIENT_FIELDS}
    owners, names, empty, unfit = [], [], {}, {}
    for field, system in STATIC_SYSTEMS.items():
        if field not in table.columns:
            continue
        texts, is_empty, is_unfit = _checked(table.columns[field])
        index = table.columns[field].index[rows]
        empty[spelling[field]], unfit[spelling[field]] = int(is_empty[index].sum()), int(is_unfit[index].sum())
        used = np.flatnonzero(~(is_empty | is_unfit)[index])
        owners.append(used)
        names.append(np.array([f"{system}/{text}" for text in texts], dtype=object)[index[used]])
    static = StaticCodes.none(len(rows))
    if names:
        static = StaticCodes.from_rows(np.concatenate(owners), np.concatenate(names), subjects=len(rows))
    without = ", ".join(f"{name} {count:,}" for name, count in empty.items() if count)
    notes = (f"patients with an empty cell: {without} of {len(rows):,}",) if without else ()
    warnings = tuple(
        f"{name} of {count:,} of {len(rows):,} patients is not used: it must be text of at most {LONGEST_VALUE} "
        "characters, not a number, a date or an id. Correct the column, or leave its cells empty"
        for name, count in unfit.items()
        if count
    )
    return PatientDemographics(static, notes, warnings)


def _checked(column: Column) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the texts of a column, which of them are empty, and which are no short text."""
    texts = column.values.to_pylist()
    is_empty = np.array([text == "" for text in texts], dtype=bool)
    is_fit = np.array([len(text) <= LONGEST_VALUE and is_words(text) for text in texts], dtype=bool)
    return texts, is_empty, ~is_empty & ~is_fit
