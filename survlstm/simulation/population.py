"""A random generator → the people of a chunk: birth, sex, background and the latent traits that drive their lives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DAYS_PER_YEAR = 365.25
ADULT_AGE = 18.0

# People by the age they would have on the last day, had nobody died: decades from 0-9 to 100-109.
AGE_DECADE_WEIGHTS = np.array([105, 122, 154, 139, 124, 141, 127, 93, 50, 25, 29], dtype=np.float64)
RACES = np.array(["white", "black", "asian", "other", "hawaiian", "native"])
RACE_WEIGHTS = np.array([0.805, 0.09, 0.08, 0.018, 0.004, 0.003])
LOST_SHARE = 0.03
LOST_WITHIN_YEARS = 10.0


@dataclass(frozen=True)
class People:
    """One chunk of people, arrays [person]; days count from 1970-01-01.

    ``severity`` (standard normal) is never recorded: it speeds diseases up and shows in labs and in visits.
    ``uncontrolled`` in [0, 1] is the share of a disease's effect on labs that treatment leaves.
    ``lost_day`` is infinite for those whose records do not stop early.
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
    """Draw ``count`` people born before ``end_day``; nothing has happened to them yet."""
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
