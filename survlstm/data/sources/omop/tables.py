"""Read the columns of an OMOP table, and recognise a table that holds nothing but its header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from tqdm import tqdm

from survlstm.data.sources.omop.backend import Backend, PersonRange
from survlstm.data.sources.omop.columns import texts
from survlstm.data.sources.omop.format import PERSON_ID
from survlstm.utils.content import list_known_names
from survlstm.utils.errors import SourceError


@dataclass(frozen=True)
class ReadTable:
    """Columns of a table, or of some of its rows; a column that the table lacks is empty in every row.

    Attributes:
        columns: The columns, by name.
        num_rows: Number of rows.
        malformed: Rows that were left out because they have too many or too few cells.
    """

    columns: dict[str, pa.Array]
    num_rows: int
    malformed: int = 0

    def column(self, name: str) -> pa.Array:
        """Return a column.

        Args:
            name: Its name.
        """
        return self.columns[name] if name in self.columns else pa.nulls(self.num_rows)

    def take(self, rows: Int64[np.ndarray, " taken"]) -> ReadTable:
        """Select rows.

        Args:
            rows: Indices of the rows.
        """
        index = pa.array(rows)
        columns = {name: column.take(index) for name, column in self.columns.items()}
        return ReadTable(columns, len(rows), self.malformed)


def read_table(
    backend: Backend,
    table: str,
    columns: Sequence[str],
    *,
    required: Sequence[str],
    either: Sequence[str] = (),
    persons: PersonRange | None,
) -> ReadTable:
    """Read a table that fits into memory.

    Args:
        backend: The open place of the tables.
        table: A table that exists.
        columns: Columns to read, as far as it has them.
        required: Columns that it must have.
        either: Columns of which it must have one; empty for none.
        persons: Persons to read; None for all.

    Raises:
        SourceError: The table can't be read, or lacks a column.
    """
    blocks = list(stream_table(backend, table, columns, required=required, either=either, persons=persons))
    if not blocks:
        return ReadTable({}, 0, malformed_rows(backend, table, persons))
    whole = {name: pa.chunked_array([block.columns[name] for block in blocks]) for name in blocks[0].columns}
    joined = {name: column.combine_chunks() for name, column in whole.items()}
    joined = {
        name: pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
        for name, column in joined.items()
    }
    return ReadTable(joined, sum(block.num_rows for block in blocks), malformed_rows(backend, table, persons))


def stream_table(
    backend: Backend,
    table: str,
    columns: Sequence[str],
    *,
    required: Sequence[str],
    either: Sequence[str] = (),
    persons: PersonRange | None,
) -> Iterator[ReadTable]:
    """Yield the rows of a table in blocks, with a progress bar.

    A table of an older export can have generated names of columns, and its header as its only row. It yields that row
    as a block whose column ``person_id`` holds a name.

    Args:
        backend: The open place of the tables.
        table: A table that exists.
        columns: Columns to read, as far as it has them.
        required: Columns that it must have.
        either: Columns of which it must have one; empty for none.
        persons: Persons to read; None for all.

    Raises:
        SourceError: The table can't be read, or lacks a column.
    """
    names = backend.columns(table) or ()
    lacking = [name for name in required if name not in names]
    if either and not set(either).intersection(names):
        lacking.append(" or ".join(either))
    if lacking:
        yield from _header_as_row(backend, table, names, required=required, lacking=lacking, persons=persons)
        return
    present = [name for name in columns if name in names]
    with tqdm(desc=f"Reading {table}", unit=" rows", unit_scale=True, disable=None, leave=False) as bar:
        for batch in backend.stream(table, present, persons=persons):
            bar.update(batch.num_rows)
            if batch.num_rows:
                yield ReadTable(dict(zip(present, batch.columns, strict=True)), batch.num_rows)


def _header_as_row(
    backend: Backend,
    table: str,
    names: Sequence[str],
    *,
    required: Sequence[str],
    lacking: Sequence[str],
    persons: PersonRange | None,
) -> Iterator[ReadTable]:
    rows: list[list[str]] = []
    for batch in backend.stream(table, names) if names else ():
        cells = [texts(column).to_pylist() for column in batch.columns]
        rows += [list(row) for row in zip(*cells, strict=True)]
        if len(rows) > 1:
            break
    if len(rows) > 1 or (rows and not set(required).issubset(cell.lower() for cell in rows[0])):
        shown = list_known_names(sorted(names), [*required, *lacking])
        raise SourceError(
            f"the table {table} must have the columns {', '.join(required)}; it lacks {', '.join(lacking)} and has "
            f"{shown}. Name its columns as in the OMOP common data model"
        )
    # Only the first part counts the row.
    if rows and (persons is None or persons.first is None):
        yield ReadTable({PERSON_ID: pa.array([PERSON_ID])}, 1)


def malformed_rows(backend: Backend, table: str, persons: PersonRange | None) -> int:
    """Return the malformed rows of a table that was read, for its first part only.

    Args:
        backend: The open place of the tables.
        table: The table.
        persons: Persons that were read; None for all.
    """
    return backend.malformed(table) if persons is None or persons.first is None else 0
