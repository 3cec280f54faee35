"""Measure time and peak memory from raw tables to tensors, beside a bare read of the same columns.

Each measurement is a process of its own; the two are run in turn and the ratio of each pair is what counts, so that a
machine that gets slower slows both. Overrides choose the export: data.path=DIR.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
DEFAULTS = ["data=cohort_1000", "model=lstm_medium", "trainer=a40"]


def main(overrides: list[str]) -> None:
    """Print the table and write it as JSON to outputs/bench_data.json."""
    with tempfile.TemporaryDirectory() as cache:
        base = [*DEFAULTS, *overrides]
        _measure("locate", base)  # a simulated cohort is made before anything is timed
        rows: dict[str, list[tuple[float, float]]] = {
            name: [] for name in ("bare", "prepare", "valued", "cached", "start")
        }
        for _ in range(ROUNDS):
            rows["bare"].append(_measure("bare", base))
            rows["prepare"].append(_measure("make", base))
            rows["valued"].append(_measure("make", [*base, "data.values=both"]))
            _measure("keep", [*base, f"cache_dir={cache}"])
            rows["cached"].append(_measure("cached", [*base, f"cache_dir={cache}"]))
            rows["start"].append(_measure("start", [*base, f"cache_dir={cache}"]))
    ratio, with_values = (
        statistics.median(one[0] / other[0] for one, other in zip(rows[name], rows[beside], strict=True))
        for name, beside in (("prepare", "bare"), ("valued", "prepare"))
    )
    labels = {
        "bare": "bare pyarrow read of the same columns",
        "prepare": "raw tables to tensors",
        "valued": "the same with data.values=both",
        "cached": "second start: tensors from the cache",
        "start": "the same with Python's start and all imports",
    }
    print(f"{'':46}{'seconds (median of ' + str(ROUNDS) + ')':>22}{'least':>9}{'peak GiB':>10}")
    for name, label in labels.items():
        seconds, memory = [row[0] for row in rows[name]], max(row[1] for row in rows[name])
        print(f"{label:46}{statistics.median(seconds):22.2f}{min(seconds):9.2f}{memory:10.2f}")
    print(f"raw tables to tensors / bare read, median of pairs: {ratio:.2f}")
    print(f"with values / without values, median of pairs: {with_values:.2f}")
    target = Path("outputs/bench_data.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(
        json.dumps({"seconds_and_gib": rows, "ratio": ratio, "ratio_with_values": with_values}, indent=2) + "\n"
    )
    print(f"written to {target}")


def _measure(what: str, overrides: list[str]) -> tuple[float, float]:
    """Seconds and peak GiB of one stage in a fresh process."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, f"--{what}", *overrides], check=True, capture_output=True, text=True
    )
    whole = time.perf_counter() - started
    seconds, memory = (float(word) for word in done.stdout.split()[-2:])
    return (whole if what == "start" else seconds), memory


def _one(what: str, overrides: list[str]) -> None:
    """The child's side: time one stage, its imports done before."""
    from hydra import compose, initialize_config_dir

    from survlstm.config.conf_dir import conf_dir
    from survlstm.config.schema.run import RunConfig
    from survlstm.config.validation import validate
    from survlstm.data.factory import build_outcome, build_prepared, build_settings, build_source
    from survlstm.data.prepare import prepare_uncached

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = validate(compose("train", overrides=overrides), RunConfig)
    if what in {"keep", "cached", "start"}:
        started = time.perf_counter()
        build_prepared(config)
        seconds = time.perf_counter() - started
    else:
        source = build_source(config.data, Path(config.cache_dir).expanduser())
        _warm_up()
        started = time.perf_counter()
        if what == "bare":
            _bare_read(source.files())
        elif what == "make":
            prepare_uncached(source, build_outcome(config.outcome), build_settings(config))
        seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def _bare_read(files: list[Path]) -> None:
    import pyarrow as pa
    from pyarrow import csv

    from survlstm.data.sources.synthea_format import EVENT_TABLES, PATIENT_FIELDS

    for file in files:
        table = file.name.split(".")[0]
        fields = PATIENT_FIELDS if table == "patients" else EVENT_TABLES[table].fields
        header = csv.open_csv(file, read_options=csv.ReadOptions(block_size=1 << 16)).schema.names
        columns = [name for field in fields for name in field.spellings if name in header]
        text = dict.fromkeys(columns, pa.string())
        csv.read_csv(file, convert_options=csv.ConvertOptions(include_columns=columns, column_types=text))


def _warm_up() -> None:
    """Imports that come late are no work: scipy's, and pandas, which pyarrow loads when it first meets an array."""
    import pyarrow as pa
    import scipy.special  # noqa: F401

    pa.array([1]).to_numpy()
    pa.array(["a"]).to_pandas()


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1].startswith("--"):
        _one(sys.argv[1][2:], sys.argv[2:])
    else:
        main(sys.argv[1:])
