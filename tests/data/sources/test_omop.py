"""The rows of OMOP tables: what becomes of each, how codes are named, and what the tables say together."""

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.source_parts import open_parts
from survlstm.data.sources.omop.format import EVENT_TABLES
from survlstm.data.sources.omop.source import OmopSource
from survlstm.data.sources.shards import merge_counts
from survlstm.utils.errors import SourceError
from tests.omop import write_parquet

CONCEPTS = [
    {"concept_id": 201826, "vocabulary_id": "SNOMED", "concept_code": "44054006", "concept_name": "Type 2 diabetes"},
    {"concept_id": 201820, "vocabulary_id": "SNOMED", "concept_code": "73211009", "concept_name": "Diabetes"},
    {"concept_id": 9202, "vocabulary_id": "Visit", "concept_code": "OP", "concept_name": "Outpatient Visit"},
    {"concept_id": 8532, "vocabulary_id": "Gender", "concept_code": "F", "concept_name": "FEMALE"},
]


def person(person_id, **more):
    born = {"year_of_birth": 1950, "month_of_birth": 3, "day_of_birth": 9, "birth_datetime": None}
    facts = {
        f"{fact}_{kind}": None for fact in ("gender", "race", "ethnicity") for kind in ("concept_id", "source_value")
    }
    return {"person_id": person_id, **born, **facts, **more}


def condition(person_id, concept, date, *, datetime=None, visit=None, source_value=None):
    return {
        "person_id": person_id,
        "condition_concept_id": concept,
        "condition_source_value": source_value,
        "condition_start_date": date,
        "condition_start_datetime": datetime,
        "visit_occurrence_id": visit,
    }


def measurement(person_id, value, **more):
    day = {"measurement_date": "2001-01-01", "visit_occurrence_id": None, "measurement_concept_id": 201826}
    return {"person_id": person_id, **day, "value_as_number": value, **more}


def period(person_id, start, end):
    return {"person_id": person_id, "observation_period_start_date": start, "observation_period_end_date": end}


@pytest.fixture
def cdm(tmp_path):
    """Write tables of rows as parquet; returns the source that reads them."""

    def write(tables, *, max_unusable_share=1.0, observation_periods="last"):
        columns = {name: pa.Table.from_pylist(rows) for name, rows in ({"concept": CONCEPTS} | tables).items() if rows}
        path = write_parquet(columns, tmp_path / f"cdm{len(list(tmp_path.iterdir()))}")
        return OmopSource(path, tuple(EVENT_TABLES), max_unusable_share, observation_periods=observation_periods)

    return write


def rows_of(events):
    """Subject, code and time of each event."""
    return [
        (str(events.subjects.subject_id[subject]), str(events.codes[code]), str(time))
        for subject, code, time in zip(events.subject, events.code, events.time, strict=True)
    ]


def count_of(reading, table):
    return next(count for count in reading.tables if count.table == table)


def test_codes_are_those_of_the_vocabulary_else_the_concept_else_the_source_value(cdm):
    reading = cdm(
        {
            "person": [person(1)],
            "condition_occurrence": [
                condition(1, 201826, "2001-01-01"),
                condition(1, 999, "2001-01-02"),
                condition(1, 0, "2001-01-03", source_value="E11.9"),
                condition(1, None, "2001-01-04", source_value="HBA1C"),
                condition(1, 0, "2001-01-05"),
                *(
                    condition(1, 0, "2001-01-06", source_value=text)
                    for text in ("Mary has diabetes", "Smith", "1950-03-09", "09/03/1950", "x" * 40)
                ),
            ],
        }
    ).read()
    assert rows_of(reading.events) == [
        ("1", "SNOMED/44054006", "2001-01-01T00:00:00"),
        ("1", "OMOP/999", "2001-01-02T00:00:00"),
        ("1", "OMOP_SOURCE_CONDITION/E11.9", "2001-01-03T00:00:00"),
        ("1", "OMOP_SOURCE_CONDITION/HBA1C", "2001-01-04T00:00:00"),
    ]
    count = count_of(reading, "condition_occurrence")
    assert count.left_out == {"concept 0 and no source value": 1, "concept 0 and a source value that is no code": 5}
    assert (count.rows_read, count.rows_used, count.unusable) == (10, 4, {})
    assert (
        "Entries with concept 0, first those with the source value as their code, then those without a usable one, "
        "which are left out: condition_occurrence 2 and 6."
    ) in reading.warnings
    assert any(
        warning.startswith("Entries whose concept is not in the table concept") and warning.endswith(": 1.")
        for warning in reading.warnings
    )


def test_the_time_of_day_counts_where_there_is_one(cdm):
    reading = cdm(
        {
            "person": [person(1)],
            "condition_occurrence": [
                condition(1, 201826, "2001-01-01", datetime="2001-01-01 08:30:00"),
                condition(1, 201826, "2001-01-02", datetime=None),
                condition(1, 201826, None, datetime=None),
                condition(1, 201826, "soon", datetime=None),
                condition(1, 201826, "2001-02-30", datetime=None),
                condition(1, 201826, "1950-03-08", datetime=None),
            ],
        }
    ).read()
    assert [row[2] for row in rows_of(reading.events)] == ["2001-01-01T08:30:00", "2001-01-02T00:00:00"]
    assert count_of(reading, "condition_occurrence").unusable == {
        "no date": 1,
        "unparsable date": 1,
        "impossible date, or before the birth": 2,
    }
    assert reading.events.day_tolerance == 0


def test_a_birth_is_estimated_where_its_day_is_missing(cdm):
    unknown = {"month_of_birth": None, "day_of_birth": None}
    reading = cdm(
        {
            "person": [
                person(1, birth_datetime="1950-05-05T10:00:00"),
                person(2),
                person(3, day_of_birth=None),
                person(4, **unknown),
                person(5, **unknown),
                person(6, year_of_birth=None),
                person(7, month_of_birth=13),
                person(8, month_of_birth=2, day_of_birth=30),
            ],
            "condition_occurrence": [condition(5, 201826, "1950-02-01"), condition(4, 201826, "1950-08-01")],
        }
    ).read()
    assert reading.events.subjects.birth.astype("datetime64[D]").astype(str).tolist() == [
        "1950-05-05",
        "1950-03-09",
        "1950-03-01",
        "1950-06-15",
        # The first entry, where it lies in the year of birth before June.
        "1950-02-01",
    ]
    assert count_of(reading, "person").unusable == {"no date": 1, "impossible date, or before the birth": 2}


def test_a_person_twice_counts_once_if_the_rows_agree(cdm):
    reading = cdm(
        {
            "person": [person(1), person(2), person(1), person(2, day_of_birth=10), person(None), person(10)],
            "condition_occurrence": [condition(number, 201826, "2001-01-01") for number in (1, 2, 3, 10)],
        }
    ).read()
    # Ids are texts, sorted as texts.
    assert reading.events.subjects.subject_id.tolist() == ["1", "10"]
    count = count_of(reading, "person")
    assert count.left_out == {"repeats another row": 1}
    assert count.unusable == {"no person id": 1, "several rows for the person that differ": 2}
    events = count_of(reading, "condition_occurrence")
    assert (events.left_out, events.unusable) == ({"person left out": 1}, {"unknown person": 1})


def test_the_earliest_day_of_death_counts_and_an_unusable_one_removes_the_person(cdm):
    def death(person_id, date, datetime=None):
        return {"person_id": person_id, "death_date": date, "death_datetime": datetime}

    reading = cdm(
        {
            "person": [person(number) for number in range(1, 6)],
            "death": [
                death(1, "2010-01-02"),
                death(1, "2010-01-01"),
                death(2, None, "2011-01-01 10:00:00"),
                death(3, "then"),
                death(4, "1940-01-01"),
            ],
            "condition_occurrence": [condition(number, 201826, "2001-01-01") for number in range(1, 6)],
        }
    ).read()
    assert reading.events.subjects.subject_id.tolist() == ["1", "2", "5"]
    assert reading.events.subjects.death.astype("datetime64[D]").astype(str).tolist() == [
        "2010-01-01",
        "2011-01-01",
        "NaT",
    ]
    assert count_of(reading, "person").left_out == {"the row in death can't be used": 2}
    assert count_of(reading, "death").unusable == {"unparsable date": 1, "death before the birth": 1}
    assert any(warning.startswith("death: persons whose rows have different days") for warning in reading.warnings)
    assert any(warning.startswith("SELECTED BY OUTCOME: 2 of 5 persons") for warning in reading.warnings)


def test_sex_race_and_ethnicity_are_static_codes(cdm):
    reading = cdm(
        {
            "person": [
                person(1, gender_concept_id=8532, race_concept_id=8527, ethnicity_concept_id=0),
                person(2, gender_concept_id=0, gender_source_value="M", race_concept_id=99, race_source_value="other"),
                person(3, gender_concept_id=77, race_source_value="told by the mother: +61 400 000 000"),
            ],
            "condition_occurrence": [condition(1, 201826, "2001-01-01")],
        }
    ).read()
    static = reading.events.subjects.static
    named = [static.codes[static.code[slice(*static.offsets[n : n + 2])]].tolist() for n in range(3)]
    assert named == [["Gender/F", "Race/5"], ["Gender/M", "Race/other"], ["OMOP/77"]]
    sentence = (
        "person: of 3 subjects these have concept 0, and the source value is used: gender 1, race 1, ethnicity 3."
    )
    assert sentence in reading.warnings


PERIODS = [
    # A day apart: one period. Person 2 has two, person 3 none.
    period(1, "2000-01-01", "2000-12-31"),
    period(1, "2001-01-01", "2001-06-30"),
    period(2, "2000-01-01", "2000-12-31"),
    period(2, "2005-01-01", "2005-12-31"),
    period(2, "2005-03-01", "2005-04-01"),
    period(9, "2000-01-01", "2000-12-31"),
    period(1, "2009-01-01", "2008-01-01"),
]


@pytest.mark.parametrize(
    ("kept", "days"),
    [
        ("last", ["2000-01-01", "2001-06-30", "2005-01-01", "2005-12-31"]),
        ("all", ["2000-01-01", "2001-06-30", "2000-06-01", "2005-01-01", "2005-12-31"]),
    ],
)
def test_entries_outside_the_observation_periods_are_left_out(cdm, kept, days):
    entries = [(1, "1999-12-31"), (1, "2000-01-01"), (1, "2001-06-30"), (1, "2001-07-01"), (3, "2000-01-01")]
    entries += [(2, "2000-06-01"), (2, "2003-01-01"), (2, "2005-01-01"), (2, "2005-12-31"), (2, "2006-01-01")]
    reading = cdm(
        {
            "person": [person(1), person(2), person(3)],
            "observation_period": PERIODS,
            "condition_occurrence": [condition(who, 201826, day, datetime=f"{day}T23:30:00") for who, day in entries],
        },
        observation_periods=kept,
    ).read()
    assert [row[2][:10] for row in rows_of(reading.events)] == days
    assert reading.events.subjects.observed_until.astype("datetime64[D]").astype(str).tolist() == [
        "2001-06-30",
        "2005-12-31",
    ]
    left_out = count_of(reading, "condition_occurrence").left_out
    assert left_out == {"person left out": 1, "outside the observation period": 9 - len(days)}
    assert count_of(reading, "person").left_out == {"no observation period": 1}
    periods = count_of(reading, "observation_period")
    assert (periods.left_out, periods.unusable) == ({"person not in the table person": 1}, {"ends before it starts": 1})


@pytest.mark.parametrize("rows", [None, [period(9, "2000-01-01", "2000-12-31")]])
def test_without_observation_periods_there_are_no_limits(cdm, rows, tmp_path):
    source = cdm(
        {
            "person": [person(1), person(2)],
            "observation_period": rows,
            "condition_occurrence": [condition(1, 201826, "2001-01-01"), condition(2, 201826, "2001-01-01")],
        }
    )
    reading = source.read()
    assert len(reading.events) == 2
    assert np.isnat(reading.events.subjects.observed_until).all()
    assert any("follow-up ends with the last visit" in warning for warning in reading.warnings)
    # A part in which nobody has a period is not the whole.
    with open_parts(source, subjects_at_once=1, into=tmp_path) as cut:
        assert [len(part.read().events) for part in cut.parts] == [1, 1]


def test_a_visit_that_is_not_there_is_no_encounter(cdm):
    visit = {"visit_concept_id": 9202, "visit_start_date": "2001-01-01", "visit_start_datetime": None}
    tables = {
        "person": [person(1), person(2)],
        "visit_occurrence": [{"person_id": 1, "visit_occurrence_id": 7, **visit}],
        "condition_occurrence": [
            condition(1, 201826, "2001-01-02", visit=7),
            condition(1, 201826, "2001-01-03", visit=8),
            condition(1, 201826, "2001-01-04"),
            condition(2, 201826, "2001-01-05", visit=7),
        ],
    }
    reading = cdm(tables).read()
    assert rows_of(reading.events)[0] == ("1", "Visit/OP", "2001-01-01T00:00:00")
    assert reading.events.encounter.tolist() == [0, 0, -1, -1, -1]
    assert (
        "2 of 4 entries that name a visit name one that is not in visit_occurrence for their person, and count as "
        "entries without a visit: condition_occurrence 2 of 3."
    ) in reading.warnings
    # Without the table the ids themselves tell visits apart, for each person.
    without = cdm({**tables, "visit_occurrence": None}).read()
    assert without.events.encounter.tolist() == [0, 1, -1, 2]
    assert not any("name a visit" in warning for warning in without.warnings)


def test_values_are_numbers_and_a_text_in_their_place_is_a_defect(cdm):
    reading = cdm(
        {
            "person": [person(1)],
            "measurement": [measurement(1, text) for text in ("5.5", " 1e2", "", "high", None, "1e39", "1e400", "inf")],
        }
    )
    reading = reading.read()
    assert np.nan_to_num(reading.events.numeric_value, nan=-1).tolist() == [5.5, 100, -1, -1]
    unusable = {"text in place of a number": 1, "number beyond single precision": 3}
    assert count_of(reading, "measurement").unusable == unusable
    assert reading.events.units.tolist() == [""]


def test_too_many_unusable_rows_are_refused(cdm):
    tables = {
        "person": [person(1)],
        "condition_occurrence": [condition(number, 201826, "2001-01-01") for number in (1, 1, 5)],
    }
    with pytest.raises(
        SourceError, match=r"condition_occurrence: at most 0.01 of the rows may be unusable; 1 of 3 are"
    ):
        cdm(tables, max_unusable_share=0.01).read()
    tables["person"] = [person("anna"), person("bert")]
    with pytest.raises(SourceError, match=r"must hold a usable person; none of 2 is \(2 text in place of a number\)"):
        cdm(tables).read()


def test_descriptions_are_the_names_of_the_concepts_that_occur(cdm):
    source = cdm(
        {"person": [person(1, gender_concept_id=8532)], "condition_occurrence": [condition(1, 201826, "2001-01-01")]}
    )
    assert source.descriptions() == {"SNOMED/44054006": "Type 2 diabetes", "Gender/F": "FEMALE"}


def test_descendants_follow_concept_ancestor(cdm):
    tables = {"person": [person(1)], "condition_occurrence": [condition(1, 201826, "2001-01-01")]}
    pairs = [(201820, 201820), (201820, 201826), (201826, 201826), (201826, 555)]
    ancestor = [{"ancestor_concept_id": float(one), "descendant_concept_id": other} for one, other in pairs]
    source = cdm({**tables, "concept_ancestor": ancestor})
    assert source.descendants(["SNOMED/73211009"]) == {"SNOMED/73211009", "SNOMED/44054006"}
    assert source.descendants(["OMOP/201826", "X/1"]) == {"OMOP/201826", "X/1", "SNOMED/44054006", "OMOP/555"}
    with pytest.raises(SourceError, match=r"descendants need the table concept_ancestor .*; there is no such table"):
        cdm(tables).descendants(["SNOMED/73211009"])


def test_parts_are_the_whole(cdm, tmp_path):
    generator = np.random.default_rng(0)
    entries = [
        condition(int(who), int(concept), f"2001-01-{day:02d}", visit=int(visit), source_value="A1")
        for who, concept, day, visit in zip(
            generator.integers(0, 40, 400),
            generator.choice([201826, 201820, 0, 5], 400),
            generator.integers(1, 29, 400),
            generator.integers(0, 30, 400),
            strict=True,
        )
    ]
    entries.append(condition(None, 201826, "2001-01-01"))
    visit = {"visit_concept_id": 9202, "visit_start_date": "2001-01-01"}
    source = cdm(
        {
            "person": [person(number) for number in range(1, 31)],
            "observation_period": [period(number, "2001-01-01", "2001-01-20") for number in range(1, 30)],
            "visit_occurrence": [{"person_id": n, "visit_occurrence_id": n, **visit} for n in range(1, 31)],
            "condition_occurrence": entries,
        }
    )
    whole = source.read()
    with open_parts(source, subjects_at_once=7, into=tmp_path) as cut:
        assert (len(cut.parts), cut.subjects) == (5, 30)
        readings = [part.read() for part in cut.parts]
    assert merge_counts([reading.tables for reading in readings]) == merge_counts([whole.tables])
    found = sorted(row for reading in readings for row in rows_of(reading.events))
    assert found == sorted(rows_of(whole.events))
    named = sum(int((reading.events.encounter >= 0).sum()) for reading in readings)
    assert named == int((whole.events.encounter >= 0).sum()) > 10
    with open_parts(source, subjects_at_once=30, into=tmp_path) as cut:
        assert len(cut.parts) == 1
