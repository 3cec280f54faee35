"""Rewrite the days of a Synthea export as days of another time zone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd

DATED = ("conditions", "careplans", "allergies")
# East of Greenwich, west of it, and the zone that is furthest east.
ZONES = ("Australia/Melbourne", "Pacific/Honolulu", "Pacific/Kiritimati")


def rewrite_days(source: Path, target: Path, *, timezone: str) -> None:
    """Copy an export and convert its dates from UTC to local dates of ``timezone``.

    An entry that is dated to the day on which its encounter began is taken to have happened at the beginning of the
    encounter, and an entry of another day 15 minutes after midnight. A death is given a time of day that is a function
    of the patient's id. Times stay in UTC, and birth dates are not changed.

    Args:
        source: Folder of the export.
        target: Folder of the copy, which must not exist.
        timezone: IANA name of the zone.
    """
    target.mkdir(parents=True)
    encounters = _read(source, "encounters")
    begin = pd.to_datetime(encounters["START"]).dt.tz_localize(None)
    begin.index = pd.Index(encounters["Id"])
    for file in sorted(source.glob("*.csv*")):
        table = file.name.split(".")[0]
        if table in DATED:
            rows = _read(source, table)
            day = pd.to_datetime(rows["START"])
            moment = rows["ENCOUNTER"].map(begin)
            moment = moment.where(moment.dt.floor("D") == day, day + pd.Timedelta(minutes=15))
            rows["START"] = _day(moment, timezone)
            rows.to_csv(target / f"{table}.csv", index=False)
        elif table == "patients":
            rows = _read(source, table)
            died = rows["DEATHDATE"] != ""
            moment = pd.to_datetime(rows.loc[died, "DEATHDATE"]) + rows.loc[died, "Id"].map(_time_of_day)
            rows.loc[died, "DEATHDATE"] = _day(moment, timezone)
            rows.to_csv(target / f"{table}.csv", index=False)
        else:
            shutil.copy(file, target / file.name)


def _read(folder: Path, table: str) -> pd.DataFrame:
    (file,) = folder.glob(f"{table}.csv*")
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def _day(moment: pd.Series, timezone: str) -> pd.Series:
    return moment.dt.tz_localize("UTC").dt.tz_convert(timezone).dt.strftime("%Y-%m-%d")


def _time_of_day(patient: str) -> pd.Timedelta:
    return pd.Timedelta(seconds=int(hashlib.sha256(patient.encode()).hexdigest(), 16) % 86400)
