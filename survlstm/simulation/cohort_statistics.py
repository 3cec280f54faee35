"""Summary statistics of a cohort in the CSV format of Synthea, for comparing a simulated cohort with a real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from survlstm.utils.errors import SourceError

EVENT_TABLES = (
    "conditions",
    "medications",
    "procedures",
    "observations",
    "immunizations",
    "allergies",
    "careplans",
    "devices",
)
ACCOUNTS = ("QALY", "DALY", "QOLS")
PREVALENCES = {
    "obesity": "162864005",
    "prediabetes": "15777000",
    "diabetes type 2": "44054006",
    "hypertension": "59621000",
    "anemia": "271737000",
    "hyperlipidemia": "55822004",
    "CKD stage 1": "431855005",
    "CKD stage 2": "431856006",
    "CKD stage 3": "433144002",
    "CKD stage 4": "431857002",
    "end-stage renal disease": "46177005",
    "ischaemic heart disease": "414545008",
    "heart failure": "88805009",
    "myocardial infarction": "22298006",
    "stroke": "230690007",
    "chronic pain": "82423001",
    "osteoporosis": "64859006",
    "Alzheimer's disease": "26929004",
}


def cohort_statistics(folder: Path) -> dict[str, float]:
    """Compute the summary statistics of one export.

    "codes per visit, mean" is the number of rows of all event tables that belong to an encounter, divided by the number
    of encounters, plus 1 for the encounter itself. Rows without an encounter (QALY, DALY, QOLS) and imaging are left
    out.

    Args:
        folder: folder with the tables as ``.csv`` or ``.csv.gz``.

    Returns:
        Values by name: counts, ages in years, shares in per cent (names with "%"), and quantiles of the visits per
        patient.

    Raises:
        SourceError: a table is missing.
    """
    patients = _read(folder, "patients", ["Id", "BIRTHDATE", "DEATHDATE", "GENDER"])
    encounters = _read(folder, "encounters", ["PATIENT", "CODE", "ENCOUNTERCLASS", "START"])
    events = {table: _read(folder, table, ["PATIENT", "ENCOUNTER", "CODE"]) for table in EVENT_TABLES}
    figures = {"patients": float(len(patients))}
    figures |= _people(patients, encounters)
    figures |= _visits(patients, encounters)
    in_visits = sum(int(table["ENCOUNTER"].notna().sum()) for table in events.values())
    figures["codes per visit, mean"] = 1 + in_visits / len(encounters)
    accounts = events["observations"]["CODE"].isin(ACCOUNTS)
    figures["QALY, DALY, QOLS, % of observations"] = 100 * float(accounts.mean())
    events["observations"] = events["observations"][~accounts]
    for table, rows in {"encounters": encounters, **events}.items():
        figures[f"{table}, rows per patient"] = len(rows) / len(patients)
    for table, rows in {"encounters": encounters, **events}.items():
        figures[f"{table}, distinct codes"] = float(rows["CODE"].nunique())
    for name, code in PREVALENCES.items():
        rows = events["conditions"]
        figures[f"{name}, %"] = 100 * rows.loc[rows["CODE"] == code, "PATIENT"].nunique() / len(patients)
    return figures


def _read(folder: Path, table: str, columns: list[str]) -> pd.DataFrame:
    for path in (folder / f"{table}.csv", folder / f"{table}.csv.gz"):
        if path.exists():
            # As categories, because the identifiers of a table of observations would take gigabytes as strings.
            return pd.read_csv(path, usecols=columns, dtype=str).astype("category")
    raise SourceError(f"{folder} must hold {table}.csv or {table}.csv.gz; found neither. Give another folder.")


def _people(patients: pd.DataFrame, encounters: pd.DataFrame) -> dict[str, float]:
    birth = pd.to_datetime(patients["BIRTHDATE"].astype(str))
    death = pd.to_datetime(patients["DEATHDATE"].astype(object))
    last = pd.to_datetime(encounters["START"].astype(str).str[:10].max())
    age = (death.fillna(last) - birth).dt.days / 365.25
    dead = death.notna()
    return {
        "dead, %": 100 * float(dead.mean()),
        "adults, %": 100 * float((age >= 18).mean()),
        "women, %": 100 * float((patients["GENDER"] == "F").mean()),
        "age of the living, median": float(age[~dead].median()),
        "age at death, median": float(age[dead].median()),
    }


def _visits(patients: pd.DataFrame, encounters: pd.DataFrame) -> dict[str, float]:
    per_patient = encounters["PATIENT"].astype(str).value_counts().reindex(patients["Id"].astype(str), fill_value=0)
    quantiles = {"25 %": 0.25, "median": 0.5, "75 %": 0.75, "90 %": 0.9, "95 %": 0.95, "most": 1.0}
    return {f"visits per patient, {name}": float(np.quantile(per_patient, level)) for name, level in quantiles.items()}
