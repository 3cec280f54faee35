"""The simulator's code tables (``codes/*.csv``) → typed rows; facts and rates stand there, no logic."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

Row = TypeVar("Row")
CODES_FOLDER = Path(__file__).parent / "codes"


@dataclass(frozen=True)
class Disease:
    """A lasting condition: who can get it from which age on, how fast, what speeds it up and whether it kills.

    ``needs`` names the disease that must come first, by ``after_years`` at least; ``raised_by`` multiplies the
    hazard while another is present; ``severity`` is the log hazard per unit of latent severity; ``smoking``
    multiplies for smokers, ``bmi`` per 5 kg/m2 above 27; ``days`` is how long it stays on the problem list, None for
    ever.
    """

    key: str
    code: str
    description: str
    sex: str
    from_age: float
    to_age: float
    needs: str
    after_years: float
    per_year: float
    raised_by: dict[str, float]
    severity: float
    smoking: float
    bmi: float
    death_per_year: float
    days: float | None


@dataclass(frozen=True)
class EncounterKind:
    kind: str
    code: str
    description: str
    encounter_class: str
    minutes: int


@dataclass(frozen=True)
class VisitSeries:
    """A reason to come back: ``per_year`` visits of ``kind`` between two ages while a disease lasts.

    With ``after`` the series follows each visit of that kind: ``per_year`` is then the mean number of visits, spread
    over the days from ``from_day`` to ``to_day`` after it. ``share`` of the people are ever liable to it.
    """

    kind: str
    reason: str
    during: str
    until: tuple[str, ...]
    sex: str
    from_age: float
    to_age: float
    share: float
    per_year: float
    after: str
    from_day: float
    to_day: float


@dataclass(frozen=True)
class Order:
    """What a visit of one ``kind`` and ``reason`` may bring: ``panel`` with ``probability``, ``times`` over.

    ``during`` names a disease that must be there at the visit; with a leading ``!`` it must not.
    """

    panel: str
    kind: str
    reason: str
    during: str
    sex: str
    from_age: float
    to_age: float
    probability: float
    times: float


@dataclass(frozen=True)
class PanelCode:
    """One code of a panel, and how its row is filled; observations without ``mean`` take one of ``choices``."""

    panel: str
    table: str
    code: str
    description: str
    days: float | None
    open_share: float
    category: str
    units: str
    value_type: str
    mean: float | None
    spread: float
    low: float
    high: float
    choices: tuple[str, ...]


def _read(name: str, make: Callable[[dict[str, str]], Row]) -> tuple[Row, ...]:
    with (CODES_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return tuple(make(row) for row in csv.DictReader(file))


def _number(text: str, blank: float) -> float:
    return float(text) if text else blank


def _optional(text: str) -> float | None:
    return float(text) if text else None


def _multipliers(text: str) -> dict[str, float]:
    pairs = (part.split(":") for part in text.split(";") if part)
    return {key: float(value) for key, value in pairs}


@cache
def diseases() -> tuple[Disease, ...]:
    """Every lasting disease, each after the one it needs."""
    return _read(
        "diseases.csv",
        lambda row: Disease(
            key=row["key"],
            code=row["code"],
            description=row["description"],
            sex=row["sex"],
            from_age=float(row["from_age"]),
            to_age=float(row["to_age"]),
            needs=row["needs"],
            after_years=_number(row["after_years"], 0.0),
            per_year=float(row["per_year"]),
            raised_by=_multipliers(row["raised_by"]),
            severity=float(row["severity"]),
            smoking=float(row["smoking"]),
            bmi=float(row["bmi"]),
            death_per_year=float(row["death_per_year"]),
            days=_optional(row["days"]),
        ),
    )


@cache
def encounter_kinds() -> tuple[EncounterKind, ...]:
    """Every kind of encounter with its SNOMED code, class and usual length."""
    return _read(
        "encounters.csv",
        lambda row: EncounterKind(row["kind"], row["code"], row["description"], row["class"], int(row["minutes"])),
    )


@cache
def visit_series() -> tuple[VisitSeries, ...]:
    """Every series of visits; those that follow another kind stand after it."""
    return _read(
        "visit_series.csv",
        lambda row: VisitSeries(
            kind=row["kind"],
            reason=row["reason"],
            during=row["during"],
            until=tuple(row["until"].split(";")) if row["until"] else (),
            sex=row["sex"],
            from_age=_number(row["from_age"], 0.0),
            to_age=_number(row["to_age"], 120.0),
            share=_number(row["share"], 1.0),
            per_year=float(row["per_year"]),
            after=row["after"],
            from_day=_number(row["from_day"], 0.0),
            to_day=_number(row["to_day"], 0.0),
        ),
    )


@cache
def orders() -> tuple[Order, ...]:
    """Every rule of what a visit brings."""
    return _read(
        "orders.csv",
        lambda row: Order(
            panel=row["panel"],
            kind=row["kind"],
            reason=row["reason"],
            during=row["during"],
            sex=row["sex"],
            from_age=_number(row["from_age"], 0.0),
            to_age=_number(row["to_age"], 120.0),
            probability=float(row["probability"]),
            times=float(row["times"]),
        ),
    )


@cache
def panel_codes() -> tuple[PanelCode, ...]:
    """Every code that a panel writes; a code's place in this tuple is its number in ``Rows``."""
    return _read(
        "panels.csv",
        lambda row: PanelCode(
            panel=row["panel"],
            table=row["table"],
            code=row["code"],
            description=row["description"],
            days=_optional(row["days"]),
            open_share=_number(row["open_share"], 0.0),
            category=row["category"],
            units=row["units"],
            value_type=row["type"],
            mean=_optional(row["mean"]),
            spread=_number(row["sd"], 0.0),
            low=_number(row["low"], 0.0),
            high=_number(row["high"], 0.0),
            choices=tuple(row["choices"].split("|")) if row["choices"] else (),
        ),
    )
