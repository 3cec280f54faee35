"""Measure time and peak memory of reading a source: scripts/bench readers "data=meds data.path=DIR" "data=omop …".

Each argument holds the overrides of one source. Each measurement is a process of its own; the sources are read in turn
in each round, so that a machine that gets slower slows all of them.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROUNDS = 3
CHILD = "--one"


class Reading(NamedTuple):
    """One measurement.

    Attributes:
        seconds: Wall time of ``read``.
        before: Peak memory in GiB before it.
        peak: Peak memory in GiB after it.
        rows: Number of rows of all tables.
        events: Number of events.
        subjects: Number of subjects.
    """

    seconds: float
    before: float
    peak: float
    rows: int
    events: int
    subjects: int


def main(sources: list[str]) -> None:
    """Print one row per source.

    Args:
        sources: Overrides of each source.
    """
    readings: dict[str, list[Reading]] = {source: [] for source in sources}
    for _ in range(ROUNDS):
        for source, measured in readings.items():
            measured.append(_measure(source))
    names = {source: source.replace("data.path=", "").split() for source in sources}
    print("| source | subjects | rows | events | seconds, median | least | peak GiB | of it before reading |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for source, measured in readings.items():
        last = measured[-1]
        seconds = [reading.seconds for reading in measured]
        print(
            f"| {' '.join(Path(word).name for word in names[source])} | {last.subjects:,} | {last.rows:,} | "
            f"{last.events:,} | {statistics.median(seconds):.2f} | {min(seconds):.2f} | "
            f"{max(reading.peak for reading in measured):.2f} | {last.before:.2f} |"
        )


def _measure(source: str) -> Reading:
    done = subprocess.run(
        [sys.executable, __file__, CHILD, *source.split()], check=True, capture_output=True, text=True
    )
    seconds, before, peak, rows, events, subjects = done.stdout.split()[-6:]
    return Reading(float(seconds), float(before), float(peak), int(rows), int(events), int(subjects))


def _one(overrides: list[str]) -> None:
    """The child's side: read one source, its imports done before."""
    from hydra import compose, initialize_config_dir

    from survlstm.config.conf_dir import conf_dir
    from survlstm.config.schema.run import RunConfig
    from survlstm.config.validation import validate
    from survlstm.data.factory import build_source

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = validate(compose("train", overrides=overrides), RunConfig)
    source = build_source(config.data, Path(config.cache_dir).expanduser())
    before = _peak_gib()
    started = time.perf_counter()
    reading = source.read()
    seconds = time.perf_counter() - started
    rows = sum(table.rows_read for table in reading.tables)
    print(seconds, before, _peak_gib(), rows, len(reading.events), len(reading.events.subjects))


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        _one(sys.argv[2:])
    else:
        main(sys.argv[1:])
