"""Simulation of a whole cohort, written chunk by chunk to a folder in the CSV format of Synthea."""

from __future__ import annotations

import datetime
import logging
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from survlstm.simulation import text
from survlstm.simulation.administrative_tables import append_deaths, append_life_accounts, append_patients
from survlstm.simulation.life_course import simulate_lives
from survlstm.simulation.population import draw_people
from survlstm.simulation.records import write_records
from survlstm.simulation.schedule import plan_visits
from survlstm.simulation.synthea_csv import (
    append_encounters,
    append_problems,
    append_rows,
    chunk_text,
    write_headers,
)
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import PRIVATE_FOLDER, atomic_folder

log = logging.getLogger(__name__)

# Identifiers that fill the columns of payers, organisations and providers.
PAYERS = 40
FIRST_END_DATE, LAST_END_DATE = datetime.date(1950, 1, 1), datetime.date(2250, 1, 1)


def simulate_cohort(
    output: Path,
    *,
    patients: int,
    seed: int,
    history_years: float | None,
    end_date: datetime.date,
    chunk_patients: int = 5000,
    progress: bool = False,
) -> None:
    """Simulate a cohort and write it as the CSV tables of a Synthea export.

    The same arguments give the same bytes. The folder is written under a temporary name and renamed at the end, so that
    an interrupted simulation leaves nothing at ``output``.

    Args:
        output: folder to write, new or empty; missing parent folders are created.
        patients: number of people, living and dead, at least 1.
        seed: seed of all random numbers, at least 0. Every chunk has a seed derived from it.
        history_years: years of each record to write, above 0, counted back from its end (for the dead, from the death),
            together with older diseases that still last, as Synthea does by default. None = whole lives.
        end_date: date of the last records, death certificates apart; from 1950-01-01 to 2250-01-01.
        chunk_patients: number of people simulated at once, at least 1. Memory grows with it, and not with
            ``patients``. Another value gives another cohort.
        progress: log one line per chunk.

    Raises:
        ConfigError: an argument is out of range, or ``output`` is a file, is not empty or cannot be created.

    Example:
        >>> end_date = datetime.date(2024, 4, 30)
        >>> simulate_cohort(Path("cohort"), patients=1000, seed=0, history_years=10, end_date=end_date)
    """
    _check_numbers(
        patients=patients, seed=seed, history_years=history_years, end_date=end_date, chunk_patients=chunk_patients
    )
    _check_folder(output)
    output = output.resolve()
    with ExitStack() as stack:
        try:
            # An empty folder is replaced by the finished one, which is impossible for the working folder.
            if output == Path.cwd():
                raise PermissionError("it is the working folder")
            unfinished = stack.enter_context(atomic_folder(output))
            unfinished.mkdir(mode=PRIVATE_FOLDER)
        except OSError as error:
            raise ConfigError(
                f"output must be a folder that can be made; found {output}: {error}. Choose another folder."
            ) from error
        _write_chunks(
            unfinished,
            patients=patients,
            seed=seed,
            history_years=history_years,
            end_date=end_date,
            chunk_patients=chunk_patients,
            progress=progress,
        )
        # The temporary folder is private; the finished export has the usual permissions.
        unfinished.chmod(0o755)
    log.info("simulated %d patients (seed %d) into %s", patients, seed, output)


def _check_numbers(
    *, patients: int, seed: int, history_years: float | None, end_date: datetime.date, chunk_patients: int
) -> None:
    if patients < 1:
        raise ConfigError(f"patients must be >= 1; found {patients}. Set patients to 1 or more.")
    if seed < 0:
        raise ConfigError(f"seed must be >= 0; found {seed}. Set another seed.")
    if history_years is not None and not history_years > 0:
        raise ConfigError(f"history_years must be > 0 or None; found {history_years}. Set None for whole lives.")
    if not FIRST_END_DATE <= end_date <= LAST_END_DATE:
        raise ConfigError(
            f"end_date must be from {FIRST_END_DATE} to {LAST_END_DATE}; found {end_date}. "
            "Set a date that a Synthea export could end with."
        )
    if chunk_patients < 1:
        raise ConfigError(f"chunk_patients must be >= 1; found {chunk_patients}. The default is 5000.")


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output must be a folder; {output} is a file. Choose another path.")
    if output.exists() and any(output.iterdir()):
        entries = len(list(output.iterdir()))
        raise ConfigError(
            f"output must be a new or empty folder; {output} holds {entries} entries. Choose another path or empty it."
        )


def _write_chunks(
    folder: Path,
    *,
    patients: int,
    seed: int,
    history_years: float | None,
    end_date: datetime.date,
    chunk_patients: int,
    progress: bool,
) -> None:
    sizes = [min(chunk_patients, patients - first) for first in range(0, patients, chunk_patients)]
    shared_seed, *chunk_seeds = np.random.SeedSequence(seed).spawn(1 + len(sizes))
    payers = text.uuids(np.random.default_rng(shared_seed), PAYERS)
    end_day = (end_date - datetime.date(1970, 1, 1)).days
    write_headers(folder)
    for number, (size, chunk_seed) in enumerate(zip(sizes, chunk_seeds, strict=True), start=1):
        rng = np.random.default_rng(chunk_seed)
        visits = _write_chunk(folder, rng, size, payers, end_day=end_day, history_years=history_years)
        if progress:
            log.info("chunk %d of %d: %d patients, %d visits", number, len(sizes), size, visits)


def _write_chunk(
    folder: Path,
    rng: np.random.Generator,
    size: int,
    payers: pa.Array,
    *,
    end_day: int,
    history_years: float | None,
) -> int:
    """Simulate one chunk, append its rows to the tables, and return its number of visits."""
    people = draw_people(rng, size, end_day=end_day)
    lives = simulate_lives(rng, people, end_day=end_day)
    visits = plan_visits(rng, people, lives, history_years=history_years)
    records, problems = write_records(rng, people, lives, visits)
    shared = chunk_text(rng, people, visits, payers)
    append_patients(rng, folder, people, lives, shared)
    append_encounters(rng, folder, visits, shared)
    append_problems(folder, problems, shared)
    for table, rows in records.items():
        append_rows(rng, folder, table, rows, shared)
    append_deaths(rng, folder, lives, shared)
    append_life_accounts(folder, people, lives, visits, shared)
    return len(visits)
