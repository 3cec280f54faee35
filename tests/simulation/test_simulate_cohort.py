"""simulate_cohort: reproducible bytes, the format of Synthea, and rules that every record must obey."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from survlstm.simulation import cohort, simulate_cohort
from survlstm.utils.errors import ConfigError

LAST_DAY = datetime.date(2024, 4, 30)
# The first lines of a Synthea export of April 2024.
SYNTHEA_HEADERS = {
    "patients": "Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,PREFIX,FIRST,LAST,SUFFIX,MAIDEN,MARITAL,RACE,ETHNICITY,"
    "GENDER,BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,LON,HEALTHCARE_EXPENSES,HEALTHCARE_COVERAGE,INCOME",
    "encounters": "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,"
    "BASE_ENCOUNTER_COST,TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION",
    "conditions": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION",
    "medications": "START,STOP,PATIENT,PAYER,ENCOUNTER,CODE,DESCRIPTION,BASE_COST,PAYER_COVERAGE,DISPENSES,TOTALCOST,"
    "REASONCODE,REASONDESCRIPTION",
    "procedures": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST,REASONCODE,REASONDESCRIPTION",
    "observations": "DATE,PATIENT,ENCOUNTER,CATEGORY,CODE,DESCRIPTION,VALUE,UNITS,TYPE",
    "immunizations": "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST",
    "allergies": "START,STOP,PATIENT,ENCOUNTER,CODE,SYSTEM,DESCRIPTION,TYPE,CATEGORY,REACTION1,DESCRIPTION1,SEVERITY1,"
    "REACTION2,DESCRIPTION2,SEVERITY2",
    "careplans": "Id,START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,REASONCODE,REASONDESCRIPTION",
    "devices": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,UDI",
}
ACCOUNTS = ["QALY", "DALY", "QOLS"]
DEATH_CERTIFICATION, CAUSE_OF_DEATH = "308646001", "69453-9"
KIDNEY_STAGES = ["431855005", "431856006", "433144002", "431857002", "46177005"]


def simulate(folder: Path, *, patients: int = 40, seed: int = 3, chunk_patients: int = 25) -> Path:
    simulate_cohort(
        folder,
        patients=patients,
        seed=seed,
        history_years=10.0,
        end_date=LAST_DAY,
        chunk_patients=chunk_patients,
    )
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Tables of 300 people in chunks of 200, so that the last chunk is smaller."""
    folder = simulate(tmp_path_factory.mktemp("simulation") / "cohort", patients=300, chunk_patients=200)
    return {path.stem: pd.read_csv(path, dtype=str) for path in folder.glob("*.csv")}


def dated(table: pd.DataFrame) -> pd.Series:
    return table["START" if "START" in table else "DATE"].str[:10]


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    first, again = simulate(tmp_path / "first"), simulate(tmp_path / "again")
    other = simulate(tmp_path / "other", seed=4)
    for table in SYNTHEA_HEADERS:
        content = (first / f"{table}.csv").read_bytes()
        assert content == (again / f"{table}.csv").read_bytes()
        assert content != (other / f"{table}.csv").read_bytes()


def test_the_columns_are_those_of_synthea(tables: dict[str, pd.DataFrame]) -> None:
    assert {name: ",".join(table.columns) for name, table in tables.items()} == SYNTHEA_HEADERS


def test_chunks_add_up_to_the_patients_asked_for(tables: dict[str, pd.DataFrame]) -> None:
    assert len(tables["patients"]) == 300
    assert tables["patients"]["Id"].is_unique
    assert tables["encounters"]["Id"].is_unique
    assert tables["patients"]["Id"].str.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").all()


@pytest.mark.parametrize("name", [name for name in SYNTHEA_HEADERS if name != "patients"])
def test_every_row_belongs_to_a_known_patient_and_encounter(tables: dict[str, pd.DataFrame], name: str) -> None:
    table = tables[name]
    assert len(table) > 0
    assert table["PATIENT"].isin(tables["patients"]["Id"]).all()
    assert table["CODE"].notna().all()
    if name != "encounters":
        owner = tables["encounters"].set_index("Id")["PATIENT"]
        care = table[table["ENCOUNTER"].notna()]
        assert (care["ENCOUNTER"].map(owner) == care["PATIENT"]).all()
        assert set(table.loc[table["ENCOUNTER"].isna(), "CODE"]) <= set(ACCOUNTS)


@pytest.mark.parametrize("name", [name for name in SYNTHEA_HEADERS if name != "patients"])
def test_nothing_comes_before_birth_or_after_death(tables: dict[str, pd.DataFrame], name: str) -> None:
    table, people = tables[name], tables["patients"].set_index("Id")
    day = dated(table)
    assert (day >= table["PATIENT"].map(people["BIRTHDATE"])).all()
    after_death = table[(day >= table["PATIENT"].map(people["DEATHDATE"])).fillna(False)]
    allowed = {"encounters": [DEATH_CERTIFICATION], "observations": [CAUSE_OF_DEATH, *ACCOUNTS]}.get(name, [])
    assert set(after_death["CODE"]) <= set(allowed)


def test_every_death_is_certified_once(tables: dict[str, pd.DataFrame]) -> None:
    dead = tables["patients"].dropna(subset="DEATHDATE")["Id"]
    encounters, observations = tables["encounters"], tables["observations"]
    certified = encounters.loc[encounters["CODE"] == DEATH_CERTIFICATION, "PATIENT"]
    assert sorted(certified) == sorted(dead)
    assert (observations["CODE"] == CAUSE_OF_DEATH).sum() == len(dead)


def test_the_living_have_no_record_after_the_last_day(tables: dict[str, pd.DataFrame]) -> None:
    alive = tables["patients"].loc[tables["patients"]["DEATHDATE"].isna(), "Id"]
    for name in SYNTHEA_HEADERS:
        if name != "patients":
            table = tables[name]
            assert dated(table)[table["PATIENT"].isin(alive)].max() <= LAST_DAY.isoformat()


def test_kidney_disease_climbs_one_stage_after_the_other(tables: dict[str, pd.DataFrame]) -> None:
    conditions = tables["conditions"]
    staged = conditions[conditions["CODE"].isin(KIDNEY_STAGES)]
    first = staged.groupby(["PATIENT", "CODE"])["START"].min().unstack()[KIDNEY_STAGES]
    assert len(first) > 10
    for stage, following in itertools.pairwise(KIDNEY_STAGES):
        both = first[first[following].notna()]
        assert (both[stage] <= both[following]).all()


def test_no_row_stops_before_it_starts(tables: dict[str, pd.DataFrame]) -> None:
    for name in ("encounters", "conditions", "medications", "careplans", "devices"):
        table = tables[name].dropna(subset="STOP")
        assert (table["STOP"] >= table["START"]).all()


def test_whole_lives_reach_back_to_birth(tmp_path: Path) -> None:
    simulate_cohort(tmp_path / "lives", patients=20, seed=0, history_years=None, end_date=LAST_DAY)
    people = pd.read_csv(tmp_path / "lives" / "patients.csv").set_index("Id")
    encounters = pd.read_csv(tmp_path / "lives" / "encounters.csv")
    first = pd.to_datetime(encounters.groupby("PATIENT")["START"].min().str[:10])
    age_days = (first - pd.to_datetime(people["BIRTHDATE"])).dt.days
    assert age_days.median() < 60


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"output must be a new or empty folder; .* holds 1 entries. Choose another"):
        simulate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patients": 0}, "patients must be >= 1; found 0"),
        ({"seed": -1}, "seed must be >= 0; found -1"),
        ({"history_years": 0.0}, r"history_years must be > 0 or None; found 0\.0"),
        ({"end_date": datetime.date(1850, 1, 1)}, "end_date must be from 1950-01-01 to 2250-01-01; found 1850"),
        ({"chunk_patients": 0}, "chunk_patients must be >= 1; found 0"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"patients": 5, "seed": 0, "history_years": None, "end_date": LAST_DAY}
    with pytest.raises(ConfigError, match=message):
        simulate_cohort(tmp_path / "cohort", **(right | wrong))


def test_a_run_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt("while the second table is written")

    monkeypatch.setattr(cohort, "append_problems", interrupted)
    with pytest.raises(KeyboardInterrupt, match="while the second table"):
        simulate(tmp_path / "cohort")
    assert list(tmp_path.iterdir()) == []
