"""Coded rows of the event tables: the code, the end and the value of everything recorded at a visit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from survlstm.simulation.life_course import Lives
from survlstm.simulation.physiology import Values, expected_values
from survlstm.simulation.population import DAYS_PER_YEAR, People
from survlstm.simulation.schedule import SECONDS_PER_DAY, PlannedVisits, kind_number, onset_day, visit_reasons
from survlstm.simulation.tables import Order, diseases, orders, panel_codes

# Kind of the orders that apply where a disease is diagnosed, instead of at a kind of encounter.
DIAGNOSIS = "diagnosis"
NO_STOP = np.iinfo(np.int64).max
# Most repeats of one order at one visit; a long stay would otherwise have thousands of rows.
MAX_TIMES = 60
# Share of the usual spread that remains around an expected value that already depends on the person's health.
SPREAD_AROUND_STATE = 0.35
# Values with a smaller standard deviation than this, such as a pH, are written with two decimals, others with one.
FINE_SPREAD = 0.5


@dataclass(frozen=True)
class TableRows:
    """Rows of one event table, sorted by visit. All arrays have shape (row,).

    Attributes:
        visit: index of the visit.
        code: index into ``tables.panel_codes()``.
        stop: end in seconds since 1970-01-01; ``NO_STOP`` if it has not ended.
        value: numeric value; NaN if the value is a text or the table has no values.
        choice: index of the text among the choices of the code, used if ``value`` is NaN.
    """

    visit: np.ndarray
    code: np.ndarray
    stop: np.ndarray
    value: np.ndarray
    choice: np.ndarray


@dataclass(frozen=True)
class LastingDiagnoses:
    """Diagnoses of lasting diseases, sorted by visit. All arrays have shape (diagnosis,).

    Attributes:
        visit: index of the visit of the diagnosis.
        disease: index into ``tables.diseases()``.
        stop: end in seconds since 1970-01-01; ``NO_STOP`` if it has not ended.
    """

    visit: np.ndarray
    disease: np.ndarray
    stop: np.ndarray


@dataclass(frozen=True)
class _VisitContext:
    """Everything that an order can depend on; ``age`` is in years, of shape (visit,)."""

    people: People
    lives: Lives
    visits: PlannedVisits
    age: np.ndarray


def write_records(
    rng: np.random.Generator, people: People, lives: Lives, visits: PlannedVisits
) -> tuple[dict[str, TableRows], LastingDiagnoses]:
    """Draw the rows of all event tables.

    Every order of ``tables.orders()`` is applied to the visits that it fits. Ends and values are drawn afterwards.

    Args:
        rng: random generator of the chunk.
        people: the people of a chunk.
        lives: their life courses.
        visits: their visits.

    Returns:
        Rows by the name of the event table, and the diagnoses of lasting diseases, which belong to the conditions.
    """
    age = (visits.time / SECONDS_PER_DAY - people.birth_day[visits.person]) / DAYS_PER_YEAR
    context = _VisitContext(people, lives, visits, age)
    visit, code = _apply_orders(rng, context)
    values = expected_values(people, lives, visits)
    tables = np.array([panel.table for panel in panel_codes()])
    records = {}
    for table in np.unique(tables):
        of_table = np.flatnonzero(np.isin(code, np.flatnonzero(tables == table)))
        in_order = of_table[np.argsort(visit[of_table], kind="stable")]
        records[str(table)] = _fill_in(rng, context, values, visit[in_order], code[in_order])
    return records, _problem_list(lives, visits)


def _apply_orders(rng: np.random.Generator, context: _VisitContext) -> tuple[np.ndarray, np.ndarray]:
    """Return the visit and the code of every row, in the order of the orders."""
    visits = context.visits
    kinds, reason_numbers = kind_number(), {reason: number for number, reason in enumerate(visit_reasons())}
    # Visits sorted by kind and reason: those of one order are then a slice, found without a pass over all visits.
    kind_and_reason = visits.kind.astype(np.int32) * len(reason_numbers) + visits.reason
    by_kind_and_reason = np.argsort(kind_and_reason, kind="stable")
    sorted_kind_and_reason = kind_and_reason[by_kind_and_reason]
    row_visits, row_codes = [np.zeros(0, np.int32)], [np.zeros(0, np.int16)]
    for order in orders():
        if order.kind == DIAGNOSIS:
            candidates = visits.diagnosis_visit[visits.diagnosis_disease == _disease_row(order.during)]
        else:
            if order.reason not in reason_numbers:
                continue
            requested = kinds[order.kind] * len(reason_numbers) + reason_numbers[order.reason]
            first, last = np.searchsorted(sorted_kind_and_reason, [requested, requested + 1])
            candidates = by_kind_and_reason[first:last]
        chosen = candidates[rng.random(len(candidates)) < order.probability]
        chosen = chosen[_fits(order, chosen, context)]
        if order.times > 1:
            times = 1 + rng.poisson(order.times - 1, size=len(chosen))
            chosen = np.repeat(chosen, np.minimum(times, MAX_TIMES))
        codes = _codes_of_panel()[order.panel]
        row_visits.append(np.repeat(chosen, len(codes)).astype(np.int32))
        row_codes.append(np.tile(codes, len(chosen)).astype(np.int16))
    return np.concatenate(row_visits), np.concatenate(row_codes)


def _fits(order: Order, visit: np.ndarray, context: _VisitContext) -> np.ndarray:
    """Return whether age, sex and disease at each of the given visits are those that the order requires."""
    fits = (context.age[visit] >= order.from_age) & (context.age[visit] < order.to_age)
    person = context.visits.person[visit]
    if order.sex:
        fits &= context.people.female[person] == (order.sex == "F")
    if order.during and order.kind != DIAGNOSIS:
        onset = onset_day(order.during.removeprefix("!"), context.lives)[person] * SECONDS_PER_DAY
        present = onset <= context.visits.time[visit]
        fits &= ~present if order.during.startswith("!") else present
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


def _fill_in(
    rng: np.random.Generator, context: _VisitContext, values: Values, visit: np.ndarray, code: np.ndarray
) -> TableRows:
    """Draw the end and the value of every row of one table."""
    panels = panel_codes()
    days = np.array([np.nan if panel.days is None else panel.days for panel in panels])[code]
    is_open = rng.random(len(code)) < np.array([panel.open_share for panel in panels])[code]
    stop = _stops(rng, context.lives, context.visits, visit, np.where(is_open, np.nan, days))
    value, choice = np.full(len(code), np.nan, np.float32), np.zeros(len(code), np.int16)
    if len(code) and panels[code[0]].table == "observations":
        value = _values(rng, values, visit, code)
        options = np.array([max(len(panel.choices), 1) for panel in panels])[code]
        # The first choice is the most frequent: half of the rows have it, half of the others the second, and so on.
        choice = np.minimum(rng.geometric(0.5, size=len(code)) - 1, options - 1).astype(np.int16)
    return TableRows(visit, code, stop, value, choice)


def _stops(
    rng: np.random.Generator, lives: Lives, visits: PlannedVisits, visit: np.ndarray, days: np.ndarray
) -> np.ndarray:
    """Draw the end of every row: after ``days`` (NaN = never) plus or minus a third, at the death at the latest.

    An end after the end of the record is not recorded.
    """
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
    """Draw numeric values around the mean of the code, or around the value expected for the person; NaN for texts."""
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
            deviation = SPREAD_AROUND_STATE * min(panel.spread, 0.3 * abs(panel.mean or 1)) * noise[rows]
            value[rows] = np.maximum(expected + deviation, expected / 2)
    fine = (spread < FINE_SPREAD)[code]
    return np.where(fine, np.round(value, 2), np.round(value, 1))


def _problem_list(lives: Lives, visits: PlannedVisits) -> LastingDiagnoses:
    """Return the diagnoses of lasting diseases, with their end if it lies within the record."""
    order = np.argsort(visits.diagnosis_visit, kind="stable")
    visit, disease = visits.diagnosis_visit[order], visits.diagnosis_disease[order]
    days = np.array([np.nan if row.days is None else row.days for row in diseases()])[disease]
    person = visits.person[visit]
    stop = visits.time[visit] + np.floor(np.nan_to_num(days) * SECONDS_PER_DAY).astype(np.int64)
    ended = ~np.isnan(days) & (stop < lives.record_end[person] * SECONDS_PER_DAY)
    return LastingDiagnoses(visit, disease, np.where(ended, stop, NO_STOP))
