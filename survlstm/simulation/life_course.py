"""Simulation of life courses: the onset of each disease, the day and cause of death, and the end of the record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from survlstm.simulation.population import DAYS_PER_YEAR, People
from survlstm.simulation.tables import diseases

MAX_AGE = 112
REFERENCE_BMI = 27.0
# Background mortality per year, from all causes that are not simulated as diseases: a Gompertz hazard, with a higher
# hazard in the first year of life.
INFANT_MORTALITY = 0.003
FLAT_MORTALITY = 0.0002
AGEING_MORTALITY = 0.000011
AGEING_RATE = 0.085
# Log hazard ratio of death from a disease, per unit of latent severity and per decade of age beyond 60.
SEVERITY_ON_MORTALITY = 0.6
DECADE_ON_MORTALITY = 0.15
# Hazard ratio of death from the diseases below after a kidney transplant.
MORTALITY_AFTER_TRANSPLANT = 0.2
CURED_BY_TRANSPLANT = ("ckd4", "esrd")


@dataclass(frozen=True)
class Lives:
    """Life courses of the people of a chunk, in days since 1970-01-01; infinite for what never happens.

    Attributes:
        onset: true onset of each disease, before it is diagnosed; shape (disease, person), diseases in the order of
            ``tables.diseases()``.
        death_day: day of death, if it is recorded; shape (person,).
        cause: index of the disease that caused the death; -1 if no disease did or the person lives; shape (person,).
        record_end: first day without records; shape (person,).
    """

    onset: np.ndarray
    death_day: np.ndarray
    cause: np.ndarray
    record_end: np.ndarray


@cache
def disease_number() -> dict[str, int]:
    """Return the index of each disease in ``tables.diseases()`` by its key."""
    return {disease.key: number for number, disease in enumerate(diseases())}


@dataclass
class _Course:
    """Life courses up to the year in progress; ``_draw_onsets`` and ``_draw_deaths`` write into the arrays."""

    people: People
    hazard: np.ndarray
    onset: np.ndarray
    death_day: np.ndarray
    cause: np.ndarray


@dataclass(frozen=True)
class _Year:
    """One year of age: the people alive at its start, and its first and last day for every person."""

    age: int
    living: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def simulate_lives(rng: np.random.Generator, people: People, *, end_day: int) -> Lives:
    """Simulate diseases and deaths, one year of age after another, until ``end_day``.

    Within a year, the time to each disease is exponential. Its hazard depends on age, sex, the disease that must come
    first, smoking, BMI, latent severity and the diseases already present. Death is the earliest of the competing
    causes, each with an exponential time from the onset of its disease. The death of a person lost to follow-up before
    it is not recorded.

    Args:
        rng: random generator of the chunk.
        people: the people of the chunk.
        end_day: last day, in days since 1970-01-01.

    Returns:
        One life course per person.
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
                _draw_onsets(rng, row, course, year)
        _draw_deaths(rng, course, year)
    return _as_recorded(course, end_day)


def _as_recorded(course: _Course, end_day: int) -> Lives:
    onset, death_day, cause = course.onset, course.death_day, course.cause
    onset[onset >= death_day] = np.inf
    unrecorded = death_day >= course.people.lost_day
    death_day[unrecorded], cause[unrecorded] = np.inf, -1
    record_end = np.minimum(np.minimum(np.floor(death_day), course.people.lost_day), end_day)
    return Lives(onset=onset, death_day=np.floor(death_day), cause=cause, record_end=record_end)


def _personal_hazards(people: People) -> np.ndarray:
    """Return the hazard per year [disease, person] of a person without any other disease."""
    rows = []
    bmi_steps = (people.bmi - REFERENCE_BMI) / 5
    for disease in diseases():
        log_hazard = disease.severity * people.severity - 0.5 * disease.severity**2
        log_hazard = log_hazard + np.log(disease.smoking) * people.smoker + np.log(disease.bmi) * bmi_steps
        of_sex = np.ones(len(people), bool) if not disease.sex else people.female == (disease.sex == "F")
        rows.append(np.where(of_sex, disease.per_year * np.exp(log_hazard), 0.0))
    return np.array(rows)


def _draw_onsets(rng: np.random.Generator, row: int, course: _Course, year: _Year) -> None:
    """Draw the onsets of one disease within the year and write them into ``course``."""
    disease, number, onset = diseases()[row], disease_number(), course.onset
    at_risk = year.living[np.isinf(onset[row, year.living])]
    begin = year.start[at_risk]
    if disease.needs:
        begin = np.maximum(begin, onset[number[disease.needs], at_risk] + disease.after_years * DAYS_PER_YEAR)
        begins_this_year = begin < year.stop[at_risk]
        at_risk, begin = at_risk[begins_this_year], begin[begins_this_year]
    rate = course.hazard[row, at_risk]
    for other, multiplier in disease.raised_by.items():
        rate = np.where(onset[number[other], at_risk] < begin, rate * multiplier, rate)
    with np.errstate(divide="ignore"):
        day = begin + rng.standard_exponential(len(at_risk)) / rate * DAYS_PER_YEAR
    within_year = day < year.stop[at_risk]
    onset[row, at_risk[within_year]] = day[within_year]


def _draw_deaths(rng: np.random.Generator, course: _Course, year: _Year) -> None:
    """Draw the deaths within the year, each from the earliest of its competing causes, and write them."""
    living, start, stop = year.living, year.start, year.stop
    background = FLAT_MORTALITY + AGEING_MORTALITY * np.exp(AGEING_RATE * year.age)
    background += INFANT_MORTALITY if year.age == 0 else 0
    first = start[living] + rng.standard_exponential(len(living)) / background * DAYS_PER_YEAR
    cause = np.full(len(living), -1)
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
        first[ill[sooner]], cause[ill[sooner]] = day[sooner], row
    dies = first < stop[living]
    course.death_day[living[dies]], course.cause[living[dies]] = first[dies], cause[dies]
