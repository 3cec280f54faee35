"""The same OMOP tables give the same events and tensors from files of every kind and from a PostgreSQL server."""

import dataclasses
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.prepare import prepare, prepare_uncached
from survlstm.data.source_parts import open_parts
from survlstm.data.sources.omop.format import EVENT_TABLES
from survlstm.data.sources.omop.source import OmopSource
from survlstm.data.sources.shards import merge_counts
from survlstm.data.tensors import Tensors
from tests.omop import (
    EUNOMIA,
    SYNTHEA27,
    TABLES,
    eunomia_tables,
    write_csv,
    write_duckdb,
    write_parquet,
    write_sqlite,
    write_tsv,
)
from tests.records import SETTINGS

BLEEDING = FirstCodeOutcome(["SNOMED/74474003"])
FILES = {
    "csv": write_csv,
    "tsv.gz": write_tsv,
    "parquet": write_parquet,
    "duckdb": write_duckdb,
    "sqlite": write_sqlite,
    "sqlite with seconds": lambda tables, place: write_sqlite(tables, place, epochs=True),
}
KINDS = [*FILES, "postgresql"]
needs_eunomia = pytest.mark.skipif(not EUNOMIA.exists(), reason="Eunomia is not in shared/data")
needs_synthea27 = pytest.mark.skipif(not SYNTHEA27.exists(), reason="the CDM 5.4 records are not in shared/data")


def source_of(place, *, share=1.0, **settings):
    return OmopSource(str(place), tuple(EVENT_TABLES), share, **settings)


def assert_same_events(one, other):
    for field in dataclasses.fields(one):
        found, expected = getattr(one, field.name), getattr(other, field.name)
        if field.name == "subjects":
            for name in ("subject_id", "birth", "death", "observed_until"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
            for name in ("codes", "offsets", "code"):
                np.testing.assert_array_equal(getattr(found.static, name), getattr(expected.static, name))
        else:
            np.testing.assert_array_equal(found, expected, err_msg=field.name)


def assert_same_reading(one, other):
    assert_same_events(one.events, other.events)
    assert one.tables == other.tables
    assert one.warnings == other.warnings


def assert_same_tensors(one, other):
    for field in dataclasses.fields(Tensors):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


@pytest.fixture(scope="module")
def some_of_eunomia():
    return eunomia_tables(below=150)


@pytest.fixture(scope="module")
def expected(some_of_eunomia, tmp_path_factory):
    return source_of(write_duckdb(some_of_eunomia, tmp_path_factory.mktemp("omop") / "expected")).read()


@pytest.fixture(params=KINDS)
def place(request, some_of_eunomia, tmp_path):
    """Some of Eunomia in each kind of place."""
    if request.param == "postgresql":
        name = f"some_{os.getpid()}"
        server = request.getfixturevalue("postgresql")
        return server.url(name) if server.has(name) else server.write(some_of_eunomia, name)
    return FILES[request.param](some_of_eunomia, tmp_path / "place")


@needs_eunomia
def test_every_kind_of_place_gives_the_same_events(place, expected, tmp_path):
    assert len(expected.events) > 5000
    source = source_of(place)
    assert_same_reading(source.read(), expected)
    with open_parts(source, subjects_at_once=20, into=tmp_path) as cut:
        readings = [part.read() for part in cut.parts]
    assert len(readings) > 3
    assert merge_counts([reading.tables for reading in readings]) == merge_counts([expected.tables])
    assert sum(len(reading.events) for reading in readings) == len(expected.events)


@needs_synthea27
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_deaths_of_every_kind(kind, request, tmp_path):
    tables = {name: pq.read_table(SYNTHEA27 / f"{name}.parquet") for name in TABLES}
    expected = source_of(SYNTHEA27).read()
    assert (~np.isnat(expected.events.subjects.death)).sum() == 3
    assert np.isfinite(expected.events.numeric_value).sum() > 9000
    assert {"%", "mg/dL", "mm[Hg]", "kU/L"} < set(expected.events.units.tolist())
    assert (expected.events.unit > 0).sum() > 7000
    if kind == "postgresql":
        found = source_of(
            request.getfixturevalue("postgresql").write(tables, "synthea27", schema="cdm"), cdm_schema="cdm"
        )
    else:
        found = source_of(FILES[kind](tables, tmp_path / "place"))
    assert_same_reading(found.read(), expected)


@needs_eunomia
@pytest.mark.slow
def test_the_whole_of_eunomia_gives_the_same_tensors(postgresql, tmp_path):
    tables = eunomia_tables()
    prepared = prepare_uncached(source_of(EUNOMIA, share=0.01), BLEEDING, SETTINGS)
    assert (len(prepared.tensors.step), int(prepared.tensors.event.sum())) == (2694, 479)
    reading = source_of(EUNOMIA).read()
    places = [write(tables, tmp_path / name) for name, write in FILES.items()]
    for place in [*places, postgresql.write(tables, "eunomia")]:
        assert_same_reading(source_of(place).read(), reading)
        assert_same_tensors(prepare_uncached(source_of(place), BLEEDING, SETTINGS).tensors, prepared.tensors)


@needs_eunomia
def test_a_changed_row_of_a_server_changes_the_fingerprint(postgresql, some_of_eunomia, tmp_path):
    source = source_of(postgresql.write(some_of_eunomia, "changing"))
    settings = dataclasses.replace(SETTINGS, min_visits=2)

    def fingerprint():
        return prepare(source, BLEEDING, settings, described={}, cache=tmp_path).fingerprint

    before = fingerprint()
    assert re.fullmatch(r"[\w ,():-]+", source.content())
    assert (source.files(), fingerprint()) == ([], before)
    postgresql.execute(
        "UPDATE drug_exposure SET drug_exposure_start_date = drug_exposure_start_date + 1 "
        "WHERE drug_exposure_id = (SELECT min(drug_exposure_id) FROM drug_exposure)",
        database="changing",
    )
    assert fingerprint() != before


def tiny(**columns):
    """One person with one condition; ``columns`` replace those of the condition."""
    return {
        "person": pa.table({"person_id": [1], "year_of_birth": [1950]}),
        "condition_occurrence": pa.table(
            {"person_id": [1], "condition_concept_id": [5], "condition_start_date": ["2001-01-01"]} | columns
        ),
    }


def test_only_persons_and_one_table_of_events_are_needed(tmp_path):
    for kind, write in FILES.items():
        reading = source_of(write(tiny(), tmp_path / kind)).read()
        assert reading.events.codes.tolist() == ["OMOP/5"]
        assert [count.table for count in reading.tables] == ["person", "condition_occurrence"]


def test_a_person_id_that_is_text_in_a_server(postgresql, tmp_path):
    tables = tiny()
    tables["person"] = pa.table({"person_id": ["1", "2", "x"], "year_of_birth": ["1950", "1950", "1950"]})
    source = source_of(postgresql.write(tables, "texts"))
    assert source.read().events.subjects.subject_id.tolist() == ["1", "2"]
    with open_parts(source, subjects_at_once=1, into=tmp_path) as cut:
        counts = merge_counts([part.read().tables for part in cut.parts])
    assert counts == merge_counts([source.read().tables])


def test_names_may_have_any_case_and_need_quotes(postgresql):
    postgresql.write({}, "quoted", schema='"My schema"')
    postgresql.execute(
        'CREATE TABLE "My schema"."PERSON" ("Person_ID" bigint, year_of_birth int)',
        'INSERT INTO "My schema"."PERSON" VALUES (1, 1950)',
        'CREATE VIEW "My schema"."Condition_Occurrence" AS SELECT 1 AS "PERSON_ID", 5::numeric AS condition_concept_id,'
        " timestamptz '2001-01-01 10:00+02' AS condition_start_datetime",
        database="quoted",
    )
    events = source_of(postgresql.url("quoted"), cdm_schema="My schema").read().events
    assert (events.codes.tolist(), events.time.astype(str).tolist()) == (["OMOP/5"], ["2001-01-01T08:00:00"])


def test_the_vocabulary_may_lie_in_a_schema_of_its_own(postgresql, tmp_path):
    concept = {"concept_id": [5], "vocabulary_id": ["X"], "concept_code": ["five"], "concept_name": ["Five"]}
    url = postgresql.write(tiny(), "vocabulary")
    postgresql.execute(
        "CREATE SCHEMA vocab",
        "CREATE TABLE vocab.concept (concept_id int, vocabulary_id text, concept_code text, concept_name text)",
        "INSERT INTO vocab.concept VALUES (5, 'X', 'five', 'Five')",
        database="vocabulary",
    )
    assert source_of(url, vocabulary_schema="vocab").descriptions() == {"X/five": "Five"}
    assert source_of(url).read().events.codes.tolist() == ["OMOP/5"]
    file = tmp_path / "two.duckdb"
    write_duckdb(tiny(), file, schema="cdm")
    write_duckdb({"concept": pa.table(concept)}, file, schema="vocab")
    source = source_of(file, cdm_schema="cdm", vocabulary_schema="vocab")
    assert source.read().events.codes.tolist() == ["X/five"]


def test_quotes_in_a_vocabulary_separated_by_tabs(tmp_path):
    place = tmp_path / "cdm"
    write_csv(tiny(), place)
    (place / "CONCEPT.csv").write_text(
        'concept_id\tconcept_name\tvocabulary_id\tconcept_code\n5\tFive 3" tubes\tX\tfive\n6\tSix "\tX\tsix\n'
    )
    assert source_of(place).descriptions() == {"X/five": 'Five 3" tubes'}
