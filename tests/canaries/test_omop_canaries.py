"""Canaries 3 to 5 of docs/conventions.md on records in OMOP: rows of the tables are added, mixed and moved."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.sources.omop.format import EVENT_TABLES
from survlstm.data.sources.omop.source import OmopSource
from survlstm.data.split import Split, split_subjects
from tests.canaries.test_canaries import HIT, assert_same_tensors, by_subject
from tests.omop import write_parquet
from tests.records import LANDMARK_SETTINGS, SETTINGS, random_records

LAST_DAY = "2050-12-31"
CLOCKS = pytest.mark.parametrize("settings", [SETTINGS, LANDMARK_SETTINGS], ids=["visit", "landmark"])
CODES = [*(f"X/{number}" for number in range(40)), "X/late"]


@pytest.fixture
def prepared(tmp_path):
    """Write records as OMOP tables and prepare them; ``order`` mixes the rows of every table."""

    def prepare(rows, outcome, settings=SETTINGS, *, persons, deaths=None, order=None):
        ids = np.array(sorted(persons))
        tables = {
            "person": pa.table({"person_id": ids, "year_of_birth": np.full(len(ids), 1960)}),
            "observation_period": pa.table(
                {
                    "person_id": ids,
                    "observation_period_start_date": ["1990-01-01"] * len(ids),
                    "observation_period_end_date": [LAST_DAY] * len(ids),
                }
            ),
            "condition_occurrence": pa.Table.from_pylist(rows),
            "concept": pa.table(
                {
                    "concept_id": np.arange(1, len(CODES) + 1),
                    "vocabulary_id": ["X"] * len(CODES),
                    "concept_code": [code.removeprefix("X/") for code in CODES],
                    "concept_name": CODES,
                }
            ),
        }
        if deaths:
            tables["death"] = pa.table({"person_id": list(deaths), "death_date": list(deaths.values())})
        if order is not None:
            tables = {name: table.take(order.permutation(table.num_rows)) for name, table in tables.items()}
        path = write_parquet(tables, tmp_path / f"cdm{len(list(tmp_path.iterdir()))}")
        return prepare_uncached(OmopSource(path, tuple(EVENT_TABLES), 0.01), outcome, settings)

    return prepare


def row(person, time, code, visit):
    return {
        "person_id": person,
        "condition_concept_id": 1 + CODES.index(code),
        "condition_start_date": time[:10],
        "condition_start_datetime": time,
        "visit_occurrence_id": visit,
    }


@pytest.fixture(scope="module")
def rows():
    """The rows of 120 persons, 1 to 120."""
    records = random_records(120, seed=2)
    return [
        row(person, time, code, 1000 * person + number)
        for person, visits in enumerate(records.values(), start=1)
        for number, (time, _, codes) in enumerate(visits)
        for code in codes
    ]


PERSONS = range(1, 121)


def late_rows(persons, start, *, days=10):
    times = np.datetime64(start) + np.arange(days) * np.timedelta64(3, "D")
    return [
        row(person, f"{time}T10:00:00", code, None) for person in persons for time in times for code in ("X/late", HIT)
    ]


@CLOCKS
def test_3_rows_after_the_event_change_nothing(prepared, rows, settings):
    before = prepared(rows, FirstCodeOutcome([HIT]), settings, persons=PERSONS)
    with_event = [int(name) for name in before.tensors.subject_id[before.tensors.event]]
    assert len(with_event) > 10
    after = prepared(rows + late_rows(with_event, "2049-01-01"), FirstCodeOutcome([HIT]), settings, persons=PERSONS)
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()


@pytest.mark.parametrize("outcome", [FirstCodeOutcome([HIT]), DeathOutcome()], ids=["first code", "death"])
@CLOCKS
def test_3_rows_after_the_end_of_observation_and_after_a_death_change_nothing(prepared, rows, settings, outcome):
    if isinstance(outcome, DeathOutcome) and settings.landmark is not None:
        settings = replace(settings, landmark=replace(settings.landmark, edges="equidistant", horizon_days=20000.0))
    deaths = dict.fromkeys(list(PERSONS)[::2], "2049-06-30")
    before = prepared(rows, outcome, settings, persons=PERSONS, deaths=deaths)
    late = late_rows(PERSONS, "2051-01-01") + late_rows(deaths, "2049-07-01")
    after = prepared(rows + late, outcome, settings, persons=PERSONS, deaths=deaths)
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    assert (~before.tensors.event).sum() > 20


@CLOCKS
def test_4_the_order_of_rows_changes_nothing(prepared, rows, settings):
    outcome = FirstCodeOutcome([HIT])
    before = prepared(rows, outcome, settings, persons=PERSONS)
    after = prepared(rows, outcome, settings, persons=PERSONS, order=np.random.default_rng(0))
    assert_same_tensors(before.tensors, after.tensors)
    assert before.vocabulary == after.vocabulary


@CLOCKS
def test_5_a_new_test_person_changes_no_training_tensor_and_nothing_that_is_fitted(prepared, rows, settings):
    names = np.array([str(number) for number in range(500, 600)])
    newcomer = int(names[split_subjects(names, train=0.7, val=0.15, seed=0) == Split.TEST][0])
    strange = [
        entry | {"person_id": newcomer, "condition_concept_id": 1 + CODES.index("X/late")}
        for entry in rows
        if entry["person_id"] == 1
    ]
    outcome = FirstCodeOutcome([HIT])
    before = prepared(rows, outcome, settings, persons=PERSONS)
    after = prepared(rows + strange, outcome, settings, persons=[*PERSONS, newcomer])
    assert str(newcomer) in after.tensors.subject_id
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    held, now = by_subject(before), by_subject(after)
    training = [name for name, parts in held.items() if parts[0] == Split.TRAIN]
    assert len(training) > 30
    for name in training:
        assert held[name] == now[name]
