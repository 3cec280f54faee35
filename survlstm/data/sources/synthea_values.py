"""Read the values of Synthea's observations: numbers, their units, and why a value is no number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int8, Int32

from survlstm.data.events import ValueFault
from survlstm.data.sources.csv_table import CsvTable
from survlstm.data.sources.units import UNUSABLE_UNIT, TableUnits, clean_units

# A number of any size, or a word for infinity. Arrow turns one beyond double precision into infinity.
_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:inf|infinity))$"


class ObservedValues(NamedTuple):
    """Values of the used rows of a table.

    Attributes:
        number: The value; NaN for none.
        units: The unit; "" for a row without a number.
        fault: ``ValueFault`` of each row.
        warnings: Sentences for the user.
    """

    number: Float32[np.ndarray, " event"]
    units: TableUnits
    fault: Int8[np.ndarray, " event"]
    warnings: tuple[str, ...]


def read_values(
    table: CsvTable, name: str, kept: slice | np.ndarray, code: Int32[np.ndarray, " event"]
) -> ObservedValues:
    """Read VALUE as a number in rows of TYPE numeric, or in all rows if there is no TYPE, and UNITS beside it.

    A text in a row of TYPE numeric is a fault. Without TYPE it is one if another row of its code has a number in this
    table, or in this part of it if the export is read in parts; a code with texts only has ordinary texts.

    Args:
        table: The columns ``value``, ``type`` and ``unit``, as far as the table has them.
        name: Name of the table, for warnings.
        kept: The rows to use, as an index of the rows.
        code: Code of each used row.

    Returns:
        The values of the used rows.
    """
    rows = len(code)
    if "value" not in table.columns:
        nothing = np.full(rows, np.nan, np.float32)
        return ObservedValues(nothing, TableUnits.none(rows), np.zeros(rows, np.int8), ())
    values = table.columns["value"]
    numbers, faults = _numbers(values.values)
    index = values.index[kept]
    number, fault = numbers[index], faults[index]
    without = 0
    if "type" in table.columns:
        types = table.columns["type"]
        is_numeric = _mask(pc.equal(types.values, "numeric"))[types.index[kept]]
        number[~is_numeric] = np.nan
        fault[~is_numeric] = ValueFault.NONE
        without = int(np.count_nonzero(is_numeric & np.isnan(number) & (fault != ValueFault.INFINITE)))
    else:
        fault[(fault == ValueFault.TEXT) & ~_has_numbers(number, fault, code)[code]] = ValueFault.NONE
    units, unusable = _units(table, kept, number)
    warnings = [
        f"{name}: {count} {sentence}."
        for count, sentence in (
            (without, "rows of TYPE numeric have no number in VALUE and were read without a value"),
            (
                int(np.count_nonzero(fault == ValueFault.INFINITE)),
                "values are infinite or beyond single precision and were read as missing",
            ),
            (unusable, f"values have a text in UNITS that can't be a unit ({UNUSABLE_UNIT}) and were read without one"),
        )
        if count
    ]
    return ObservedValues(number, units, fault, tuple(warnings))


def _numbers(words: pa.Array) -> tuple[Float32[np.ndarray, " value"], Int8[np.ndarray, " value"]]:
    """Return the number and the ``ValueFault`` of each distinct text."""
    is_number = pc.match_substring_regex(words, _NUMBER)
    parsed = pc.cast(pc.if_else(is_number, words, None), pa.float64())
    with np.errstate(over="ignore"):
        numbers = pc.fill_null(parsed, np.nan).to_numpy(zero_copy_only=False).astype(np.float32)
    faults = np.zeros(len(words), dtype=np.int8)
    faults[~_mask(is_number) & ~_mask(pc.equal(words, ""))] = ValueFault.TEXT
    is_infinite = np.isinf(numbers)
    faults[is_infinite] = ValueFault.INFINITE
    numbers[is_infinite] = np.nan
    return numbers, faults


def _has_numbers(number: np.ndarray, fault: np.ndarray, code: np.ndarray) -> Bool[np.ndarray, " code"]:
    has_numbers = np.zeros(int(code.max(initial=-1)) + 1, dtype=bool)
    has_numbers[code[~np.isnan(number) | (fault == ValueFault.INFINITE)]] = True
    return has_numbers


def _units(table: CsvTable, kept: slice | np.ndarray, number: Float32[np.ndarray, " event"]) -> tuple[TableUnits, int]:
    """Return the unit of each used row, and how many numbers have a unit that can't be one."""
    if "unit" not in table.columns:
        return TableUnits.none(len(number)), 0
    column = table.columns["unit"]
    clean = clean_units(column.values)
    has_none = np.isnan(number)
    index = column.index[kept]
    unusable = int(np.count_nonzero(clean.unusable[index] & ~has_none)) if clean.unusable.any() else 0
    return TableUnits(np.where(has_none, np.int32(0), index + np.int32(1)), ["", *clean.names]), unusable


def _mask(values: pa.BooleanArray) -> Bool[np.ndarray, " value"]:
    return values.to_numpy(zero_copy_only=False)
