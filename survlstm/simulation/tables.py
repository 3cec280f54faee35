"""Typed rows of the simulator's tables of codes and rates (``codes/*.csv``)."""

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
    """A lasting disease and its hazards.

    Attributes:
        key: name of the disease in the tables of this package.
        code: SNOMED code of its diagnosis.
        description: description of the code.
        sex: ``"F"`` or ``"M"`` if only one sex can have it, otherwise blank.
        from_age: age in years from which on it can begin.
        to_age: age in years, excluded, up to which it can begin.
        needs: key of the disease that must come first, or blank.
        after_years: least time in years after the onset of that disease.
        per_year: hazard of the onset per year, for a person at risk with average traits.
        raised_by: hazard ratio by the key of another disease, while that is present.
        severity: log hazard ratio per unit of latent severity.
        smoking: hazard ratio of smokers.
        bmi: hazard ratio per 5 kg/m² of BMI above 27.
        death_per_year: hazard of death from the disease per year; 0 if it is not lethal.
        days: days for which it is recorded as present; None = for ever.
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
    """A kind of encounter.

    Attributes:
        kind: name in the tables of this package.
        code: SNOMED code.
        description: description of the code.
        encounter_class: class of the encounter in Synthea, such as ``"wellness"``.
        minutes: duration.
    """

    kind: str
    code: str
    description: str
    encounter_class: str
    minutes: int


@dataclass(frozen=True)
class VisitSeries:
    """A series of visits of one kind: regular ones while a disease is present, or follow-ups of another kind of visit.

    Attributes:
        kind: kind of encounter of the visits.
        reason: code of the reason, or blank.
        during: key of the disease during which the visits happen (or ``"dying"``); blank = at any time.
        until: keys of diseases with whose onset the series ends.
        sex: ``"F"`` or ``"M"`` if only one sex has the visits, otherwise blank.
        from_age: age in years at which the series begins.
        to_age: age in years at which it ends.
        share: share of the people who have such visits, 0 to 1.
        per_year: mean number of visits per year; with ``after``, per visit that they follow.
        after: kind of encounter that the visits follow, or blank.
        from_day: with ``after``, the earliest day after that encounter.
        to_day: with ``after``, the latest day after that encounter.
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
    """A rule that a visit of one kind and reason records the codes of a panel.

    Attributes:
        panel: name of the panel.
        kind: kind of encounter, or ``"diagnosis"`` for the visit at which ``during`` is diagnosed.
        reason: code of the visit's reason, or blank.
        during: key of a disease that must be present at the visit, or with a leading ``!`` must not; blank = no rule.
        sex: ``"F"`` or ``"M"`` if the rule holds for one sex only, otherwise blank.
        from_age: least age in years.
        to_age: greatest age in years, excluded.
        probability: probability that the rule applies to a visit that fits, 0 to 1.
        times: mean number of repeats; 1 or less = once.
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
    """One code of a panel and the way in which its row is filled.

    Attributes:
        panel: name of the panel; all codes of a panel are recorded together.
        table: event table of the row.
        code: SNOMED, RxNorm, LOINC or CVX code.
        description: description of the code.
        days: mean duration in days; None = it never ends.
        open_share: share of the rows that never end, 0 to 1.
        category: category, for observations and allergies.
        units: unit of the value, for observations.
        value_type: ``"numeric"`` or ``"text"`` for observations; the type of allergies.
        mean: mean of the value; None = the value is one of ``choices``.
        spread: standard deviation of the value.
        low: least value.
        high: greatest value.
        choices: texts that the value can have, the most frequent first.
    """

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
    """Return all lasting diseases, each after the one that it needs."""
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
    """Return all kinds of encounter."""
    return _read(
        "encounters.csv",
        lambda row: EncounterKind(row["kind"], row["code"], row["description"], row["class"], int(row["minutes"])),
    )


@cache
def visit_series() -> tuple[VisitSeries, ...]:
    """Return all series of visits; a series that follows a kind of encounter comes after those of that kind."""
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
    """Return all rules of what a visit records, in the order in which they are applied."""
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
    """Return all codes of panels; ``records.TableRows`` refers to them by their index in this tuple."""
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
