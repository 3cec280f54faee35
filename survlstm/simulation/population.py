"""Random draw of the people of a cohort: birth, sex, background, and latent traits that drive their health."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DAYS_PER_YEAR = 365.25
ADULT_AGE = 18.0

# Weights of the ages that people would have on the last day if nobody died, by decade from 0-9 to 100-109.
AGE_DECADE_WEIGHTS = np.array([105, 122, 154, 139, 124, 141, 127, 93, 50, 25, 29], dtype=np.float64)
RACES = np.array(["white", "black", "asian", "other", "hawaiian", "native"])
RACE_WEIGHTS = np.array([0.805, 0.09, 0.08, 0.018, 0.004, 0.003])
# Share of people lost to follow-up, at a time that is uniform over the last years.
LOST_SHARE = 0.03
LOST_WITHIN_YEARS = 10.0


@dataclass(frozen=True)
class People:
    """People of one chunk. All arrays have shape (person,); days count from 1970-01-01.

    Attributes:
        birth_day: day of birth.
        female: True = female, False = male.
        race: index into ``RACES``.
        hispanic: ethnicity, True = Hispanic.
        married: marital status, True = married.
        income: yearly income in US dollars.
        smoker: True = smoker.
        bmi: body mass index as an adult, in kg/m².
        height_cm: height as an adult, in cm.
        severity: latent, standard normal, never recorded; it raises hazards and shows in laboratory values and visits.
        uncontrolled: latent, 0 to 1; the share of a disease's effect on laboratory values that treatment leaves.
        care_seeking: latent, above 0; factor on the number of visits.
        lost_day: day on which the record stops early; infinite for people who are not lost to follow-up.
    """

    birth_day: np.ndarray
    female: np.ndarray
    race: np.ndarray
    hispanic: np.ndarray
    married: np.ndarray
    income: np.ndarray
    smoker: np.ndarray
    bmi: np.ndarray
    height_cm: np.ndarray
    severity: np.ndarray
    uncontrolled: np.ndarray
    care_seeking: np.ndarray
    lost_day: np.ndarray

    def __len__(self) -> int:
        return len(self.birth_day)


def draw_people(rng: np.random.Generator, count: int, *, end_day: int) -> People:
    """Draw people who were born before a day.

    Args:
        rng: random generator of the chunk.
        count: number of people.
        end_day: last day of the cohort, in days since 1970-01-01.

    Returns:
        The people, without any event of their lives.
    """
    decade = rng.choice(len(AGE_DECADE_WEIGHTS), size=count, p=AGE_DECADE_WEIGHTS / AGE_DECADE_WEIGHTS.sum())
    age_days = (decade + rng.random(count)) * 10 * DAYS_PER_YEAR
    birth_day = np.floor(end_day - age_days) - 1.0
    female = rng.random(count) < 0.48
    severity = rng.standard_normal(count)
    lost = rng.random(count) < LOST_SHARE
    lost_day = np.floor(end_day - rng.random(count) * LOST_WITHIN_YEARS * DAYS_PER_YEAR)
    return People(
        birth_day=birth_day,
        female=female,
        race=rng.choice(len(RACES), size=count, p=RACE_WEIGHTS),
        hispanic=rng.random(count) < 0.12,
        married=rng.random(count) < 0.6,
        income=np.exp(11.1 + 1.0 * rng.standard_normal(count) - 0.15 * severity).astype(np.int64),
        smoker=rng.random(count) < np.where(female, 0.14, 0.2),
        bmi=np.clip(27 + 4.5 * rng.standard_normal(count) + 0.5 * severity, 17, 48),
        height_cm=np.where(female, 162.0, 175.0) + 7 * rng.standard_normal(count),
        severity=severity,
        uncontrolled=rng.beta(2, 3, size=count),
        care_seeking=np.exp(0.35 * rng.standard_normal(count) + 0.12 * severity - 0.07),
        lost_day=np.where(lost & (lost_day > birth_day + DAYS_PER_YEAR), lost_day, np.inf),
    )
