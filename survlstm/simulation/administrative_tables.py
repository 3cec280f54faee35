"""Rows of a simulated export that do not record care: patients, death certificates, and yearly QALY, DALY and QOLS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from survlstm.simulation import text
from survlstm.simulation.life_course import Lives
from survlstm.simulation.population import DAYS_PER_YEAR, RACES, People
from survlstm.simulation.schedule import SECONDS_PER_DAY, PlannedVisits
from survlstm.simulation.synthea_csv import ChunkText, append
from survlstm.simulation.tables import diseases, encounter_kinds

DEATH_CERTIFICATION = "death_certification"
CAUSE_OF_DEATH = ("69453-9", "Cause of Death [US Standard Certificate of Death]")
UNKNOWN_CAUSE = ("95281009", "Sudden Cardiac Death")
# Synthea writes QALY, DALY and QOLS for some weeks after a death.
DAYS_COUNTED_AFTER_DEATH = 45
# DALY per year of age of a person who has every disease.
DISABILITY = 0.12
FIRST_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gia", "Hal", "Ida", "Jon", "Kim", "Leo", "Mia", "Ned")
LAST_NAMES = ("Abbott", "Bauer", "Cruz", "Dietz", "Evans", "Feil", "Gross", "Hayes", "Jones", "Klein", "Lopez", "Metz")
TOWNS = ("Boston", "Worcester", "Springfield", "Lowell", "Cambridge", "Brockton", "Quincy", "Lynn", "Newton")


def append_patients(rng: np.random.Generator, folder: Path, people: People, lives: Lives, shared: ChunkText) -> None:
    """Append one row per person, living or dead, to the table of patients.

    Args:
        rng: random generator of the chunk; it draws the names, towns and amounts.
        folder: folder of the export.
        people: the people of the chunk.
        lives: their lives; the day of death is written, or left blank.
        shared: identifiers of the chunk.
    """
    count = len(people)
    alive = np.isinf(lives.death_day)
    names = (_drawn(rng, FIRST_NAMES, count), _drawn(rng, LAST_NAMES, count), _drawn(rng, TOWNS, count))
    money = pa.array(np.round(people.income * rng.random(count), 2)).cast(pa.string())
    columns = {
        "Id": shared.patient,
        "BIRTHDATE": text.days(people.birth_day),
        "DEATHDATE": text.blank_where(alive, text.days(np.where(alive, 0, lives.death_day))),
        "SSN": pa.array(
            [f"999-{number // 10000:02d}-{number % 10000:04d}" for number in rng.integers(10**6, size=count)]
        ),
        "FIRST": names[0],
        "LAST": names[1],
        "MARITAL": text.where(people.married, pa.repeat("M", count), pa.repeat("S", count)),
        "RACE": pa.array(RACES).take(pa.array(people.race)),
        "ETHNICITY": text.where(people.hispanic, pa.repeat("hispanic", count), pa.repeat("nonhispanic", count)),
        "GENDER": text.where(people.female, pa.repeat("F", count), pa.repeat("M", count)),
        "CITY": names[2],
        "STATE": pa.repeat("Massachusetts", count),
        "HEALTHCARE_EXPENSES": money,
        "HEALTHCARE_COVERAGE": money,
        "INCOME": pa.array(people.income).cast(pa.string()),
    }
    append(folder, "patients", columns, count)


def append_deaths(rng: np.random.Generator, folder: Path, lives: Lives, shared: ChunkText) -> None:
    """Append an encounter "Death Certification" up to a week after each death, and an observation with the cause.

    Args:
        rng: random generator of the chunk; it draws the time of the certificate.
        folder: folder of the export.
        lives: the lives of the chunk.
        shared: identifiers of the chunk.
    """
    dead = np.flatnonzero(np.isfinite(lives.death_day))
    count = len(dead)
    time = (lives.death_day[dead] * SECONDS_PER_DAY).astype(np.int64) + rng.integers(1, 7 * SECONDS_PER_DAY, size=count)
    kind = next(kind for kind in encounter_kinds() if kind.kind == DEATH_CERTIFICATION)
    causes = [(disease.code, disease.description) for disease in diseases()] + [UNKNOWN_CAUSE]
    code, name = (pa.array([cause[field] for cause in causes]) for field in (0, 1))
    # -1, a death that no disease caused, becomes the last entry, the unknown cause.
    cause = pa.array(lives.cause[dead] % len(causes))
    encounter, patient, start = text.uuids(rng, count), shared.patient.take(pa.array(dead)), text.times(time)
    certificate = {
        "Id": encounter,
        "START": start,
        "STOP": text.times(time + 60 * kind.minutes),
        "PATIENT": patient,
        "ENCOUNTERCLASS": pa.repeat(kind.encounter_class, count),
        "CODE": pa.repeat(kind.code, count),
        "DESCRIPTION": pa.repeat(kind.description, count),
        "REASONCODE": code.take(cause),
        "REASONDESCRIPTION": name.take(cause),
    }
    observation = {
        "DATE": start,
        "PATIENT": patient,
        "ENCOUNTER": encounter,
        "CATEGORY": pa.repeat("exam", count),
        "CODE": pa.repeat(CAUSE_OF_DEATH[0], count),
        "DESCRIPTION": pa.repeat(CAUSE_OF_DEATH[1], count),
        "VALUE": name.take(cause),
        "TYPE": pa.repeat("text", count),
    }
    append(folder, "encounters", certificate, count)
    append(folder, "observations", observation, count)


def append_life_accounts(folder: Path, people: People, lives: Lives, visits: PlannedVisits, shared: ChunkText) -> None:
    """Append the observations QALY, DALY and QOLS on every birthday of the exported years, without an encounter.

    Args:
        folder: folder of the export.
        people: the people of the chunk.
        lives: their lives. The observations end with the record, or ``DAYS_COUNTED_AFTER_DEATH`` after a death.
        visits: their visits; the exported years begin at ``window_start``.
        shared: identifiers of the chunk.
    """
    dead = np.isfinite(lives.death_day)
    until = np.where(dead, lives.death_day + DAYS_COUNTED_AFTER_DEATH, lives.record_end)
    first = np.ceil(np.maximum(visits.window_start - people.birth_day, 1) / DAYS_PER_YEAR).astype(np.int64)
    last = np.floor((until - people.birth_day) / DAYS_PER_YEAR).astype(np.int64)
    count = np.maximum(last - first + 1, 0)
    person = np.repeat(np.arange(len(people)), count)
    age = first[person] + np.arange(len(person)) - np.repeat(np.cumsum(count) - count, count)
    day = np.floor(people.birth_day[person] + age * DAYS_PER_YEAR).astype(np.int64)
    ill = (lives.onset[:, person] <= day).sum(axis=0) / len(lives.onset)
    quality = np.round(np.clip(1 - 1.5 * ill, 0.2, 1), 2)
    disabled = np.round(age * DISABILITY * ill, 2)
    patient, start, rows = shared.patient.take(pa.array(person)), text.times(day * SECONDS_PER_DAY), len(person)
    accounts = (("QALY", np.round(age - disabled, 2), "a"), ("DALY", disabled, "a"), ("QOLS", quality, "{score}"))
    for code, value, units in accounts:
        columns = {
            "DATE": start,
            "PATIENT": patient,
            "CODE": pa.repeat(code, rows),
            "DESCRIPTION": pa.repeat(code, rows),
            "VALUE": pa.array(value).cast(pa.string()),
            "UNITS": pa.repeat(units, rows),
            "TYPE": pa.repeat("numeric", rows),
        }
        append(folder, "observations", columns, rows)


def _drawn(rng: np.random.Generator, options: tuple[str, ...], count: int) -> pa.Array:
    return pa.array(options).take(pa.array(rng.integers(0, len(options), size=count)))
