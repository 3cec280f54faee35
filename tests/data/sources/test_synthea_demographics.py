"""Sex, race and ethnicity of the table of patients as static codes."""

import logging

import pytest

ROW = "2001-02-03,,anna,e1,44054006,Diabetes"
HEADER = "Id,BIRTHDATE,DEATHDATE,GENDER,RACE,ETHNICITY"


def static_of(reading):
    subjects = reading.events.subjects
    static = subjects.static
    return {
        str(name): static.codes[static.code[start:stop]].tolist()
        for name, start, stop in zip(subjects.subject_id, static.offsets, static.offsets[1:], strict=False)
    }


def read(export, *rows, header=HEADER, **settings):
    export.conditions(ROW)
    export.write("patients.csv", header, *rows)
    return export.read(**settings)


def test_values_become_codes_of_their_subjects(export):
    reading = read(export, "bert,1960-05-05,,M, white ,nonhispanic", "anna,1950-01-01,,F,black,hispanic")
    assert static_of(reading) == {
        "anna": ["ETHNICITY/hispanic", "RACE/black", "SEX/F"],
        "bert": ["ETHNICITY/nonhispanic", "RACE/white", "SEX/M"],
    }
    assert not any("GENDER" in warning for warning in reading.warnings)


@pytest.mark.parametrize(
    "header",
    [
        "Id,BIRTHDATE,DEATHDATE,gender, Race ,ETHNICITY",
        "ID;BIRTHDATE;DEATHDATE;GENDER;RACE;ETHNICITY",
    ],
)
def test_columns_may_be_spelled_as_the_others(export, header):
    row = "anna,1950-01-01,,F,white,hispanic"
    reading = read(export, row.replace(",", ";") if ";" in header else row, header=header)
    assert static_of(reading) == {"anna": ["ETHNICITY/hispanic", "RACE/white", "SEX/F"]}


def test_the_columns_are_optional(export):
    reading = read(export, "anna,1950-01-01,,F", header="Id,BIRTHDATE,DEATHDATE,GENDER")
    assert static_of(reading) == {"anna": ["SEX/F"]}
    assert static_of(read(export, "anna,1950-01-01,", header="Id,BIRTHDATE,DEATHDATE")) == {"anna": []}


def test_an_empty_cell_is_no_code_and_is_counted_in_the_log(export, caplog):
    with caplog.at_level(logging.INFO):
        reading = read(export, "anna,1950-01-01,,F,,NULL", "bert,1960-05-05,,M,white,")
    assert static_of(reading) == {"anna": ["SEX/F"], "bert": ["RACE/white", "SEX/M"]}
    assert "patients.csv: patients with an empty cell: RACE 1, ETHNICITY 2 of 2" in caplog.messages
    assert not any("not used" in warning for warning in reading.warnings)


@pytest.mark.parametrize(
    "value",
    ["1985-03-02", "77", "b" * 41, "3c7be1a0-1111-2222-3333-444455556666"],
    ids=["date", "number", "long", "id"],
)
def test_what_is_no_short_text_is_not_used_and_not_quoted(export, value):
    reading = read(export, f"anna,1950-01-01,,{value},white,hispanic", "bert,1960-05-05,,M,white,hispanic")
    assert static_of(reading)["anna"] == ["ETHNICITY/hispanic", "RACE/white"]
    (warning,) = [warning for warning in reading.warnings if "GENDER" in warning]
    assert warning.startswith("GENDER of 1 of 2 patients is not used: it must be text of at most 40 characters")
    assert value not in warning
    # The patient and its rows are used all the same.
    assert next(count for count in reading.tables if count.table == "patients").rows_used == 2


def test_a_patient_who_is_left_out_has_no_code(export):
    reading = read(export, "anna,1950-01-01,,F,white,hispanic", "bert,,,M,white,hispanic", max_unusable_share=1.0)
    assert static_of(reading) == {"anna": ["ETHNICITY/hispanic", "RACE/white", "SEX/F"]}
