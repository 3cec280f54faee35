"""What data=omop can't read: one sentence each, without a value of a patient and without a password."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.commands import PredictConfig
from survlstm.config.schema.run import RunConfig
from survlstm.data.sources.omop.format import EVENT_TABLES
from survlstm.data.sources.omop.source import OmopSource
from survlstm.utils.data_location import refuse_password
from survlstm.utils.errors import ConfigError, SourceError
from tests.omop import PASSWORD, write_csv, write_duckdb, write_parquet, write_sqlite

PERSON = pa.table({"person_id": [71], "year_of_birth": [1950]})
CONDITIONS = pa.table(
    {"person_id": [71], "condition_concept_id": [5], "condition_start_date": ["2001-01-01"], "note": ["secret cell"]}
)
TABLES = {"person": PERSON, "condition_occurrence": CONDITIONS}


def read(place, **settings):
    return OmopSource(str(place), tuple(EVENT_TABLES), 0.01, **settings).read()


def refused(place, match, **settings):
    """Read a place that can't be read; the message quotes no cell."""
    with pytest.raises(SourceError, match=match) as raised:
        read(place, **settings)
    assert not re.search(r"secret|71|2001|\n", str(raised.value).replace(str(place), ""))


def test_a_file_of_another_kind(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("secret cell")
    refused(file, r"data.path must be a folder of CSV or parquet files, a DuckDB or SQLite database, or postgresql://")
    refused(tmp_path / "nothing", "the system says of .*nothing: No such file")


def test_a_folder_without_omop_tables(tmp_path):
    folder = tmp_path / "other"
    write_csv({"patients": PERSON, "location": PERSON}, folder)
    refused(folder, r"found neither, among its tables \(2 names not shown here \(2 texts\)\). Set data.path")
    write_csv({"person": PERSON, "concept": PERSON}, tmp_path / "persons")
    refused(tmp_path / "persons", r"found none of visit_occurrence, .*, among its tables \(concept, person\)")
    write_csv({"condition_occurrence": CONDITIONS}, tmp_path / "events")
    refused(tmp_path / "events", r"found no person, among its tables \(condition_occurrence\)")


def test_a_table_twice_and_a_column_that_is_missing(tmp_path):
    write_csv(TABLES, tmp_path / "twice")
    (tmp_path / "twice" / "PERSON.csv.gz").write_bytes(b"")
    refused(tmp_path / "twice", r"each table must be there once; person is in 2 files \(PERSON.csv.gz, person.csv\)")
    lacking = CONDITIONS.append_column("more", [["x"]]).drop_columns(["condition_concept_id"])
    lacking = pa.concat_tables([lacking, lacking])
    write_csv({**TABLES, "condition_occurrence": lacking}, tmp_path / "lacking")
    refused(
        tmp_path / "lacking",
        r"the table condition_occurrence must have the columns person_id, condition_concept_id; it lacks "
        r"condition_concept_id and has person_id and 3 names not shown here",
    )
    write_csv({**TABLES, "person": PERSON.drop_columns(["year_of_birth"])}, tmp_path / "birth")
    refused(tmp_path / "birth", "it lacks birth_datetime or year_of_birth and has person_id")


def test_malformed_rows_of_a_csv_file_are_counted(tmp_path):
    write_csv(TABLES, tmp_path / "cdm")
    with (tmp_path / "cdm" / "condition_occurrence.csv").open("a") as file:
        file.write("71,5\n71,5,2001-01-02,secret,cell\n71,5,2001-01-03,fine\n")
    refused(tmp_path / "cdm", r"condition_occurrence: at most .*; 2 of 4 are \(0.5\): 2 malformed row")
    source = OmopSource(str(tmp_path / "cdm"), tuple(EVENT_TABLES), 1.0)
    assert len(source.read().events) == 2
    with source.parts(subjects_at_once=1, into=tmp_path) as parts:
        assert parts.parts[0].read().tables[-1].unusable == {"malformed row": 2}


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (
            "person.csv.gz",
            b"secret",
            "every file of data.path must be readable; of person.csv.gz: its gzip data are damaged",
        ),
        (
            "person.parquet",
            b"secret cell of 71",
            "the table person must be readable; it is not parquet, as its name says",
        ),
        ("person.csv", b"", "person.csv must begin with the names of its columns; its first line is empty"),
        ("person.csv", b'person_id,year_of_birth\n"71,1950\n71,1951\n', "person"),
    ],
)
def test_a_damaged_file(tmp_path, name, content, match):
    folder = tmp_path / "cdm"
    write_csv({"condition_occurrence": CONDITIONS}, folder)
    (folder / name).write_bytes(content)
    refused(folder, match)


def test_a_damaged_database(tmp_path):
    for name, write in (("a.duckdb", write_duckdb), ("a.sqlite", write_sqlite)):
        file = Path(write(TABLES, tmp_path / name))
        file.write_bytes(file.read_bytes()[:100])
        refused(
            file, f"data.path must be a (DuckDB|SQLite) database that can be read; .*{name} is damaged|can't be read"
        )


def test_a_database_on_a_read_only_medium_is_read(tmp_path, monkeypatch):
    folder = tmp_path / "medium"
    folder.mkdir()
    files = [Path(write_duckdb(TABLES, folder / "a.duckdb")), Path(write_sqlite(TABLES, folder / "a.sqlite"))]
    with closing(sqlite3.connect(files[1])) as database:
        database.execute("PRAGMA journal_mode = wal")
    for file in files:
        file.chmod(0o444)
    folder.chmod(0o555)
    try:
        before = sorted(path.name for path in folder.iterdir())
        for file in files:
            assert len(read(file).events) == 1
        assert sorted(path.name for path in folder.iterdir() if not path.name.endswith(("-shm", "-wal"))) == before
    finally:
        folder.chmod(0o755)


def test_a_database_that_another_process_writes(tmp_path):
    file = Path(write_duckdb(TABLES, tmp_path / "busy.duckdb"))
    code = f"import duckdb, sys; c = duckdb.connect({str(file)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"open\n"
        refused(file, "busy.duckdb is open for writing in another process. Close that process, or copy the file")
        holder.stdin.close()


def test_a_schema_that_is_not_there(tmp_path, postgresql):
    file = write_duckdb(TABLES, tmp_path / "a.duckdb", schema="cdm")
    sentence = (
        "data.source.cdm_schema must be a schema of the database with tables; found '{}', which has none; a table "
    )
    refused(file, sentence.format("main") + "person is in cdm")
    refused(file, "data.source.vocabulary_schema must be .* found 'vocab'", cdm_schema="cdm", vocabulary_schema="vocab")
    refused(postgresql.write(TABLES, "elsewhere", schema="cdm"), sentence.format("public") + "person is in cdm")


def test_a_server_that_refuses_or_does_not_answer(postgresql, monkeypatch):
    place = postgresql.folder
    refused(
        "postgresql://me@127.0.0.1:1/cdm", r"the database cdm at 127.0.0.1 must be reachable: no server listens there"
    )
    refused(
        "postgresql://me@no.such.host.invalid/cdm", "no server of this name is known. Correct the host in data.path"
    )
    refused(f"postgresql://me@/cdm?host={place}/none", "no server listens there")
    refused(postgresql.url("nothing"), "it has no database of this name")
    refused(postgresql.url() + "&unheard=1", "the URL has a parameter or a form that libpq does not know")
    for password in (PASSWORD[:-1], f"{PASSWORD}1"):
        monkeypatch.setenv("PGPASSWORD", password)
        refused(postgresql.url(), "it refuses the password of this user. Set PGPASSWORD, or correct ~/.pgpass")
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(place / "none"))
    refused(postgresql.url(), "it asks for a password and got none. Set PGPASSWORD, or write it into ~/.pgpass")


def test_a_password_from_a_file(postgresql, monkeypatch, tmp_path):
    url = postgresql.write(TABLES, "pgpass")
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:pgpass:*:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert len(read(url).events) == 1


def test_a_table_that_may_not_be_read(postgresql):
    postgresql.write(TABLES, "private", schema="cdm")
    postgresql.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    url = postgresql.url("private", user="reader")
    advice = "may not be read by this user. Grant SELECT on it and USAGE on its schema"
    refused(url, f"the table person of the database private at the local socket {advice}", cdm_schema="cdm")
    postgresql.execute(
        "GRANT USAGE ON SCHEMA cdm TO reader", "GRANT SELECT ON cdm.person TO reader", database="private"
    )
    refused(
        url, f"the table condition_occurrence of the database private at the local socket {advice}", cdm_schema="cdm"
    )


def test_a_query_that_takes_too_long_and_one_that_quotes_a_cell(postgresql):
    url = postgresql.write({"person": PERSON}, "slowly")
    columns = "71 AS person_id, 5 AS condition_concept_id"
    view = "CREATE OR REPLACE VIEW condition_occurrence AS SELECT {}, {} AS condition_start_date"
    slow = view.format(columns, "CASE WHEN pg_sleep(5) IS NULL THEN '' ELSE '2001-01-01' END")
    postgresql.execute(slow, database="slowly")
    sentence = "the table condition_occurrence of the database slowly at the local socket took longer than "
    refused(url, sentence + r"data.source.timeout_seconds=0.3. Raise it, or read fewer tables", timeout_seconds=0.3)
    postgresql.execute("DROP VIEW condition_occurrence", database="slowly")
    postgresql.execute(
        "CREATE TABLE cells AS SELECT CASE WHEN n = 100000 THEN 'secret cell' ELSE '5' END AS cell "
        "FROM generate_series(1, 100000) n",
        "CREATE VIEW condition_occurrence AS SELECT 71 AS person_id, cell::int AS condition_concept_id, "
        "'2001-01-01' AS condition_start_date FROM cells",
        database="slowly",
    )
    refused(url, r"can't be read( \(SQLSTATE 22P02\))?\. Try the same table with psql")


def test_an_error_of_duckdb_quotes_no_cell(tmp_path):
    file = write_duckdb({"person": PERSON, "cells": CONDITIONS}, tmp_path / "a.duckdb")
    with closing(duckdb.connect(file)) as database:
        database.execute(
            "CREATE VIEW condition_occurrence AS SELECT person_id, note::INT AS condition_concept_id, "
            "condition_start_date FROM cells"
        )
    refused(file, r"the table condition_occurrence must be readable; it can't be read \(DuckDB: ConversionException\)")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hidden@host/cdm",
        "postgres://me:hidden@host:5432/cdm?sslmode=require",
        "postgresql://me@host/cdm?password=hidden",
        "postgresql://host/cdm?sslmode=require&PASSWORD=hidden",
        "postgresql://me@host/cdm?sslpassword=hidden",
        "postgresql://me:@host/cdm",
        "host=h user=me password = hidden",
        "postgresql+psycopg2://me:hidden@host/cdm",
        "POSTGRESQL://me:hidden@host/cdm",
    ],
)
def test_a_password_in_the_path_is_refused_and_not_shown(url):
    for words, command, schema in (
        (["data=omop"], "train", RunConfig),
        (["data=synthea"], "train", RunConfig),
        (["bundle=B", "output=p.csv"], "predict", PredictConfig),
    ):
        with pytest.raises(ConfigError, match=r"data.path: ?must hold no password|must hold no password") as raised:
            check_overrides(command, [*words, f"data.path={url}"], schema)
        assert "hidden" not in str(raised.value)
    with pytest.raises(ConfigError, match="must hold no password"):
        read(url)


def test_a_url_that_cannot_be_parsed_is_not_shown():
    with pytest.raises(ValueError, match="found one that can't be parsed") as raised:
        refuse_password("postgresql://me:hidden/word@host/cdm")
    assert "hidden" not in str(raised.value)


def test_the_config_takes_a_url_and_says_what_else_it_takes(tmp_path):
    (config,) = check_overrides("train", ["data=omop", "data.path=postgresql://me@host/cdm?sslmode=require"], RunConfig)
    assert config.data.path == "postgresql://me@host/cdm?sslmode=require"
    with pytest.raises(ConfigError, match="must be a file or a folder, or postgresql://user@host/database; found"):
        check_overrides("train", ["data=omop", f"data.path={tmp_path}/none"], RunConfig)
    with pytest.raises(ConfigError, match="must be a folder with Synthea CSV tables"):
        check_overrides("train", ["data=synthea", "data.path=postgresql://me@host/cdm"], RunConfig)
    with pytest.raises(ConfigError, match=r"data.source.tables.0"):
        check_overrides("train", ["data=omop", "data.path=.", "data.source.tables=[conditions]"], RunConfig)


def test_a_nested_column_is_no_number(tmp_path):
    nested = CONDITIONS.set_column(1, "condition_concept_id", pa.array([[71]]))
    write_parquet({"person": PERSON, "condition_occurrence": pa.concat_tables([nested, nested])}, tmp_path / "a")
    refused(tmp_path / "a", "condition_occurrence: at most .* 2 text in place of a number")
