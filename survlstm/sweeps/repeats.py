"""Mean, spread and interval of a metric over repeats of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, stdtrit

from survlstm.evaluation.results import Interval

CONFIDENCE = 0.95
FEWEST_REPEATS = 3


class RepeatSpread(NamedTuple):
    """One metric over the finished repeats of a run.

    Attributes:
        mean: The mean.
        sd: Standard deviation (n - 1); None for fewer than two repeats.
        number: Number of repeats.
        interval: 95 % interval of the mean; None for fewer than ``FEWEST_REPEATS`` repeats.
    """

    mean: float
    sd: float | None
    number: int
    interval: Interval | None


def spread_over_repeats(values: Sequence[float], figure: str) -> RepeatSpread | None:
    """Compute mean, standard deviation and 95 % t-interval of a metric over repeats.

    The interval is computed on the logit (C-index) or logarithm (nll) of the mean by the delta method and transformed
    back, so that it stays within the range of the metric.

    Args:
        values: One value per repeat.
        figure: ``"nll"`` or ``"c_td"``.

    Returns:
        The spread; None without values. Two repeats have no interval: with one degree of freedom t is 12.7, and the
        interval would say nothing.
    """
    if not values:
        return None
    number, mean = len(values), float(np.mean(values))
    if number < 2:
        return RepeatSpread(mean, None, number, None)
    sd = float(np.std(values, ddof=1))
    if number < FEWEST_REPEATS:
        return RepeatSpread(mean, sd, number, None)
    return RepeatSpread(mean, sd, number, _within_range(mean, half_width(sd, number), figure))


def half_width(sd: float, number: int) -> float:
    """Return t·sd/√n, half the width of the 95 % t-interval of a mean over ``number`` repeats.

    Args:
        sd: Standard deviation of the repeats (n - 1).
        number: Number of repeats, n; at least two.

    Returns:
        The half width, in the unit of ``sd``.
    """
    return float(stdtrit(number - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(number)


def _within_range(mean: float, half: float, figure: str) -> Interval | None:
    """Transform mean ± half to an unbounded scale and back: logarithm for nll, logit for c_td (delta method).

    Returns None if the mean is outside the range of the metric.
    """
    if not half:
        return Interval(mean, mean)
    if mean <= 0 or (figure == "c_td" and mean >= 1):
        return None
    if figure == "nll":
        return Interval(mean * math.exp(-half / mean), mean * math.exp(half / mean))
    middle, reach = math.log(mean / (1 - mean)), half / (mean * (1 - mean))
    low, high = (float(expit(middle + end)) for end in (-reach, reach))
    return Interval(low, high)
