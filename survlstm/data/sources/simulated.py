"""Simulate a cohort once for each set of settings, and keep it in the cache as a Synthea CSV export."""

from __future__ import annotations

import datetime
import hashlib
import logging
import os
import shutil
from pathlib import Path

from survlstm.data.checksums import find_damage, write_checksums
from survlstm.utils.errors import ConfigError
from survlstm.utils.files import atomic_folder

log = logging.getLogger(__name__)


def simulated_cohort(cache: Path, *, patients: int, seed: int, history_years: float | None, end_date: str) -> Path:
    """Return the folder of a simulated cohort, and simulate it if the cache does not have it.

    The folder is read like any other export. Its name depends on the settings and on the code of the simulator. It is
    written under a temporary name and renamed, so that two runs at the same time both find a complete cohort. A cohort
    whose files are not what the simulator wrote is simulated again.

    Args:
        cache: Folder of the cache.
        patients: Number of patients, the living and the dead.
        seed: Seed of the simulator.
        history_years: Years of history that the export keeps before ``end_date`` or before a death; None keeps whole
            lives.
        end_date: Last day of the export, YYYY-MM-DD.

    Returns:
        Folder of a Synthea CSV export below ``cache``.

    Raises:
        ConfigError: The cohort can't be written into the cache.

    Example:
        >>> simulated_cohort(Path("cache"), patients=100, seed=0, history_years=10.0, end_date="2024-04-01")
    """
    settings = f"{patients}-{seed}-{history_years}-{end_date}-{_code_digest()}"
    folder = cache / "cohorts" / f"{patients}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"
    if _is_whole(folder):
        log.info("Simulated cohort: taken from the cache (%s)", folder)
        return folder
    # The simulator loads pandas and its code tables, so it is imported only by the run that needs it.
    from survlstm.simulation import simulate_cohort

    log.info("Simulating %d patients; later runs read the cohort from %s", patients, folder)
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
            write_checksums(temporary)
    except OSError as error:
        raise ConfigError(
            f"a simulated cohort must be kept in {folder.parent}; the system says: {error}. If the cache was removed "
            "during the simulation, start again; otherwise free space there, or set cache_dir=DIR"
        ) from error
    return folder


def _remove_broken(folder: Path) -> None:
    # Checked again, because another run may have finished the cohort while the simulator was imported.
    if folder.exists() and find_damage(folder):
        broken = folder.with_name(f".{folder.name}-broken-{os.getpid()}")
        folder.rename(broken)
        shutil.rmtree(broken)


def _is_whole(folder: Path) -> bool:
    fault = find_damage(folder) if folder.is_dir() else ""
    if fault:
        log.warning("the simulated cohort in %s can't be used (%s); it is simulated again", folder, fault)
    return folder.is_dir() and not fault


def _code_digest() -> str:
    """Return a digest of the simulator's code and tables, so that a change of either makes another cohort."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[2] / "simulation"
    for file in sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".csv"}):
        digest.update(file.read_bytes())
    return digest.hexdigest()
