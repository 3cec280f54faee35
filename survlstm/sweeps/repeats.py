"""A figure of several repeats → its mean and spread, and an interval that stays where the figure can be."""

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
    """One figure over the finished repeats; ``sd`` needs two of them, ``interval`` FEWEST_REPEATS."""

    mean: float
    sd: float | None
    number: int
    interval: Interval | None


def spread_over_repeats(values: Sequence[float], figure: str) -> RepeatSpread | None:
    """Mean, standard deviation (n - 1) and 95 % t-interval of ``nll`` or ``c_td`` over repeats; None of nothing.

    Two repeats make no interval: t has one degree of freedom then, and 12.7 standard errors say nothing.
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
    """t·sd/√n: half of the 95% t-interval of a mean over ``number`` repeats."""
    return float(stdtrit(number - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(number)


def _within_range(mean: float, half: float, figure: str) -> Interval | None:
    """mean ± half on a scale without ends, taken back: the logarithm for nll, the logit for c_td (delta method).

    None for a mean that no such figure has.
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
