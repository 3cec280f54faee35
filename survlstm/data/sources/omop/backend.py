"""The protocol of a place where OMOP tables lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import pyarrow as pa

EXTRA = "pip install 'survlstm[omop]'"
# Rows of a batch; a batch of ten columns then takes a few MiB.
BATCH_ROWS = 65_536


class PersonRange(NamedTuple):
    """A range of person ids.

    Attributes:
        first: Smallest id; None for the first range, which also has the rows whose id is missing or no number.
        stop: Id at which the next range begins; None for the last range.
    """

    first: int | None
    stop: int | None

    def condition(self, expression: str) -> str:
        """Return the condition of SQL that selects the rows of the range.

        Args:
            expression: SQL whose value is the id as a number, or NULL.
        """
        if self.stop is None:
            return "TRUE" if self.first is None else f"{expression} >= {self.first}"
        if self.first is None:
            return f"({expression} < {self.stop} OR {expression} IS NULL)"
        return f"{expression} >= {self.first} AND {expression} < {self.stop}"


@runtime_checkable
class Backend(Protocol):
    """Tables at one place. Names of tables and columns are in lower case here, whatever the place has."""

    @property
    def tables(self) -> list[str]:
        """Names of all tables."""

    def columns(self, table: str) -> tuple[str, ...] | None:
        """Return the columns of a table, or None if there is no such table."""

    def stream(
        self, table: str, columns: Sequence[str], *, persons: PersonRange | None = None, distinct: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches.

        Args:
            table: A table that exists.
            columns: Columns that it has, with which the batches are named.
            persons: The rows to read, by ``person_id``; None for all.
            distinct: Whether equal rows are read once.

        Raises:
            SourceError: The table can't be read.
        """

    def malformed(self, table: str) -> int:
        """Return how many rows of a file were left out because they have too many or too few cells."""

    def files(self, tables: Sequence[str]) -> list[Path]:
        """Return the files of those of the tables that exist."""

    def digest(self, table: str, columns: Sequence[str]) -> str:
        """Return a digest of these columns; "" where the files are the content."""


class TableColumns(Protocol):
    """Description of a table in a place: its columns, and more where the place knows more.

    Attributes:
        columns: The place's own name of each column, by its name in lower case.
    """

    @property
    def columns(self) -> dict[str, str]: ...


TableT = TypeVar("TableT", bound=TableColumns)


class NamedTables(Generic[TableT]):
    """The part of a ``Backend`` that needs the names of tables and columns only, which are found on opening."""

    def __init__(self) -> None:
        self._tables: dict[str, TableT] = {}

    @property
    def tables(self) -> list[str]:
        """Names of all tables."""
        return list(self._tables)

    def columns(self, table: str) -> tuple[str, ...] | None:
        """Return the columns of a table, or None if there is no such table."""
        return tuple(self._tables[table].columns) if table in self._tables else None

    def malformed(self, table: str) -> int:
        """Return 0, because a database has no malformed rows."""
        return 0

    def digest(self, table: str, columns: Sequence[str]) -> str:
        """Return "", because the content of the files counts."""
        return ""


def quoted(name: str) -> str:
    """Quote an identifier of SQL.

    Args:
        name: A name of a table, a column or a schema.
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text of SQL.

    Args:
        text: A text of the config, or the path of a file.
    """
    return "'" + text.replace("'", "''") + "'"
