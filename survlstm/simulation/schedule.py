"""People and their lives → visits: when each person is seen, in which kind of encounter, for which reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from survlstm.simulation.life_course import Lives, disease_number
from survlstm.simulation.population import ADULT_AGE, DAYS_PER_YEAR, People
from survlstm.simulation.tables import VisitSeries, diseases, encounter_kinds, visit_series

SECONDS_PER_DAY = 86_400
DYING_DAYS = 60
# A visit made only to put a disease on the list; it brings nothing else with it.
DIAGNOSIS_REASON = "diagnosis"
CHILD_VISIT_MONTHS = np.array([0.2, 1, 2, 4, 6, 9, 12, 15, 18, 24, 30, 36] + [12 * year for year in range(4, 18)])
# A course of treatment (dialysis): its visits are not more for those who like to see a doctor.
TREATMENT_VISITS_PER_YEAR = 12
# Found where they strike, not at the next visit.
ACUTE_ONSETS = ("myocardial_infarction", "stroke")
# Bits that a time in seconds since 1800 needs; the person's number stands above them in a sort key.
TIME_BITS, TIME_SHIFT = 40, 6_000_000_000


@dataclass(frozen=True)
class PlannedVisits:
    """Visits [visit], sorted by person and time.

    ``time`` is in seconds from 1970-01-01; ``kind`` numbers ``encounter_kinds()``; ``reason`` numbers ``reasons()``.
    ``diagnosis_visit`` and ``diagnosis_disease`` [diagnosis] say at which visit which disease was put on the list.
    ``window_start`` [person] is the first day whose visits are exported.
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
    """Visits of one origin, not sorted: person and time [visit], and one kind and reason for all."""

    person: np.ndarray
    time: np.ndarray
    kind: str
    reason: str


def kind_number() -> dict[str, int]:
    """Where each kind of encounter stands in ``encounter_kinds()``."""
    return {kind.kind: number for number, kind in enumerate(encounter_kinds())}


def visit_reasons() -> tuple[str, ...]:
    """Every reason code of a visit; the first is none."""
    at_onset = {disease.code for disease in diseases() if disease.key in ACUTE_ONSETS}
    return ("", DIAGNOSIS_REASON, *sorted((at_onset | {series.reason for series in visit_series()}) - {""}))


def plan_visits(
    rng: np.random.Generator, people: People, lives: Lives, *, history_years: float | None
) -> PlannedVisits:
    """Schedule every visit of the last ``history_years`` of each record, or of the whole life with None.

    Of what lies before, only the visits that put a disease on the list which is still there are kept, as Synthea's
    exporter does. A disease that begins within the window is noticed at the next visit.
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
    ill, found, early = _diagnose(lives, visits, people)
    if len(early[0]):
        plans.extend(_early_visits(people, early))
        visits = _sorted(plans, window_start)
    key = _sort_key(np.concatenate([ill[0], early[0]]), np.concatenate([found, early[1]]))
    order = np.searchsorted(_sort_key(visits.person, visits.time), key)
    return PlannedVisits(
        person=visits.person,
        time=visits.time,
        kind=visits.kind,
        reason=visits.reason,
        diagnosis_visit=order,
        diagnosis_disease=np.concatenate([ill[1], early[2]]),
        window_start=window_start,
    )


def onset_day(name: str, lives: Lives) -> np.ndarray:
    """The day [person] from which on ``name`` holds: a disease, or ``dying``, the last weeks before a death.

    Only the hospice looks at ``dying``: everything else must not know what is to come.
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
    """One series for everybody: Poisson many visits, spread evenly with jitter over the days it covers."""
    start = np.maximum(window_start, people.birth_day + series.from_age * DAYS_PER_YEAR)
    stop = np.minimum(lives.record_end, people.birth_day + series.to_age * DAYS_PER_YEAR)
    if series.during:
        start = np.maximum(start, onset_day(series.during, lives))
    for name in series.until:
        stop = np.minimum(stop, onset_day(name, lives))
    liable = rng.random(len(people)) < series.share
    if series.sex:
        liable &= people.female == (series.sex == "F")
    days = np.where(liable, np.clip(stop - start, 0, None), 0)
    regular = series.per_year > TREATMENT_VISITS_PER_YEAR
    mean = series.per_year * days / DAYS_PER_YEAR * (1.0 if regular else people.care_seeking)
    count = rng.poisson(mean)
    person = np.repeat(np.arange(len(people)), count)
    rank = np.arange(len(person)) - np.repeat(np.cumsum(count) - count, count)
    place = (rank + rng.random(len(person))) / count[person]
    return _Plan(person, _seconds(start[person] + place * days[person]), series.kind, series.reason)


def _follow_up_visits(rng: np.random.Generator, series: VisitSeries, lives: Lives, plans: list[_Plan]) -> _Plan:
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
    """Who learns when of which disease: at a visit there is, or (``early``) at one before the window.

    Returns (person, disease) and the visit's time of the former, and person, time and disease of the latter.
    """
    disease, person = np.nonzero(np.isfinite(lives.onset) & (lives.onset < lives.record_end))
    time = _seconds(lives.onset[disease, person])
    before = lives.onset[disease, person] < visits.window_start[person]
    lasting = np.array([row.days is None for row in diseases()])
    early = before & lasting[disease]
    at = np.searchsorted(_sort_key(visits.person, visits.time), _sort_key(person, time))
    nearest = np.minimum(at, max(len(visits) - 1, 0))
    later = ~before & (at < len(visits)) & (visits.person[nearest] == person)
    return (
        (person[later], disease[later]),
        visits.time[nearest[later]],
        (person[early], time[early], disease[early]),
    )


def _early_visits(people: People, early: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[_Plan]:
    person, time = np.unique(np.stack([early[0], early[1]]), axis=1)
    adult = time >= _seconds(people.birth_day[person] + ADULT_AGE * DAYS_PER_YEAR)
    return [
        _Plan(person[adult], time[adult], "wellness", DIAGNOSIS_REASON),
        _Plan(person[~adult], time[~adult], "child_wellness", DIAGNOSIS_REASON),
    ]


def _sorted(plans: list[_Plan], window_start: np.ndarray) -> PlannedVisits:
    kinds, names = kind_number(), {reason: number for number, reason in enumerate(visit_reasons())}
    person = np.concatenate([plan.person for plan in plans]).astype(np.int32)
    time = np.concatenate([plan.time for plan in plans])
    counts = [len(plan.person) for plan in plans]
    kind = np.repeat(np.array([kinds[plan.kind] for plan in plans], np.int16), counts)
    reason = np.repeat(np.array([names[plan.reason] for plan in plans], np.int16), counts)
    order = np.argsort(_sort_key(person, time), kind="stable")
    nothing = np.zeros(0, np.int64)
    return PlannedVisits(person[order], time[order], kind[order], reason[order], nothing, nothing, window_start)


def _sort_key(person: np.ndarray, time: np.ndarray) -> np.ndarray:
    return (person.astype(np.int64) << TIME_BITS) + time + TIME_SHIFT


def _seconds(day: np.ndarray) -> np.ndarray:
    return np.floor(day * SECONDS_PER_DAY).astype(np.int64)
