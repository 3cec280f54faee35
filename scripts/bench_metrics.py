# mypy: disable-error-code="import-untyped"
"""Random follow-up of growing size → a Markdown table: seconds and peak memory of each concordance, beside libraries.

Every measurement is a process of its own on one thread, stopped after ``LIMIT_SECONDS``; imports and compilation are
not timed. Durations are whole days within ten years, 30 % have the event, scores and hazards are continuous.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LIMIT_SECONDS = 60
STEPS = 40
OURS = {"c_harrell": "c_harrell", "c_uno": "c_uno", "c_td": "c_td, 40 steps"}
LIBRARIES = {
    "c_harrell": {"lifelines": "lifelines", "sksurv_harrell": "scikit-survival"},
    "c_uno": {"sksurv_uno": "scikit-survival"},
    "c_td": {"pycox": "pycox"},
}


class Measurement(NamedTuple):
    """``seconds`` is None where the limit was reached."""

    seconds: float | None
    peak_mib: float


def main() -> None:
    """Print the table; ratios are the library's seconds over ours."""
    print("| n | metric | seconds | peak MiB | beside it |")
    print("|---:|---|---:|---:|---|")
    for subjects in SIZES:
        idle = _measure("nothing", subjects)
        for metric, label in OURS.items():
            ours = _measure(metric, subjects)
            beside = [] if subjects == SIZES[-1] else list(LIBRARIES[metric].items())
            cells = [_beside(name, _measure(key, subjects), ours) for key, name in beside]
            seconds = "over the limit" if ours.seconds is None else f"{ours.seconds:.4f}"
            memory = f"{ours.peak_mib:.0f} ({ours.peak_mib - idle.peak_mib:+.0f})"
            print(f"| {subjects:,} | {label} | {seconds} | {memory} | {'; '.join(cells) or '-'} |", flush=True)


def _beside(name: str, theirs: Measurement, ours: Measurement) -> str:
    if theirs.seconds is None or ours.seconds is None:
        return f"{name} > {LIMIT_SECONDS} s"
    return f"{name} {theirs.seconds:.3f} s ({theirs.seconds / ours.seconds:.0f} x)"


def _measure(what: str, subjects: int) -> Measurement:
    """Median seconds and peak memory in a fresh process."""
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, __file__, what, str(subjects)]
    try:
        # The imports and the data of the child come on top of what is timed.
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | threads, timeout=LIMIT_SECONDS + 30
        )
    except subprocess.TimeoutExpired:
        return Measurement(None, float("nan"))
    seconds, memory = (float(word) for word in done.stdout.split()[-2:])
    return Measurement(seconds if seconds <= LIMIT_SECONDS else None, memory)


def _one(what: str, subjects: int) -> None:
    """The child's side: time one metric, once compiled; again while that takes less than three seconds."""
    task = _tasks(what)
    task(*_follow_up(50, steps=what in {"c_td", "pycox"}))
    arguments = _follow_up(subjects, steps=what in {"c_td", "pycox"})
    seconds: list[float] = []
    while not seconds or (len(seconds) < 20 and sum(seconds) < 3):
        started = time.perf_counter()
        task(*arguments)
        seconds.append(time.perf_counter() - started)
    print(statistics.median(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _follow_up(subjects: int, *, steps: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Duration, event and prediction: a score, or survival per step with the step in place of the duration."""
    generator = np.random.default_rng(0)
    event = generator.random(subjects) < 0.3
    if steps:
        survival = np.cumprod(1 - generator.uniform(0.001, 0.1, (subjects, STEPS)), axis=1)
        return generator.integers(0, STEPS, subjects), event, survival
    return generator.integers(1, 3650, subjects), event, generator.random(subjects)


def _tasks(what: str) -> Callable[[np.ndarray, np.ndarray, np.ndarray], object]:
    """The call to time; imports happen here."""
    return {
        "nothing": lambda: lambda *_: None,
        "c_harrell": _harrell,
        "c_uno": _uno,
        "c_td": _td,
        "lifelines": _lifelines,
        "sksurv_harrell": _sksurv_harrell,
        "sksurv_uno": _sksurv_uno,
        "pycox": _pycox,
    }[what]()


def _harrell() -> Callable[..., object]:
    from survlstm.survival.rank_concordance import c_harrell

    return lambda duration, event, score: c_harrell(score, duration=duration, event=event)


def _uno() -> Callable[..., object]:
    from survlstm.survival.kaplan_meier import censoring_curve
    from survlstm.survival.rank_concordance import c_uno

    return lambda duration, event, score: c_uno(
        score, duration=duration, event=event, censoring=censoring_curve(duration, event), tau=3000
    )


def _td() -> Callable[..., object]:
    from survlstm.survival.concordance import concordance_td

    return lambda step, event, survival: concordance_td(survival, step=step, event=event)


def _lifelines() -> Callable[..., object]:
    from lifelines.utils import concordance_index

    return lambda duration, event, score: concordance_index(duration, -score, event)


def _sksurv_harrell() -> Callable[..., object]:
    from sksurv.metrics import concordance_index_censored

    return lambda duration, event, score: concordance_index_censored(event, duration, score)


def _sksurv_uno() -> Callable[..., object]:
    from sksurv.metrics import concordance_index_ipcw
    from sksurv.util import Surv

    def run(duration: np.ndarray, event: np.ndarray, score: np.ndarray) -> object:
        structured = Surv.from_arrays(event, duration)
        return concordance_index_ipcw(structured, structured, score, tau=3000)

    return run


def _pycox() -> Callable[..., object]:
    from pycox.evaluation.concordance import concordance_td

    return lambda step, event, survival: concordance_td(step, event, survival.T, step, method="antolini")


if __name__ == "__main__":
    if sys.argv[1:]:
        _one(sys.argv[1], int(sys.argv[2]))
    else:
        main()
