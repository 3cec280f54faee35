"""Clean the units that rows name, and number the units of several tables together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int32

from survlstm.data.sources.missing_values import blank_missing_values
from survlstm.data.sources.row_checks import is_not_a_code

# In characters; the longest unit of Synthea has 16.
LONGEST_UNIT = 64
# What stands for bytes that are no text.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
UNUSABLE_UNIT = f"longer than {LONGEST_UNIT} characters, with a control character, a UUID or a date"


class CleanUnits(NamedTuple):
    """Texts of units.

    Attributes:
        names: The text of each value without spaces around it; "" for none.
        unusable: Values whose text can't be a unit (``UNUSABLE_UNIT``); they have the name "".
    """

    names: list[str]
    unusable: Bool[np.ndarray, " value"]


class TableUnits(NamedTuple):
    """Units of the rows of one table.

    Attributes:
        unit: Index into ``names`` of each row's unit.
        names: Texts of units, a text perhaps more than once.
    """

    unit: Int32[np.ndarray, " row"]
    names: Sequence[str]

    @classmethod
    def none(cls, rows: int) -> TableUnits:
        """Return the units of a table that has none.

        Args:
            rows: Number of rows.
        """
        return cls(np.zeros(rows, dtype=np.int32), [""])


def clean_units(values: pa.Array) -> CleanUnits:
    """Remove spaces around units, and replace words for a missing value and texts that can't be a unit by "".

    A unit becomes part of the names of inputs, which are stored with a model, so that an id or a day that a shifted
    column puts in its place must not stay.

    Args:
        values: A pyarrow array of strings without nulls.

    Returns:
        The name of each value, in the order of the values.

    Example:
        >>> clean_units(pa.array([" mg/dL", "NULL", "2020-01-31"])).names
        ['mg/dL', '', '']
    """
    values, _ = blank_missing_values(values)
    unusable = is_not_a_code(values)
    unusable |= _mask(pc.greater(pc.utf8_length(values), LONGEST_UNIT))
    unusable |= ~_mask(pc.utf8_is_printable(values)) | _mask(pc.match_substring(values, _REPLACEMENT))
    return CleanUnits(pc.if_else(pa.array(unusable), "", values).to_pylist(), unusable)


def sorted_units(names: Iterable[str]) -> np.ndarray:
    """Return the distinct units in the order of ``Events.units``: sorted, the first is "".

    Args:
        names: Texts of units that occur.
    """
    return np.array(sorted({"", *names}), dtype=np.str_)


def unit_numbers(units: np.ndarray, names: Sequence[str]) -> Int32[np.ndarray, " name"]:
    """Return the index of each name among sorted units; any index for a name that is not there.

    Args:
        units: What ``sorted_units`` returned.
        names: Texts of units.
    """
    return np.searchsorted(units, np.array(names, dtype=np.str_)).astype(np.int32)


def join_units(tables: Sequence[TableUnits]) -> tuple[np.ndarray, Int32[np.ndarray, " event"]]:
    """Number the units of several tables together.

    Args:
        tables: Units of the rows of each table.

    Returns:
        ``Events.units``, the units that a row has; and ``Events.unit``, table after table.
    """
    used: set[str] = set()
    for table in tables:
        present = np.zeros(len(table.names), dtype=bool)
        present[table.unit] = True
        used.update(table.names[number] for number in np.flatnonzero(present).tolist())
    units = sorted_units(used)
    return units, np.concatenate([unit_numbers(units, table.names)[table.unit] for table in tables])


def _mask(values: pa.BooleanArray) -> Bool[np.ndarray, " value"]:
    return values.to_numpy(zero_copy_only=False)
