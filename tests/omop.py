"""Write OMOP tables in every kind of place that data=omop reads, and run a PostgreSQL server."""

from __future__ import annotations

import gzip
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from survlstm.data.sources.omop.format import EVENT_TABLES

DATA = Path(__file__).parents[1].parent / "shared" / "data"
EUNOMIA = DATA / "omop_eunomia" / "eunomia.duckdb"
SYNTHEA27 = DATA / "omop_synthea27nj"
TABLES = ("person", "observation_period", "death", *EVENT_TABLES, "concept", "concept_ancestor")
USER, PASSWORD = "survlstm_tests", "not the usual one"


def eunomia_tables(*, below: int | None = None) -> dict[str, pa.Table]:
    """The tables of Eunomia; with ``below`` only of persons whose id is smaller."""
    with closing(duckdb.connect(str(EUNOMIA), read_only=True)) as database:
        found = {}
        for name in TABLES:
            relation = database.table(name)
            if below is not None and "PERSON_ID" in relation.columns:
                relation = relation.filter(f"PERSON_ID < {below}")
            found[name] = relation.to_arrow_table()
    return found


def write_csv(tables: Mapping[str, pa.Table], folder: Path) -> str:
    """Comma-separated, as Arrow writes them."""
    folder.mkdir()
    for name, table in tables.items():
        pa_csv.write_csv(table, folder / f"{name}.csv")
    return str(folder)


def write_tsv(tables: Mapping[str, pa.Table], folder: Path) -> str:
    """Tab-separated and gzipped, without quotes; names of files in capitals and of columns in small letters."""
    folder.mkdir()
    for name, table in tables.items():
        renamed = table.rename_columns([column.lower() for column in table.column_names])
        buffer = pa.BufferOutputStream()
        options = pa_csv.WriteOptions(delimiter="\t", quoting_style="none", quoting_header="none")
        pa_csv.write_csv(renamed, buffer, options)
        (folder / f"{name.upper()}.CSV.gz").write_bytes(gzip.compress(buffer.getvalue().to_pybytes(), 1))
    return str(folder)


def write_parquet(tables: Mapping[str, pa.Table], folder: Path) -> str:
    """One file a table, but two of the conditions in a folder."""
    folder.mkdir()
    for name, table in tables.items():
        if name == "condition_occurrence":
            (folder / name).mkdir()
            half = table.num_rows // 2
            pq.write_table(table.slice(0, half), folder / name / "1.parquet")
            pq.write_table(table.slice(half), folder / name / "2.parquet")
        else:
            pq.write_table(table, folder / f"{name}.parquet")
    return str(folder)


def write_duckdb(tables: Mapping[str, pa.Table], file: Path, *, schema: str = "main") -> str:
    """A DuckDB database."""
    with closing(duckdb.connect(str(file))) as database:
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for name, table in tables.items():
            database.register("arrow", table)
            database.execute(f"CREATE TABLE {schema}.{name} AS SELECT * FROM arrow")
    return str(file)


def write_sqlite(tables: Mapping[str, pa.Table], file: Path, *, epochs: bool = False) -> str:
    """A SQLite database; with ``epochs`` days and times are seconds since 1970, as OHDSI's tools store them."""
    with closing(sqlite3.connect(file)) as database:
        for name, table in tables.items():
            columns = [_for_sqlite(column, epochs=epochs).to_pylist() for column in table.columns]
            database.execute(f"CREATE TABLE {name} ({', '.join(table.column_names)})")
            cells = ", ".join("?" * table.num_columns)
            database.executemany(f"INSERT INTO {name} VALUES ({cells})", zip(*columns, strict=True))
        database.commit()
    return str(file)


def _for_sqlite(column: pa.ChunkedArray, *, epochs: bool) -> pa.ChunkedArray:
    is_time = pa.types.is_temporal(column.type)
    if is_time and epochs:
        return column.cast(pa.timestamp("s")).cast(pa.int64()).cast(pa.float64())
    return column.cast(pa.string()) if is_time or pa.types.is_decimal(column.type) else column


class Server(NamedTuple):
    """A PostgreSQL server on a socket; ``url`` names a database of it."""

    folder: Path

    def url(self, database: str = "postgres", user: str = USER) -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}&port=5432"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        import adbc_driver_postgresql.dbapi as driver

        with driver.connect(self.url(database), autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def has(self, database: str) -> bool:
        import adbc_driver_postgresql.dbapi as driver

        with driver.connect(self.url()) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM pg_database WHERE datname = '{database}'")
            return bool(cursor.fetchone()[0])

    def write(self, tables: Mapping[str, pa.Table], database: str, *, schema: str = "public") -> str:
        """A new database with these tables."""
        import adbc_driver_postgresql.dbapi as driver

        self.execute(f"CREATE DATABASE {database}")
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}", database=database)
        with driver.connect(self.url(database)) as connection, connection.cursor() as cursor:
            for name, table in tables.items():
                cursor.adbc_ingest(name, _for_postgresql(table), mode="create", db_schema_name=schema.strip('"'))
            connection.commit()
        return self.url(database)


def _for_postgresql(table: pa.Table) -> pa.Table:
    """The driver writes no decimals and no times in seconds."""
    kinds = {True: pa.float64(), False: pa.string()}
    columns = [
        column.cast(kinds[pa.types.is_decimal(column.type)])
        if pa.types.is_decimal(column.type) or pa.types.is_null(column.type)
        else column
        for column in table.columns
    ]
    return pa.table(columns, names=[name.lower() for name in table.column_names])


@contextmanager
def running_server() -> Iterator[Server | str]:
    """Start a server in a temporary folder; the reason where that can't be."""
    initdb = _program("initdb")
    if initdb is None:
        yield "PostgreSQL is not installed: apt-get install postgresql"
        return
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    owner = {}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        person = pwd.getpwnam("nobody")
        owner = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
        os.chown(folder, person.pw_uid, person.pw_gid)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"
    run = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **owner}
    try:
        words = [initdb, "-D", data, "-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"]
        control = [_program("pg_ctl") or "pg_ctl", "-D", data, "-w"]
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        try:
            subprocess.run([*words, "--no-locale"], **run)
            subprocess.run([*control, "-o", options, "-l", folder / "log", "start"], **run)
        except (OSError, subprocess.CalledProcessError) as error:
            yield f"PostgreSQL can't be started here: {error}"
            return
        try:
            yield Server(folder)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str | None:
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([str(folder) for folder in folders] + [os.environ.get("PATH", "")]))
