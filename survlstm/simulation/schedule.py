"""Schedule of visits: the time, the kind of encounter and the reason of every visit of a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survlstm.simulation.life_course import Lives, disease_number
from survlstm.simulation.population import ADULT_AGE, DAYS_PER_YEAR, People
from survlstm.simulation.tables import VisitSeries, diseases, encounter_kinds, visit_series

SECONDS_PER_DAY = 86_400
# Days before a death from which on the name "dying" holds.
DYING_DAYS = 60
# Reason of a visit that only records a diagnosis and has no orders.
DIAGNOSIS_REASON = "diagnosis"
CHILD_VISIT_MONTHS = np.array([0.2, 1, 2, 4, 6, 9, 12, 15, 18, 24, 30, 36] + [12 * year for year in range(4, 18)])
# A series with more visits per year is a course of treatment, such as dialysis: ``care_seeking`` does not change their
# number.
TREATMENT_VISITS_PER_YEAR = 12
# Diagnosed at the onset, in an emergency encounter, and not at the next visit.
ACUTE_ONSETS = ("myocardial_infarction", "stroke")
# A sort key holds the person in its high bits and, in the low ones, the time in seconds, shifted to be positive since
# 1800.
TIME_BITS, TIME_SHIFT = 40, 6_000_000_000


@dataclass(frozen=True)
class PlannedVisits:
    """Visits of a chunk, sorted by person and time.

    Attributes:
        person: index of the person; shape (visit,).
        time: start in seconds since 1970-01-01; shape (visit,).
        kind: index into ``tables.encounter_kinds()``; shape (visit,).
        reason: index into ``visit_reasons()``; shape (visit,).
        diagnosis_visit: index of the visit at which a disease is diagnosed; shape (diagnosis,).
        diagnosis_disease: index of that disease in ``tables.diseases()``; shape (diagnosis,).
        window_start: first day whose visits are exported, in days since 1970-01-01; shape (person,).
    """

    person: np.ndarray
    time: np.ndarray
    kind: np.ndarray
    reason: np.ndarray
    diagnosis_visit: np.ndarray
    diagnosis_disease: np.ndarray
    window_start: np.ndarray

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True)
class _Plan:
    """Unsorted visits of one kind and reason; ``person`` and ``time`` have shape (visit,)."""

    person: np.ndarray
    time: np.ndarray
    kind: str
    reason: str


def kind_number() -> dict[str, int]:
    """Return the index of each kind of encounter in ``tables.encounter_kinds()``."""
    return {kind.kind: number for number, kind in enumerate(encounter_kinds())}


def visit_reasons() -> tuple[str, ...]:
    """Return the reason codes of visits; the first is the empty string, for no reason."""
    at_onset = {disease.code for disease in diseases() if disease.key in ACUTE_ONSETS}
    return ("", DIAGNOSIS_REASON, *sorted((at_onset | {series.reason for series in visit_series()}) - {""}))


def plan_visits(
    rng: np.random.Generator, people: People, lives: Lives, *, history_years: float | None
) -> PlannedVisits:
    """Schedule the visits of every person.

    A disease that begins within the exported years is diagnosed at the next visit; acute diseases at their onset. Of
    the years before, only the visits that diagnose a disease without an end are kept, as in Synthea's exporter.

    Args:
        rng: random generator of the chunk.
        people: the people of a chunk.
        lives: their life courses.
        history_years: exported years before the end of each record; None = whole lives.

    Returns:
        Visits and diagnoses.
    """
    window_start = people.birth_day.copy()
    if history_years is not None:
        window_start = np.maximum(window_start, lives.record_end - history_years * DAYS_PER_YEAR)
    plans = [_child_visits(rng, people, lives, window_start)]
    for series in visit_series():
        if series.after:
            plans.append(_follow_up_visits(rng, series, lives, plans))
        else:
            plans.append(_series_visits(rng, series, people, lives, window_start))
    plans.extend(_visits_at_onset(people, lives, window_start))
    visits = _sorted(plans, window_start)
    at_visits, visit_time, before_window = _diagnose(lives, visits, people)
    if len(before_window[0]):
        plans.extend(_visits_before_window(people, before_window))
        visits = _sorted(plans, window_start)
    person = np.concatenate([at_visits[0], before_window[0]])
    time = np.concatenate([visit_time, before_window[1]])
    diagnosis_visit = np.searchsorted(_sort_key(visits.person, visits.time), _sort_key(person, time))
    return PlannedVisits(
        person=visits.person,
        time=visits.time,
        kind=visits.kind,
        reason=visits.reason,
        diagnosis_visit=diagnosis_visit,
        diagnosis_disease=np.concatenate([at_visits[1], before_window[2]]),
        window_start=window_start,
    )


def onset_day(name: str, lives: Lives) -> np.ndarray:
    """Return the day from which on a condition holds.

    Args:
        name: key of a disease, or ``"dying"``: the last ``DYING_DAYS`` before a death. Only hospice visits may depend
            on ``"dying"``, because it is information from the future.
        lives: life courses of the people.

    Returns:
        Days since 1970-01-01, infinite if the condition never holds; shape (person,).
    """
    if name == "dying":
        return lives.death_day - DYING_DAYS
    return lives.onset[disease_number()[name]]


def _series_visits(
    rng: np.random.Generator,
    series: VisitSeries,
    people: People,
    lives: Lives,
    window_start: np.ndarray,
) -> _Plan:
    """Draw the visits of one series: a Poisson number per person, spread over the covered days with jitter."""
    start = np.maximum(window_start, people.birth_day + series.from_age * DAYS_PER_YEAR)
    stop = np.minimum(lives.record_end, people.birth_day + series.to_age * DAYS_PER_YEAR)
    if series.during:
        start = np.maximum(start, onset_day(series.during, lives))
    for name in series.until:
        stop = np.minimum(stop, onset_day(name, lives))
    eligible = rng.random(len(people)) < series.share
    if series.sex:
        eligible &= people.female == (series.sex == "F")
    days = np.where(eligible, np.clip(stop - start, 0, None), 0)
    is_treatment = series.per_year > TREATMENT_VISITS_PER_YEAR
    mean = series.per_year * days / DAYS_PER_YEAR * (1.0 if is_treatment else people.care_seeking)
    count = rng.poisson(mean)
    person = np.repeat(np.arange(len(people)), count)
    rank = np.arange(len(person)) - np.repeat(np.cumsum(count) - count, count)
    share_of_days = (rank + rng.random(len(person))) / count[person]
    return _Plan(person, _seconds(start[person] + share_of_days * days[person]), series.kind, series.reason)


def _follow_up_visits(rng: np.random.Generator, series: VisitSeries, lives: Lives, plans: list[_Plan]) -> _Plan:
    """Draw the visits of a series that follow each visit of another kind."""
    parents = [plan for plan in plans if plan.kind == series.after]
    person = np.concatenate([plan.person for plan in parents])
    time = np.concatenate([plan.time for plan in parents])
    count = rng.poisson(series.per_year, size=len(person))
    person, time = np.repeat(person, count), np.repeat(time, count)
    time = time + _seconds(rng.uniform(series.from_day, series.to_day, size=len(time)))
    kept = time < lives.record_end[person] * SECONDS_PER_DAY
    return _Plan(person[kept], time[kept], series.kind, series.reason)


def _child_visits(rng: np.random.Generator, people: People, lives: Lives, window_start: np.ndarray) -> _Plan:
    months = CHILD_VISIT_MONTHS[None, :] + rng.uniform(0, 0.9, size=(len(people), len(CHILD_VISIT_MONTHS)))
    day = people.birth_day[:, None] + months * DAYS_PER_YEAR / 12
    kept = (day >= window_start[:, None]) & (day < lives.record_end[:, None]) & (rng.random(day.shape) < 0.95)
    person, column = np.nonzero(kept)
    return _Plan(person, _seconds(day[person, column]), "child_wellness", "")


def _visits_at_onset(people: People, lives: Lives, window_start: np.ndarray) -> list[_Plan]:
    plans = []
    for name in ACUTE_ONSETS:
        onset = onset_day(name, lives)
        person = np.flatnonzero((onset >= window_start) & (onset < lives.record_end))
        plans.append(_Plan(person, _seconds(onset[person]), "emergency", diseases()[disease_number()[name]].code))
    return plans


def _diagnose(
    lives: Lives, visits: PlannedVisits, people: People
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Find the visit at which each disease is diagnosed.

    Returns three values: person and disease of the diagnoses at visits that are already planned; the times of those
    visits; and person, time and disease of the diagnoses before the window, whose visits are still to be planned.
    """
    disease, person = np.nonzero(np.isfinite(lives.onset) & (lives.onset < lives.record_end))
    time = _seconds(lives.onset[disease, person])
    before = lives.onset[disease, person] < visits.window_start[person]
    lasting = np.array([row.days is None for row in diseases()])
    before_window = before & lasting[disease]
    next_visit = np.searchsorted(_sort_key(visits.person, visits.time), _sort_key(person, time))
    # A valid index also where the chunk has no later visit; the comparisons below drop those.
    within = np.minimum(next_visit, max(len(visits) - 1, 0))
    at_visit = ~before & (next_visit < len(visits)) & (visits.person[within] == person)
    return (
        (person[at_visit], disease[at_visit]),
        visits.time[within[at_visit]],
        (person[before_window], time[before_window], disease[before_window]),
    )


def _visits_before_window(people: People, diagnoses: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[_Plan]:
    """Plan one visit per person and time of the diagnoses (person, time, disease) before the window."""
    person, time = np.unique(np.stack([diagnoses[0], diagnoses[1]]), axis=1)
    adult = time >= _seconds(people.birth_day[person] + ADULT_AGE * DAYS_PER_YEAR)
    return [
        _Plan(person[adult], time[adult], "wellness", DIAGNOSIS_REASON),
        _Plan(person[~adult], time[~adult], "child_wellness", DIAGNOSIS_REASON),
    ]


def _sorted(plans: list[_Plan], window_start: np.ndarray) -> PlannedVisits:
    """Join plans into visits sorted by person and time, without diagnoses."""
    kinds, reasons = kind_number(), {reason: number for number, reason in enumerate(visit_reasons())}
    person = np.concatenate([plan.person for plan in plans]).astype(np.int32)
    time = np.concatenate([plan.time for plan in plans])
    counts = [len(plan.person) for plan in plans]
    kind = np.repeat(np.array([kinds[plan.kind] for plan in plans], np.int16), counts)
    reason = np.repeat(np.array([reasons[plan.reason] for plan in plans], np.int16), counts)
    order = np.argsort(_sort_key(person, time), kind="stable")
    no_diagnoses = np.zeros(0, np.int64)
    return PlannedVisits(
        person[order], time[order], kind[order], reason[order], no_diagnoses, no_diagnoses, window_start
    )


def _sort_key(person: np.ndarray, time: np.ndarray) -> np.ndarray:
    return (person.astype(np.int64) << TIME_BITS) + time + TIME_SHIFT


def _seconds(day: np.ndarray) -> np.ndarray:
    return np.floor(day * SECONDS_PER_DAY).astype(np.int64)
