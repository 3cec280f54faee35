"""A seed and a number of patients → a folder that looks like a Synthea CSV export, written chunk by chunk."""

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
    """Write a simulated cohort of ``patients`` people, the living and the dead, as Synthea CSV tables.

    The last record is dated ``end_date`` at the latest, certificates of death apart. ``history_years`` keeps that
    many years before it (before the death of those who died) and older lasting diseases, as Synthea does by default;
    None keeps whole lives. The same arguments give the same bytes; memory grows with ``chunk_patients`` only.
    ``progress`` logs a line per chunk. A killed run leaves nothing at ``output``.

    Raises ConfigError if a number is out of range or ``output`` exists and isn't an empty folder.
    """
    _check_numbers(
        patients=patients, seed=seed, history_years=history_years, end_date=end_date, chunk_patients=chunk_patients
    )
    _check_folder(output)
    output = output.resolve()
    with ExitStack() as stack:
        try:
            # An empty folder may be named, but not the one that is being worked in: it can't be replaced.
            if output == Path.cwd():
                raise PermissionError("it is the working folder")
            unfinished = stack.enter_context(atomic_folder(output))
            unfinished.mkdir(mode=PRIVATE_FOLDER)
        except OSError as error:
            raise ConfigError(
                f"output must be a folder that can be made; found {output}: {error}. Choose another."
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
        # While it is written nobody else can look into it; a finished export is as readable as any folder.
        unfinished.chmod(0o755)
    log.info("simulated %d patients (seed %d) into %s", patients, seed, output)


def _check_numbers(
    *, patients: int, seed: int, history_years: float | None, end_date: datetime.date, chunk_patients: int
) -> None:
    if patients < 1:
        raise ConfigError(f"patients must be >= 1; found {patients}. Ask for at least one patient.")
    if seed < 0:
        raise ConfigError(f"seed must be >= 0; found {seed}. Choose another seed.")
    if history_years is not None and not history_years > 0:
        raise ConfigError(f"history_years must be > 0 or None; found {history_years}. Use None for whole lives.")
    if not FIRST_END_DATE <= end_date <= LAST_END_DATE:
        raise ConfigError(
            f"end_date must lie between {FIRST_END_DATE} and {LAST_END_DATE}; found {end_date}. "
            "Choose a day that a Synthea export could have."
        )
    if chunk_patients < 1:
        raise ConfigError(f"chunk_patients must be >= 1; found {chunk_patients}. Leave it at its default of 5000.")


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output must be a folder; {output} is a file. Choose another path.")
    if output.exists() and any(output.iterdir()):
        found = len(list(output.iterdir()))
        raise ConfigError(
            f"output must be a new or empty folder; {output} holds {found} entries. Choose another path or empty it."
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
    """Simulate and append one chunk; returns its number of visits."""
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
