"""Test SyntheaSource on Synthea's own exports of four years, against counts made row by row with the csv module."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from survlstm.data.events import SourceData
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES

DATA = Path(__file__).parents[3].parent / "shared" / "data"

ROWS = {
    "cohort_1000": {
        "patients": 1123,
        "encounters": 76367,
        "conditions": 40211,
        "medications": 73991,
        "procedures": 150509,
        "observations": 1135582,
        "immunizations": 16099,
        "allergies": 1086,
        "careplans": 3766,
        "devices": 1810,
    },
    "cohort_106": {
        "patients": 106,
        "encounters": 14054,
        "conditions": 7700,
        "medications": 9138,
        "procedures": 29829,
        "observations": 190053,
        "immunizations": 5372,
        "allergies": 80,
        "careplans": 803,
        "devices": 284,
    },
    "legacy_2019": {"patients": 1000, "conditions": 20512, "medications": 17922},
    "legacy_2025": {
        "patients": 112,
        "encounters": 5598,
        "conditions": 3495,
        "medications": 3522,
        "procedures": 14761,
        "immunizations": 1629,
        "allergies": 102,
    },
}
BOOK_KEEPING = {"cohort_1000": 25383, "cohort_106": 12189}
CUT = {"cohort_1000": "2014-04", "legacy_2025": "2015-08"}

real = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real exports are not at {DATA}")


@cache
def reading(name: str) -> SourceData:
    return SyntheaSource(str(DATA / name), tuple(EVENT_TABLES), 0.0).read()


@real
@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_accounted_for_and_none_is_unusable(name):
    tables = reading(name).tables
    assert {count.table: count.rows_read for count in tables} == ROWS[name]
    assert all(count.unusable == {} for count in tables)
    left_out = sum(sum(count.left_out.values()) for count in tables)
    assert left_out == BOOK_KEEPING.get(name, 0)
    assert len(reading(name).events) == sum(ROWS[name].values()) - ROWS[name]["patients"] - left_out
    assert len(reading(name).events.subjects) == ROWS[name]["patients"]


@real
@pytest.mark.parametrize("name", ROWS)
def test_only_exports_of_ten_years_are_called_cut(name):
    warnings = reading(name).warnings
    assert len(warnings) == (name in CUT)
    assert all(
        f"about {CUT[name]}, 10 years" in warning and "10 years before the end" in warning for warning in warnings
    )


@real
def test_drug_allergies_are_the_same_codes_in_2024_and_2025():
    drugs = {"RxNorm/1191", "RxNorm/7984", "RxNorm/29046"}
    assert drugs <= set(reading("cohort_1000").events.codes.tolist())
    assert drugs <= set(reading("legacy_2025").events.codes.tolist())


@real
@pytest.mark.parametrize("name", ROWS)
def test_the_arrays_hold_what_they_promise(name):
    events = reading(name).events
    assert np.array_equal(events.codes, np.unique(events.codes[events.code]))
    assert np.array_equal(events.subjects.subject_id, np.unique(events.subjects.subject_id))
    assert not np.isnat(events.time).any()
    assert (events.time >= events.subjects.birth[events.subject] - np.timedelta64(1, "D")).all()
    assert len(np.unique(events.encounter)) == events.encounter.max() + 1
