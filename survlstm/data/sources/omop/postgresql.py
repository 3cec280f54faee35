"""Read the OMOP tables of a PostgreSQL database through ADBC, without passing on texts of the server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

from survlstm.data.sources.omop.backend import EXTRA, NamedTables, PersonRange, literal, quoted
from survlstm.data.sources.omop.duckdb_file import refuse_missing_schema
from survlstm.data.sources.omop.format import ANCESTOR, CONCEPT, PERSON, PERSON_ID
from survlstm.utils.data_location import place_name
from survlstm.utils.errors import ConfigError, SourceError

_CONNECT_SECONDS = 10
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
# Every table is read as it was at one moment, nothing can be written, and digests do not depend on the client.
_SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL extra_float_digits = 1",
)
_CATALOG = """
SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, NULL)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
ORDER BY 1, 2, a.attnum
"""


class _Table(NamedTuple):
    """A table of the database.

    Attributes:
        relation: SQL that names it.
        columns: The database's name of each column.
        is_number: Columns of a numeric type.
    """

    relation: str
    columns: dict[str, str]
    is_number: set[str]


@contextmanager
def open_postgresql(
    url: str, cdm_schema: str | None, vocabulary_schema: str | None, *, timeout_seconds: float | None
) -> Iterator[PostgreSqlBackend]:
    """Connect to a PostgreSQL database; libpq takes the password from PGPASSWORD or ``.pgpass``.

    Args:
        url: URL without a password.
        cdm_schema: Schema of the tables; None for the first of the server's search path.
        vocabulary_schema: Schema of the vocabulary; None for ``cdm_schema``.
        timeout_seconds: Seconds that a query may take; None for any number.

    Yields:
        The tables of the schemas, as they are at this moment.

    Raises:
        SourceError: The server can't be reached or refuses the user, or a schema is missing.
        ConfigError: The driver is not installed.
    """
    server = _Server(url)
    connection = server.connect()
    try:
        yield PostgreSqlBackend(server, connection, cdm_schema, vocabulary_schema, timeout_seconds)
    finally:
        # After a broken connection there is nothing to close.
        with suppress(server.driver.Error):
            connection.close()


class PostgreSqlBackend(NamedTables[_Table]):
    """Tables of a PostgreSQL database; see ``survlstm.data.sources.omop.backend.Backend``.

    Args:
        server: The server.
        connection: An open connection to it.
        cdm_schema: Schema of the tables, or None.
        vocabulary_schema: Schema of the vocabulary, or None.
        timeout_seconds: Seconds that a query may take, or None.
    """

    def __init__(
        self,
        server: _Server,
        connection: Any,
        cdm_schema: str | None,
        vocabulary_schema: str | None,
        timeout_seconds: float | None,
    ) -> None:
        super().__init__()
        self._server = server
        self._connection = connection
        with server.sentences("the catalog", timeout_seconds):
            with connection.cursor() as cursor:
                for setting in _SETTINGS:
                    cursor.execute(setting)
                cursor.execute(f"SET LOCAL statement_timeout = {round(1000 * (timeout_seconds or 0))}")
            ((searched,),) = self._rows("SELECT current_schema()::text")
            found = self._rows(_CATALOG)
        self._timeout = timeout_seconds
        cdm_schema = cdm_schema or searched or "public"
        vocabulary_schema = vocabulary_schema or cdm_schema
        refuse_missing_schema(
            {row[0] for row in found},
            {"cdm_schema": cdm_schema, "vocabulary_schema": vocabulary_schema},
            with_persons=sorted({row[0] for row in found if row[1].lower() == PERSON}),
        )
        for schema, table, column, kind in found:
            is_vocabulary = table.lower() in (CONCEPT, ANCESTOR)
            if schema == (vocabulary_schema if is_vocabulary else cdm_schema):
                relation = f"{quoted(schema)}.{quoted(table)}"
                of_table = self._tables.setdefault(table.lower(), _Table(relation, {}, set()))
                of_table.columns[column.lower()] = column
                if kind in _NUMBERS:
                    of_table.is_number.add(column.lower())

    def stream(
        self, table: str, columns: Sequence[str], *, persons: PersonRange | None = None, distinct: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches."""
        found = self._tables[table]
        chosen = ", ".join(f"{quoted(found.columns[name])} AS {quoted(name)}" for name in columns)
        where = "" if persons is None else f" WHERE {persons.condition(_person_number(found))}"
        query = f"SELECT {'DISTINCT ' if distinct else ''}{chosen} FROM {found.relation}{where}"
        with self._server.sentences(f"the table {table}", self._timeout), self._connection.cursor() as cursor:
            cursor.execute(query)
            yield from cursor.fetch_record_batch()

    def files(self, tables: Sequence[str]) -> list[Path]:
        """Return nothing, because the records are in no file."""
        return []

    def digest(self, table: str, columns: Sequence[str]) -> str:
        """Return the number of rows, and the sum of the hash of each row, computed by the server."""
        found = self._tables[table]
        row = ", ".join(quoted(found.columns[name]) for name in columns)
        with self._server.sentences(f"the table {table}", self._timeout):
            rows = self._rows(
                f"SELECT count(*)::text, coalesce(sum(hashtextextended(ROW({row})::text, 0)::numeric), 0)::text, "
                f"coalesce(sum(hashtextextended(ROW({row})::text, 1)::numeric), 0)::text FROM {found.relation}"
            )
        return f"{table}({','.join(columns)}):{':'.join(rows[0])}"

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()


class _Server:
    """A server and its errors."""

    def __init__(self, url: str) -> None:
        try:
            import adbc_driver_postgresql.dbapi as driver
        except ImportError as error:
            raise ConfigError(f"data.path=postgresql://… needs adbc-driver-postgresql: {EXTRA}") from error
        self.driver = driver
        self._url = url
        parts = urlsplit(url)
        names = {name for name, _ in parse_qsl(parts.query)}
        self._options = "" if "connect_timeout" in names else f"connect_timeout={_CONNECT_SECONDS}"
        self.name = f"{place_name(url)} at {parts.hostname or 'the local socket'}"

    def connect(self) -> Any:
        """Return a connection.

        Raises:
            SourceError: The server can't be reached, or refuses the user.
        """
        join = "&" if "?" in self._url else "?"
        try:
            return self.driver.connect(self._url + (self._options and join + self._options))
        except self.driver.Error as error:
            reason = _why(str(error), _REFUSALS) or "the driver gives another reason. Check the URL with psql"
            raise SourceError(f"the database {self.name} must be reachable: {reason}") from None

    @contextmanager
    def sentences(self, what: str, timeout_seconds: float | None) -> Iterator[None]:
        """Replace errors of the driver, which can quote cells."""
        try:
            yield
        except (self.driver.Error, pa.ArrowException, OSError) as error:
            state = getattr(error, "sqlstate", None) or "".join(re.findall(r"SQLSTATE:? (\w{5})", str(error))[:1])
            reason = _STATES.get(state) or _why(str(error), _BREAKS)
            if reason is None:
                reason = f"can't be read{f' (SQLSTATE {state})' if state else ''}. Try the same table with psql"
            limit = f"{timeout_seconds:g}" if timeout_seconds else "null"
            raise SourceError(f"{what} of the database {self.name} {reason.format(limit=limit)}") from None


def _person_number(table: _Table) -> str:
    column = quoted(table.columns[PERSON_ID])
    if PERSON_ID in table.is_number:
        return column
    text = f"trim({column}::text)"
    return f"CASE WHEN {text} ~ {literal('^[+-]?[0-9]{1,18}([.]0*)?$')} THEN {text}::numeric END"


def _why(text: str, causes: Sequence[tuple[str, str]]) -> str | None:
    """Say what an error means, without its text."""
    return next((sentence for words, sentence in causes if words in text), None)


_REFUSALS = (
    (
        "password authentication failed",
        "it refuses the password of this user. Set PGPASSWORD, or correct ~/.pgpass",
    ),
    ("no password supplied", "it asks for a password and got none. Set PGPASSWORD, or write it into ~/.pgpass"),
    (
        "pg_hba.conf",
        "it does not accept this user from this machine. Ask its administrator for an entry in pg_hba.conf",
    ),
    ('role "', "it has no such user, or the user may not log in. Correct the user in data.path"),
    (
        'database "',
        "it has no database of this name, or this user may not connect to it. Correct the name in data.path",
    ),
    ("invalid URI", "the URL has a parameter or a form that libpq does not know. Correct data.path"),
    ("could not translate host name", "no server of this name is known. Correct the host in data.path"),
    ("timeout expired", "the server does not answer. Check that it runs, and the host and port in data.path"),
    ("Connection refused", "no server listens there. Check that it runs, and the host and port in data.path"),
    ("No such file", "no server listens there. Check that it runs, and the host and port in data.path"),
    ("No route", "no server can be reached there. Check the network, and the host in data.path"),
    ("SSL", "the encrypted connection can't be made. Check sslmode in data.path"),
    ("too many", "it has too many connections. Try again later"),
    ("starting up", "it is starting up. Try again later"),
)
_BREAKS = (
    ("statement timeout", "took longer than data.source.timeout_seconds={limit}. Raise it, or read fewer tables"),
    ("permission denied", "may not be read by this user. Grant SELECT on it and USAGE on its schema"),
    (
        "server closed the connection",
        "can't be read: the server closed the connection. Check that it runs, and try again",
    ),
    ("no connection to the server", "can't be read: the connection broke. Check that the server runs, and try again"),
)
_STATES = {
    "57014": _BREAKS[0][1],
    "42501": _BREAKS[1][1],
    "57P01": _BREAKS[2][1],
    "57P02": _BREAKS[2][1],
    "53200": "does not fit into the memory of the server. Read fewer tables (data.source.tables)",
}
