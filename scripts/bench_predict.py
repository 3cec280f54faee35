"""Measure time and peak memory of ``survlstm predict`` on exports of several sizes, in parts and whole.

Each measurement is a process of its own. What counts are ratios: the peak of an export four times as large, read in
parts of the same number of subjects, over that of the small one. Words choose the sizes: small=1000 at_once=500.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = 4


def main(words: list[str]) -> None:
    """Print the table and write it as JSON to outputs/bench_predict.json."""
    sizes = {"small": 1000, "at_once": 500} | {key: int(value) for key, value in (word.split("=") for word in words)}
    small, at_once = sizes["small"], sizes["at_once"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _survlstm(place, "train", "experiment=smoke", "output_dir=run")
        _survlstm(place, "export", "run=run", "output=bundle")
        for patients in (small, TIMES * small):
            _survlstm(place, "simulate", f"patients={patients}", f"output=export_{patients}", "seed=1")
        rows = []
        for patients, parts in (
            (small, at_once),
            (TIMES * small, at_once),
            (small, small),
            (TIMES * small, TIMES * small),
        ):
            seconds, memory = _survlstm(
                place,
                "predict",
                "bundle=bundle",
                f"data.path=export_{patients}",
                f"subjects_at_once={parts}",
                f"output={patients}_{parts}.parquet",
            )
            rows.append({"patients": patients, "at_once": parts, "seconds": seconds, "peak_gib": memory})
    print(f"{'patients':>10}{'at once':>10}{'seconds':>10}{'patients/s':>12}{'peak GiB':>10}")
    for row in rows:
        speed = row["patients"] / row["seconds"]
        print(f"{row['patients']:10,}{row['at_once']:10,}{row['seconds']:10.1f}{speed:12.0f}{row['peak_gib']:10.2f}")
    in_parts, whole = (rows[place + 1]["peak_gib"] / rows[place]["peak_gib"] for place in (0, 2))
    print(f"peak of {TIMES} times the patients over the small export's: {in_parts:.2f} in parts, {whole:.2f} whole")
    target = Path("outputs/bench_predict.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"rows": rows, "ratio_in_parts": in_parts, "ratio_whole": whole}, indent=2) + "\n")
    print(f"written to {target}")


def _survlstm(place: Path, *words: str) -> tuple[float, float]:
    """Seconds and peak GiB of one command in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "survlstm", *words]
    process = subprocess.Popen(
        command, cwd=place, env={**os.environ, "SURVLSTM_CACHE_DIR": str(place / "cache")}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


if __name__ == "__main__":
    main(sys.argv[1:])
