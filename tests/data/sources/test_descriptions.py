"""Test read_descriptions: which text of an export describes a code."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from survlstm.data.sources.descriptions import read_descriptions
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES
from survlstm.utils.errors import SourceError

DATA = Path(__file__).parents[3].parent / "shared" / "data"


def described(export, *tables):
    return read_descriptions(export.folder, tables or tuple(EVENT_TABLES))


def test_a_code_has_its_description(export):
    export.conditions("2001-02-03,,anna,e1,44054006,Diabetes mellitus type 2")
    assert described(export) == {"SNOMED/44054006": "Diabetes mellitus type 2"}


def test_the_most_frequent_text_wins_and_ties_go_by_the_alphabet(export):
    texts = ["rare", "often", "often", "twice b", "twice a", "twice b", "twice a"]
    codes = [111111] * 3 + [222222] * 4
    export.conditions(
        *(f"2001-02-03,,anna,e1,{code},{text}" for code, text in zip(codes, texts, strict=True)),
        *["2001-02-03,,anna,e1,333333,"] * 3,
        "2001-02-03,,anna,e1,333333, said once ",
        "2001-02-03,,anna,e1,444444,",
        "2001-02-03,,anna,e1,,of no code",
    )
    assert described(export) == {"SNOMED/111111": "often", "SNOMED/222222": "twice a", "SNOMED/333333": "said once"}


def test_the_tables_count_together(export):
    header = "START,PATIENT,ENCOUNTER,CODE,DESCRIPTION"
    export.conditions(*["2001-02-03,,anna,e1,111111,of conditions"] * 2)
    export.write("procedures.csv", header, *["2001-02-03,anna,e1,111111,of procedures"] * 3)
    assert described(export) == {"SNOMED/111111": "of procedures"}
    assert described(export, "conditions") == {"SNOMED/111111": "of conditions"}


def test_names_are_those_of_the_events(export):
    header = "START,PATIENT,ENCOUNTER,CODE,SYSTEM,DESCRIPTION"
    lines = [
        "2001-01-01,anna,e1,7984,Unknown,Penicillin V",
        "2001-01-01,anna,e1,84489001,Unknown,Mould",
        "2001-01-01,anna,e1,119100,RxNorm,a drug",
        "2001-01-01,anna,e1,119100,SNOMED-CT,a finding",
        "2001-01-01,anna,e1, 119100 ,http://snomed.info/sct,a finding",
    ]
    export.write("allergies.csv", header, *lines)
    descriptions = described(export)
    assert descriptions == {
        "RxNorm/119100": "a drug",
        "RxNorm/7984": "Penicillin V",
        "SNOMED/119100": "a finding",
        "SNOMED/84489001": "Mould",
    }
    assert set(descriptions) == set(export.read().events.codes.tolist())


def test_tables_without_the_column_are_passed_over(export):
    export.conditions('2001-02-03,,anna,e1,44054006,"Diabetes, type 2"')
    export.write("devices.csv", "START,PATIENT,ENCOUNTER,CODE", "2001-01-05,anna,e9,333333")
    export.write("procedures.csv", "START,PATIENT,ENCOUNTER,CODE,DESCRIPTION")
    assert described(export) == {"SNOMED/44054006": "Diabetes, type 2"}
    assert described(export, "devices") == {}


def test_an_export_that_cannot_be_read(export):
    export.write("conditions.csv", "START,PATIENT,DESCRIPTION", "2001-01-05,anna,d")
    with pytest.raises(SourceError, match=r"CODE missing, found START, PATIENT, DESCRIPTION"):
        described(export)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real exports are not at {DATA}")
def test_the_real_export_row_by_row():
    tables = ("conditions", "medications", "immunizations")
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for table in tables:
        with gzip.open(DATA / "cohort_106" / f"{table}.csv.gz", "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                expected[f"{EVENT_TABLES[table].system}/{row['CODE']}"][row["DESCRIPTION"]] += 1
    descriptions = read_descriptions(DATA / "cohort_106", tables)
    assert descriptions == {code: min(texts, key=lambda text: (-texts[text], text)) for code, texts in expected.items()}
    assert descriptions["SNOMED/44054006"] == "Diabetes mellitus type 2 (disorder)"
    assert set(descriptions) == set(SyntheaSource(str(DATA / "cohort_106"), tables, 0.0).read().events.codes.tolist())
