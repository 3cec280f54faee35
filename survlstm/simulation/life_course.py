"""People → their lives: the day each disease begins, the day and cause of death, the end of the record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from survlstm.simulation.population import DAYS_PER_YEAR, People
from survlstm.simulation.tables import diseases

MAX_AGE = 112
REFERENCE_BMI = 27.0
# Background mortality per year, everything without a disease of its own: Gompertz, plus the first year of life.
INFANT_MORTALITY = 0.003
FLAT_MORTALITY = 0.0002
AGEING_MORTALITY = 0.000011
AGEING_RATE = 0.085
# How much one unit of latent severity and a decade beyond 60 raise the mortality of a disease.
SEVERITY_ON_MORTALITY = 0.6
DECADE_ON_MORTALITY = 0.15
MORTALITY_AFTER_TRANSPLANT = 0.2
CURED_BY_TRANSPLANT = ("ckd4", "esrd")


@dataclass(frozen=True)
class Lives:
    """What happened to the people of a chunk; days count from 1970-01-01, infinite where it never happens.

    ``onset`` [disease, person] is the true beginning, before anybody has noticed; ``cause`` [person] numbers
    ``diseases()``, -1 for a death without one; ``record_end`` is the first day without records.
    """

    onset: np.ndarray
    death_day: np.ndarray
    cause: np.ndarray
    record_end: np.ndarray


@cache
def disease_number() -> dict[str, int]:
    """Where each disease stands in ``diseases()``."""
    return {disease.key: number for number, disease in enumerate(diseases())}


@dataclass
class _Course:
    """The lives of a chunk as far as they have been lived; ``_fall_ill`` and ``_die`` write into the arrays."""

    people: People
    hazard: np.ndarray
    onset: np.ndarray
    death_day: np.ndarray
    cause: np.ndarray


@dataclass(frozen=True)
class _Year:
    """One year of age: who lives to see it, and the days between which it lies for each person."""

    age: int
    living: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def simulate_lives(rng: np.random.Generator, people: People, *, end_day: int) -> Lives:
    """Let the people live year by year until ``end_day``.

    Within a year every disease waits an exponential time at the hazard of those who are at risk (age, sex, the
    disease that must come first, smoking, BMI, latent severity and the diseases already there); death is the first
    of the competing causes, each waiting from the disease's own onset. Those lost to follow-up leave before their
    death is known, so it isn't written.
    """
    course = _Course(
        people=people,
        hazard=_personal_hazards(people),
        onset=np.full((len(diseases()), len(people)), np.inf),
        death_day=np.full(len(people), np.inf),
        cause=np.full(len(people), -1),
    )
    oldest = int((end_day - people.birth_day.min()) / DAYS_PER_YEAR)
    for age in range(min(MAX_AGE, oldest + 1)):
        start = people.birth_day + age * DAYS_PER_YEAR
        living = np.flatnonzero((start < end_day) & np.isinf(course.death_day))
        year = _Year(age, living, start, np.minimum(start + DAYS_PER_YEAR, end_day))
        for row, disease in enumerate(diseases()):
            if disease.from_age <= age < disease.to_age:
                _fall_ill(rng, row, course, year)
        _die(rng, course, year)
    return _as_recorded(course, end_day)


def _as_recorded(course: _Course, end_day: int) -> Lives:
    onset, death_day, cause = course.onset, course.death_day, course.cause
    onset[onset >= death_day] = np.inf
    unseen = death_day >= course.people.lost_day
    death_day[unseen], cause[unseen] = np.inf, -1
    record_end = np.minimum(np.minimum(np.floor(death_day), course.people.lost_day), end_day)
    return Lives(onset=onset, death_day=np.floor(death_day), cause=cause, record_end=record_end)


def _personal_hazards(people: People) -> np.ndarray:
    """Yearly hazard [disease, person] before any other disease raises it."""
    rows = []
    bmi_steps = (people.bmi - REFERENCE_BMI) / 5
    for disease in diseases():
        log_hazard = disease.severity * people.severity - 0.5 * disease.severity**2
        log_hazard = log_hazard + np.log(disease.smoking) * people.smoker + np.log(disease.bmi) * bmi_steps
        of_sex = np.ones(len(people), bool) if not disease.sex else people.female == (disease.sex == "F")
        rows.append(np.where(of_sex, disease.per_year * np.exp(log_hazard), 0.0))
    return np.array(rows)


def _fall_ill(rng: np.random.Generator, row: int, course: _Course, year: _Year) -> None:
    """Write one disease's onsets within the year."""
    disease, number, onset = diseases()[row], disease_number(), course.onset
    at_risk = year.living[np.isinf(onset[row, year.living])]
    begin = year.start[at_risk]
    if disease.needs:
        begin = np.maximum(begin, onset[number[disease.needs], at_risk] + disease.after_years * DAYS_PER_YEAR)
        waiting = begin < year.stop[at_risk]
        at_risk, begin = at_risk[waiting], begin[waiting]
    rate = course.hazard[row, at_risk]
    for other, multiplier in disease.raised_by.items():
        rate = np.where(onset[number[other], at_risk] < begin, rate * multiplier, rate)
    with np.errstate(divide="ignore"):
        day = begin + rng.standard_exponential(len(at_risk)) / rate * DAYS_PER_YEAR
    falls = day < year.stop[at_risk]
    onset[row, at_risk[falls]] = day[falls]


def _die(rng: np.random.Generator, course: _Course, year: _Year) -> None:
    """Write the year's deaths, each the first of the competing causes."""
    living, start, stop = year.living, year.start, year.stop
    background = FLAT_MORTALITY + AGEING_MORTALITY * np.exp(AGEING_RATE * year.age)
    background += INFANT_MORTALITY if year.age == 0 else 0
    first = start[living] + rng.standard_exponential(len(living)) / background * DAYS_PER_YEAR
    killer = np.full(len(living), -1)
    severity = SEVERITY_ON_MORTALITY * course.people.severity[living] - 0.5 * SEVERITY_ON_MORTALITY**2
    frailty = np.exp(severity + DECADE_ON_MORTALITY * (year.age - 60) / 10)
    transplanted = course.onset[disease_number()["transplant"], living]
    for row, disease in enumerate(diseases()):
        if disease.death_per_year == 0:
            continue
        begin = np.maximum(start[living], course.onset[row, living])
        ill = np.flatnonzero(begin < stop[living])
        rate = disease.death_per_year * frailty[ill]
        if disease.key in CURED_BY_TRANSPLANT:
            rate = np.where(transplanted[ill] < begin[ill], rate * MORTALITY_AFTER_TRANSPLANT, rate)
        day = begin[ill] + rng.standard_exponential(len(ill)) / rate * DAYS_PER_YEAR
        sooner = day < first[ill]
        first[ill[sooner]], killer[ill[sooner]] = day[sooner], row
    dies = first < stop[living]
    course.death_day[living[dies]], course.cause[living[dies]] = first[dies], killer[dies]
