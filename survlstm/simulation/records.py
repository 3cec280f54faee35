"""Visits and lives → the coded rows of every event table: which code at which visit, until when, with which value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from survlstm.simulation.life_course import Lives
from survlstm.simulation.physiology import Values, expected_values
from survlstm.simulation.population import DAYS_PER_YEAR, People
from survlstm.simulation.schedule import SECONDS_PER_DAY, PlannedVisits, kind_number, onset_day, visit_reasons
from survlstm.simulation.tables import Order, diseases, orders, panel_codes

DIAGNOSIS = "diagnosis"
NO_STOP = np.iinfo(np.int64).max
# A stay with many repeats of one order would otherwise write thousands of rows.
MAX_TIMES = 60
# How much of the usual spread is left around a value that already follows the person's state.
SPREAD_AROUND_STATE = 0.35
# Values that vary less than this are written with two decimals, a pH for example; the others with one.
FINE_SPREAD = 0.5


@dataclass(frozen=True)
class TableRows:
    """Rows of one event table, in the order of their visits.

    ``code`` numbers ``panel_codes()``; ``stop`` is in seconds from 1970-01-01, ``NO_STOP`` where it lasts; where the
    value is a text, ``value`` is NaN and ``choice`` says which of the code's choices it is.
    """

    visit: np.ndarray
    code: np.ndarray
    stop: np.ndarray
    value: np.ndarray
    choice: np.ndarray


@dataclass(frozen=True)
class LastingDiagnoses:
    """Lasting diseases put on the list: visit, disease and ``stop`` [diagnosis]."""

    visit: np.ndarray
    disease: np.ndarray
    stop: np.ndarray


@dataclass(frozen=True)
class _Scene:
    """All that an order may ask about a visit; ``age`` [visit] in years."""

    people: People
    lives: Lives
    visits: PlannedVisits
    age: np.ndarray


def write_records(
    rng: np.random.Generator, people: People, lives: Lives, visits: PlannedVisits
) -> tuple[dict[str, TableRows], LastingDiagnoses]:
    """Carry out every order of ``orders()`` at the visits it fits, then fill in durations and values."""
    age = (visits.time / SECONDS_PER_DAY - people.birth_day[visits.person]) / DAYS_PER_YEAR
    scene = _Scene(people, lives, visits, age)
    visit, code = _carry_out(rng, scene)
    values = expected_values(people, lives, visits)
    tables = np.array([panel.table for panel in panel_codes()])
    records = {}
    for table in np.unique(tables):
        of_table = np.flatnonzero(np.isin(code, np.flatnonzero(tables == table)))
        in_order = of_table[np.argsort(visit[of_table], kind="stable")]
        records[str(table)] = _fill_in(rng, scene, values, visit[in_order], code[in_order])
    return records, _problem_list(lives, visits)


def _carry_out(rng: np.random.Generator, scene: _Scene) -> tuple[np.ndarray, np.ndarray]:
    """Visit and code of every row, in the order of the rules."""
    visits = scene.visits
    kinds, reason_numbers = kind_number(), {reason: number for number, reason in enumerate(visit_reasons())}
    context = visits.kind.astype(np.int32) * len(reason_numbers) + visits.reason
    by_context = np.argsort(context, kind="stable")
    sorted_context = context[by_context]
    found_visits, found_codes = [np.zeros(0, np.int32)], [np.zeros(0, np.int16)]
    for order in orders():
        if order.kind == DIAGNOSIS:
            here = visits.diagnosis_visit[visits.diagnosis_disease == _disease_row(order.during)]
        else:
            if order.reason not in reason_numbers:
                continue
            wanted = kinds[order.kind] * len(reason_numbers) + reason_numbers[order.reason]
            first, last = np.searchsorted(sorted_context, [wanted, wanted + 1])
            here = by_context[first:last]
        chosen = here[rng.random(len(here)) < order.probability]
        chosen = chosen[_fits(order, chosen, scene)]
        if order.times > 1:
            times = 1 + rng.poisson(order.times - 1, size=len(chosen))
            chosen = np.repeat(chosen, np.minimum(times, MAX_TIMES))
        codes = _codes_of_panel()[order.panel]
        found_visits.append(np.repeat(chosen, len(codes)).astype(np.int32))
        found_codes.append(np.tile(codes, len(chosen)).astype(np.int16))
    return np.concatenate(found_visits), np.concatenate(found_codes)


def _fits(order: Order, visit: np.ndarray, scene: _Scene) -> np.ndarray:
    fits = (scene.age[visit] >= order.from_age) & (scene.age[visit] < order.to_age)
    person = scene.visits.person[visit]
    if order.sex:
        fits &= scene.people.female[person] == (order.sex == "F")
    if order.during and order.kind != DIAGNOSIS:
        began = onset_day(order.during.removeprefix("!"), scene.lives)[person] * SECONDS_PER_DAY
        there = began <= scene.visits.time[visit]
        fits &= ~there if order.during.startswith("!") else there
    return fits


@cache
def _codes_of_panel() -> dict[str, np.ndarray]:
    members: dict[str, list[int]] = {}
    for number, panel in enumerate(panel_codes()):
        members.setdefault(panel.panel, []).append(number)
    return {panel: np.array(numbers) for panel, numbers in members.items()}


@cache
def _disease_row(key: str) -> int:
    return next(row for row, disease in enumerate(diseases()) if disease.key == key)


def _fill_in(rng: np.random.Generator, scene: _Scene, values: Values, visit: np.ndarray, code: np.ndarray) -> TableRows:
    panels = panel_codes()
    days = np.array([np.nan if panel.days is None else panel.days for panel in panels])[code]
    is_open = rng.random(len(code)) < np.array([panel.open_share for panel in panels])[code]
    stop = _stops(rng, scene.lives, scene.visits, visit, np.where(is_open, np.nan, days))
    value, choice = np.full(len(code), np.nan, np.float32), np.zeros(len(code), np.int16)
    if len(code) and panels[code[0]].table == "observations":
        value = _values(rng, values, visit, code)
        options = np.array([max(len(panel.choices), 1) for panel in panels])[code]
        # The first choice is the usual one: half of the rows, then half of the rest.
        choice = np.minimum(rng.geometric(0.5, size=len(code)) - 1, options - 1).astype(np.int16)
    return TableRows(visit, code, stop, value, choice)


def _stops(
    rng: np.random.Generator, lives: Lives, visits: PlannedVisits, visit: np.ndarray, days: np.ndarray
) -> np.ndarray:
    """When it ends: ``days`` (NaN: never) give or take a third, by death at the latest, unknown beyond the record."""
    lasting = np.isnan(days)
    length = np.where(lasting, 0, days) * rng.uniform(0.67, 1.33, size=len(days))
    stop = visits.time[visit] + np.floor(length * SECONDS_PER_DAY).astype(np.int64)
    person = visits.person[visit]
    death = np.where(np.isfinite(lives.death_day), lives.death_day, 0)[person].astype(np.int64) * SECONDS_PER_DAY
    dead = np.isfinite(lives.death_day)[person]
    stop = np.where(dead & ~lasting, np.minimum(stop, death), stop)
    beyond = stop > lives.record_end[person] * SECONDS_PER_DAY
    return np.where(lasting | (beyond & ~dead), NO_STOP, stop)


def _values(rng: np.random.Generator, values: Values, visit: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Numeric values: around the code's mean, or around what the person's body would show; NaN for texts."""
    panels = panel_codes()
    mean = np.array([np.nan if panel.mean is None else panel.mean for panel in panels], np.float32)
    spread = np.array([panel.spread for panel in panels], np.float32)
    low = np.array([panel.low for panel in panels], np.float32)
    high = np.array([panel.high for panel in panels], np.float32)
    noise = rng.standard_normal(len(code), dtype=np.float32)
    value = np.clip(mean[code] + spread[code] * noise, low[code], high[code])
    for number, panel in enumerate(panels):
        if panel.table == "observations" and panel.code in values:
            rows = np.flatnonzero(code == number)
            expected = values[panel.code][visit[rows]]
            around = SPREAD_AROUND_STATE * min(panel.spread, 0.3 * abs(panel.mean or 1)) * noise[rows]
            value[rows] = np.maximum(expected + around, expected / 2)
    fine = (spread < FINE_SPREAD)[code]
    return np.where(fine, np.round(value, 2), np.round(value, 1))


def _problem_list(lives: Lives, visits: PlannedVisits) -> LastingDiagnoses:
    order = np.argsort(visits.diagnosis_visit, kind="stable")
    visit, disease = visits.diagnosis_visit[order], visits.diagnosis_disease[order]
    days = np.array([np.nan if row.days is None else row.days for row in diseases()])[disease]
    person = visits.person[visit]
    stop = visits.time[visit] + np.floor(np.nan_to_num(days) * SECONDS_PER_DAY).astype(np.int64)
    over = ~np.isnan(days) & (stop < lives.record_end[person] * SECONDS_PER_DAY)
    return LastingDiagnoses(visit, disease, np.where(over, stop, NO_STOP))
