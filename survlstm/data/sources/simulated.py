"""Simulator settings → a folder with Synthea CSV tables, made once and kept in the cache."""

from __future__ import annotations

import datetime
import hashlib
import logging
import os
import shutil
from pathlib import Path

from survlstm.data.checksums import find_damage, write_sums
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import atomic_folder

log = logging.getLogger(__name__)


def simulated_cohort(cache: Path, *, patients: int, seed: int, history_years: float | None, end_date: str) -> Path:
    """The folder of the simulated cohort; it is read like any other export.

    Its name covers the settings and the simulator's own code. It is written aside and renamed, so that two runs at once
    both find a whole one. One whose files are not what the simulator wrote is made anew.
    """
    settings = f"{patients}-{seed}-{history_years}-{end_date}-{_code_digest()}"
    folder = cache / "cohorts" / f"{patients}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
    if _is_whole(folder):
        log.info("Simulated cohort: taken from the cache (%s)", folder)
        return folder
    # The simulator brings pandas and its code tables: only the run that makes a cohort pays for them.
    from survlstm.simulation import simulate_cohort

    log.info("Simulating %d patients (once; kept in %s)...", patients, folder)
    try:
        _remove_broken(folder)
        with atomic_folder(folder, keep_existing=True) as temporary:
            simulate_cohort(
                temporary,
                patients=patients,
                seed=seed,
                history_years=history_years,
                end_date=datetime.date.fromisoformat(end_date),
                progress=True,
            )
            write_sums(temporary)
    except OSError as error:
        raise ConfigError(
            f"a simulated cohort must be kept in {folder.parent}; the system says: {error}. If the cache was removed "
            "meanwhile, start again; else free space there, or set cache_dir=DIR"
        ) from error
    return folder


def _remove_broken(folder: Path) -> None:
    # Looked at again: another run may have finished the cohort while the simulator was imported.
    if folder.exists() and find_damage(folder):
        broken = folder.with_name(f".{folder.name}-broken-{os.getpid()}")
        folder.rename(broken)
        shutil.rmtree(broken)


def _is_whole(folder: Path) -> bool:
    fault = find_damage(folder) if folder.is_dir() else ""
    if fault:
        log.warning("the simulated cohort in %s can't be used (%s); it is made anew", folder, fault)
    return folder.is_dir() and not fault


def _code_digest() -> str:
    digest = hashlib.sha256()
    folder = Path(__file__).parents[2] / "simulation"
    for file in sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".csv"}):
        digest.update(file.read_bytes())
    return digest.hexdigest()
