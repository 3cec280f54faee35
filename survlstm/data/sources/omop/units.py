"""Number the units that rows of an OMOP table name, and name them with the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int32

from survlstm.data.sources.omop.backend import Backend
from survlstm.data.sources.omop.columns import texts, whole_numbers
from survlstm.data.sources.omop.concepts import NO_CONCEPT_PREFIX, Concepts, are_units
from survlstm.data.sources.omop.format import EventTable
from survlstm.data.sources.omop.tables import ReadTable


class UnitKeys:
    """Numbers of the units of one table: those of concepts by their id, others by the source value.

    Attributes:
        keys: The id or the text of each number; number 0 is "", no unit.
        unusable: Number of values whose unit is no whole number, or a source value that is no unit.
    """

    def __init__(self) -> None:
        self.keys: list[int | str] = [""]
        self.unusable = 0
        self._number: dict[int | str, int] = {"": 0}

    def number(
        self, block: ReadTable, table: EventTable, value: Float32[np.ndarray, " row"]
    ) -> Int32[np.ndarray, " row"]:
        """Return the number of each row's unit.

        Args:
            block: Rows of the table.
            table: What is known of the table.
            value: Value of each row; a row without one (NaN) gets no unit.
        """
        numbers = np.zeros(len(value), dtype=np.int32)
        measured = np.flatnonzero(~np.isnan(value))
        if not len(measured):
            return numbers
        rows = pa.array(measured)
        concept = whole_numbers(block.column(table.unit).take(rows))
        ids, index = np.unique(np.maximum(concept.value, 0), return_inverse=True)
        found = np.array([self._number_one(number or "") for number in ids.tolist()], dtype=np.int32)
        numbers[measured] = found[index]
        unmapped = np.flatnonzero(numbers[measured] == 0)
        by_source, no_unit = self._source_values(block.column(table.unit_source).take(rows).take(pa.array(unmapped)))
        numbers[measured[unmapped]] = by_source
        self.unusable += int(np.count_nonzero((concept.bad[unmapped] & (by_source == 0)) | no_unit))
        return numbers

    def _source_values(self, column: pa.Array) -> tuple[Int32[np.ndarray, " row"], np.ndarray]:
        """Return the number of each row's source value, and mark those that are no unit."""
        encoded = texts(column).dictionary_encode()
        words, index = encoded.dictionary, encoded.indices.to_numpy()
        is_unit, is_empty = are_units(words), pc.equal(words, "").to_numpy(zero_copy_only=False)
        pairs = zip(words.to_pylist(), is_unit, strict=True)
        number = np.array([self._number_one(word) if good else 0 for word, good in pairs], dtype=np.int32)
        return number[index], ~(is_unit | is_empty)[index]

    def _number_one(self, key: int | str) -> int:
        number = self._number.setdefault(key, len(self.keys))
        if number == len(self.keys):
            self.keys.append(key)
        return number


def unit_names(keys: Sequence[Sequence[int | str]], concepts: Concepts, backend: Backend) -> list[list[str]]:
    """Return the name of each unit of each table.

    Args:
        keys: ``UnitKeys.keys`` of each table.
        concepts: Concepts that were looked up before; more are added.
        backend: The open place of the tables.

    Returns:
        The code of the concept without its vocabulary, such as ``mg/dL``; ``OMOP/`` and the id of a concept that the
        vocabulary lacks; the source value of a unit without a concept.

    Raises:
        SourceError: The table of concepts can't be read.
    """
    found = concepts.look_up(backend, {key for table in keys for key in table if isinstance(key, int)})
    return [
        [
            key if isinstance(key, str) else found[key].bare_code if key in found else f"{NO_CONCEPT_PREFIX}{key}"
            for key in table
        ]
        for table in keys
    ]
