"""A statistic of subjects → its percentile interval, by resampling subjects whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Interval(NamedTuple):
    """A percentile bootstrap interval."""

    low: float
    high: float


def bootstrap_interval(
    statistic: Callable[[Int[np.ndarray, " subject"]], float],
    *,
    subjects: int,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """The interval of ``statistic``, which gets the rows of one resample (with repeats); NaN results are refused.

    Percentile method, Efron & Tibshirani 1993, chapter 13.
    """
    generator = np.random.default_rng(seed)
    values = np.array([statistic(generator.integers(subjects, size=subjects)) for _ in range(resamples)])
    if np.isnan(values).any():
        raise ValueError(f"the statistic is undefined in {int(np.isnan(values).sum())} of {resamples} resamples")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
