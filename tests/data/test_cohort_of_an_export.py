"""The counts of the rules on a real export, beside those that pandas computes from its CSV files alone."""

import numpy as np
import pandas as pd
import pytest

import survlstm
from tests.real_data import SHARED

EXPORT = SHARED / "cohort_1000"
DIABETES, PREDIABETES, SINUSITIS = 44054006, 15777000, 444814009
LANDMARK = pd.Timestamp("2019-07-01T12:00:00")

pytestmark = pytest.mark.skipif(
    not EXPORT.is_dir(), reason="the cohort cohort_1000 is not in the folder shared/data beside the checkout"
)


def _read(table, columns):
    return pd.read_csv(next(EXPORT.glob(f"{table}.csv*")), usecols=columns)


@pytest.fixture(scope="module")
def counted():
    """For each subject what the rules ask, from encounters and conditions."""
    patients = _read("patients", ["Id", "BIRTHDATE", "DEATHDATE"]).set_index("Id")
    encounters = _read("encounters", ["Id", "START", "PATIENT", "CODE"])
    encounters["START"] = pd.to_datetime(encounters["START"]).dt.tz_localize(None)
    # A death certification is entered only because a patient has died, and is no care.
    encounters = encounters[encounters["CODE"] != 308646001]
    conditions = _read("conditions", ["START", "PATIENT", "ENCOUNTER", "CODE"])
    # A diagnosis is dated to the day; it was known at the time of its encounter, if that is of the same day, or of the
    # day before or after, and by the end of its day otherwise.
    times = conditions["ENCOUNTER"].map(encounters.set_index("Id")["START"])
    day = pd.to_datetime(conditions["START"])
    near = (times.dt.normalize() - day).abs() <= pd.Timedelta(days=1)
    conditions["known"] = times.where(near, day + pd.Timedelta(seconds=86399))
    death = pd.to_datetime(patients["DEATHDATE"])
    last = encounters.groupby("PATIENT")["START"].max().reindex(patients.index)
    first = encounters.groupby("PATIENT")["START"].min().reindex(patients.index)
    at_risk = np.where(death.notna(), death > LANDMARK, last > LANDMARK)
    before = conditions[conditions["known"] <= LANDMARK]

    def have(code, rows=before):
        return patients.index.isin(rows.loc[rows["CODE"] == code, "PATIENT"])

    birth = pd.to_datetime(patients["BIRTHDATE"])
    birthday = pd.DatetimeIndex(
        [
            day.replace(year=day.year + 18) if (day.month, day.day) != (2, 29) else pd.Timestamp(day.year + 18, 3, 1)
            for day in birth
        ]
    )
    recent = before[before["known"] >= LANDMARK - pd.Timedelta(days=730)]
    return {
        "at risk": at_risk,
        "seen": (first <= LANDMARK).to_numpy(),
        "adult": birthday <= LANDMARK,
        "diabetes": have(DIABETES) | have(PREDIABETES),
        "history": (LANDMARK - first >= pd.Timedelta(days=1900)).to_numpy(),
        "sinusitis": have(SINUSITIS, recent),
        "ids": patients.index.to_numpy(),
    }


def test_counts_are_those_of_pandas(counted, tmp_path):
    file = tmp_path / "cohort.csv"
    chosen = counted["ids"][np.arange(len(counted["ids"])) % 10 > 0]
    pd.DataFrame({"subject_id": chosen, "prediction_time": LANDMARK.isoformat()}).to_csv(file, index=False)
    prepared = survlstm.prepare(
        [
            "data=synthea",
            f"data.path={EXPORT}",
            "data.source.tables=[encounters,conditions]",
            "data.min_visits=1",
            "outcome=death",
            "clock=landmark",
            "clock.visit=null",
            "clock.edges=equidistant",
            "clock.intervals=2",
            f"cohort.file={file}",
            f"cohort.include=[{{age:{{at_least:18}}}},{{codes:[SNOMED/{DIABETES},SNOMED/{PREDIABETES}]}},"
            "{history_days:{at_least:1900}}]",
            f"cohort.exclude=[{{codes:[SNOMED/{SINUSITIS}],within_days:730}}]",
            f"cache_dir={tmp_path / 'cache'}",
        ]
    )
    table = prepared.exclusions
    found = dict(table.loc[table["counted"] == "subjects", ["reason", "number"]].itertuples(index=False))
    left = np.isin(counted["ids"], chosen)
    assert found["not in cohort.file"] == int((~left).sum())
    # Subjects without a step at risk are counted before those who are not at risk at the landmark.
    early = sum(
        found[reason] for reason in found if reason.startswith(("no visit", "no step", "event or end", "fewer"))
    )
    reached = left & counted["at risk"] & counted["seen"]
    assert early == int((left & ~reached).sum())
    assert early > 100
    for reason, keeps in (
        ("cohort.include 1: age at least 18", counted["adult"]),
        (f"cohort.include 2: codes SNOMED/{DIABETES}, SNOMED/{PREDIABETES}", counted["diabetes"]),
        ("cohort.include 3: history of at least 1900 days", counted["history"]),
        (f"cohort.exclude 1: code SNOMED/{SINUSITIS} within 730 days before", ~counted["sinusitis"]),
    ):
        assert found[reason] == int((reached & ~keeps).sum()), reason
        assert found[reason] > 0
        reached &= keeps
