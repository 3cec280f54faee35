"""Figures of subjects → percentile intervals and paired differences, by resampling subjects whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from survlstm.evaluation.results import Difference, Interval

# Resamples whose weights are in memory at once.
BLOCK = 100


class Resample(NamedTuple):
    """Rows of the evaluated and of the training subjects, with repeats, as many as there are."""

    evaluated: Int[np.ndarray, " subject"]
    training: Int[np.ndarray, " train"]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: percentile method, Efron & Tibshirani 1993, chapter 13.

    The n-th resample is the same for every figure of the same subjects, so that differences are paired. Training
    subjects are resampled too where a figure needs their censoring curve. No interval is given under ``min_events``
    events.
    """

    resamples: int
    confidence: float
    min_events: int
    seed: int

    def values(
        self,
        figures: Callable[[Resample], np.ndarray],
        *,
        subjects: int,
        training: int = 0,
        what: str,
    ) -> Float[np.ndarray, "resample ..."]:
        """The figures of every resample; NaN where one of them is undefined there."""
        generator = np.random.default_rng(self.seed)
        progress = tqdm(range(self.resamples), desc=f"Resampling {what}", disable=None, leave=False)
        return np.array(
            [
                figures(Resample(*(generator.integers(size, size=size) for size in (subjects, training))))
                for _ in progress
            ]
        )

    def weights(self, subjects: int) -> Iterator[Float[np.ndarray, "resample subject"]]:
        """How often each subject occurs in the resamples of ``values``, a block of resamples at a time."""
        generator = np.random.default_rng(self.seed)
        for start in range(0, self.resamples, BLOCK):
            draws = [generator.integers(subjects, size=subjects) for _ in range(min(BLOCK, self.resamples - start))]
            yield np.array([np.bincount(rows, minlength=subjects) for rows in draws], dtype=np.float64)

    def interval(self, values: Float[np.ndarray, " resample"]) -> Interval | None:
        """The percentile interval; None where a resample leaves the figure undefined."""
        if np.isnan(values).any():
            return None
        tail = (1 - self.confidence) / 2
        # Infinite values (a certain model that was wrong) are figures too; they only can't be interpolated.
        low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
        return Interval(float(low), float(high))

    def difference(
        self, found: float, ours: Float[np.ndarray, " resample"], theirs: Float[np.ndarray, " resample"]
    ) -> Difference | None:
        """``found`` with the paired interval of ours - theirs, and the two-sided p of no difference.

        p is twice the smaller share of resamples on one side of 0, the found sample counted with them (Davison &
        Hinkley 1997, section 4.2), at most 1. None as in ``interval``, and where both are infinite.
        """
        with np.errstate(invalid="ignore"):
            values = ours - theirs
        interval = self.interval(values)
        if interval is None or np.isnan(found):
            return None
        above, below = 1 + (values >= 0).sum(), 1 + (values <= 0).sum()
        return Difference(float(found), interval, float(min(1.0, 2 * min(above, below) / (1 + len(values)))))
