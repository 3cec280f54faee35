"""Percentile bootstrap over subjects: intervals of metrics and of paired differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64
from tqdm import tqdm

from survlstm.evaluation.results import Difference, Interval
from survlstm.utils.ragged import flat_positions

# Number of resamples whose weights are in memory at the same time.
BLOCK = 100


class Resample(NamedTuple):
    """One resample of subjects with replacement; a subject brings all its rows.

    Attributes:
        evaluated: Rows of the drawn evaluated subjects; as many subjects are drawn as there are.
        training: Rows of the drawn training subjects.
    """

    evaluated: Int[np.ndarray, " row"]
    training: Int[np.ndarray, " train"]


@dataclass(frozen=True)
class Bootstrap:
    """Percentile bootstrap (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13).

    The n-th resample is the same for every metric of the same subjects, so that differences are paired. Training
    subjects are resampled too where a metric needs their censoring curve.

    Attributes:
        resamples: Number of resamples.
        confidence: Confidence level, between 0 and 1.
        min_events: Number of events below which no interval is given.
        seed: Seed of the resamples.
    """

    resamples: int
    confidence: float
    min_events: int
    seed: int

    def values(
        self,
        metrics: Callable[[Resample], np.ndarray],
        *,
        subjects: int | Int64[np.ndarray, " row"],
        training: int | Int64[np.ndarray, " train"] = 0,
        what: str,
    ) -> Float[np.ndarray, "resample ..."]:
        """Compute metrics in every resample.

        Args:
            metrics: Function of one resample that returns an array; NaN marks an undefined metric.
            subjects: Number of evaluated subjects with one row each, or the subject of each row, any integers.
            training: The same of the training subjects.
            what: Label of the progress bar.

        Returns:
            The arrays of all resamples, stacked.
        """
        generator = np.random.default_rng(self.seed)
        progress = tqdm(range(self.resamples), desc=f"Resampling {what}", disable=None, leave=False)
        parts = [_Clusters.of(part) for part in (subjects, training)]
        return np.array([metrics(Resample(*(part.draw(generator) for part in parts))) for _ in progress])

    def weights(self, subjects: int | Int64[np.ndarray, " row"]) -> Iterator[Float[np.ndarray, "resample row"]]:
        """Count how often each row occurs in each resample, in blocks of resamples.

        Without training subjects these are the resamples of ``values``.

        Args:
            subjects: Number of evaluated subjects with one row each, or the subject of each row, any integers.

        Yields:
            Counts of the next ``BLOCK`` resamples.
        """
        generator = np.random.default_rng(self.seed)
        clusters = _Clusters.of(subjects)
        for start in range(0, self.resamples, BLOCK):
            draws = [clusters.draw(generator) for _ in range(min(BLOCK, self.resamples - start))]
            yield np.array([np.bincount(rows, minlength=clusters.rows) for rows in draws], dtype=np.float64)

    def interval(self, values: Float[np.ndarray, " resample"]) -> Interval | None:
        """Return the percentile interval of a metric.

        Args:
            values: The metric in every resample.

        Returns:
            The interval; None if the metric is undefined in a resample.
        """
        if np.isnan(values).any():
            return None
        tail = (1 - self.confidence) / 2
        # A value is infinite where a certain prediction was wrong. It counts, but it cannot be interpolated.
        low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
        return Interval(float(low), float(high))

    def difference(
        self, observed: float, first: Float[np.ndarray, " resample"], second: Float[np.ndarray, " resample"]
    ) -> Difference | None:
        """Return the paired interval and the two-sided p-value of a difference of two models.

        The p-value is twice the smaller share of resamples on one side of 0, with the observed sample counted as one of
        them, and at most 1 (Davison & Hinkley 1997, Bootstrap Methods and their Application, section 4.2).

        Args:
            observed: Difference on the evaluated subjects, first minus second.
            first: Metric of the first model in every resample.
            second: Metric of the second model in the same resamples.

        Returns:
            The difference; None if it is undefined, in a resample or on the evaluated subjects.
        """
        with np.errstate(invalid="ignore"):
            values = first - second
        interval = self.interval(values)
        if interval is None or np.isnan(observed):
            return None
        above, below = 1 + (values >= 0).sum(), 1 + (values <= 0).sum()
        return Difference(float(observed), interval, float(min(1.0, 2 * min(above, below) / (1 + len(values)))))


class _Clusters(NamedTuple):
    """Rows by the subject they belong to; subjects are drawn.

    Attributes:
        rows: Number of rows.
        subjects: Number of subjects.
        by_subject: Rows in the order of their subjects; None if every subject has one row.
        size: Number of rows of each subject.
    """

    rows: int
    subjects: int
    by_subject: Int64[np.ndarray, " row"] | None = None
    size: Int64[np.ndarray, " subject"] | None = None

    @classmethod
    def of(cls, subjects: int | np.ndarray) -> _Clusters:
        if isinstance(subjects, int):
            return cls(subjects, subjects)
        number = np.unique(subjects, return_inverse=True)[1]
        size = np.bincount(number)
        return cls(len(subjects), len(size), np.argsort(number, kind="stable"), size)

    def draw(self, generator: np.random.Generator) -> Int64[np.ndarray, " row"]:
        """Draw as many subjects as there are, with replacement, and return their rows."""
        drawn = generator.integers(self.subjects, size=self.subjects)
        if self.by_subject is None or self.size is None:
            return drawn
        first = np.cumsum(self.size) - self.size
        return self.by_subject[flat_positions(first[drawn], self.size[drawn])]
