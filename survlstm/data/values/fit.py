"""Fit bins and normal scores on the values of the training subjects."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32

from survlstm.data.values.measures import FittedValues, Measure
from survlstm.data.values.settings import ValueSettings
from survlstm.data.visits import Visits

# Shares of the training values at which the normal score is known; the first and the last bound all values.
_SHARES = np.array([0.01, 0.05, *np.arange(0.1, 0.95, 0.1), 0.95, 0.99])
# Digits of a knot, and of a percentile: of few values the percentile is nearly that of one subject.
_KNOT_DIGITS, _PERCENTILE_DIGITS = 5, 3


def fit_values(
    visits: Visits, settings: ValueSettings, *, is_training: Bool[np.ndarray, " subject"], min_frequency: int
) -> FittedValues | None:
    """Fit the measures of the training subjects.

    A measure needs ``min_values_per_bin`` values. Its bins have about equally many training values, and each at least
    that number; one value is never in two bins. A measure with too few values for two bins, or with hardly any other
    value than one, has none. The measures that most training subjects have get columns; a measure with one value
    everywhere gets none.

    Args:
        visits: What may be seen of each subject.
        settings: Form of the values and limits.
        is_training: Training subjects.
        min_frequency: Fewest entries of a code in the vocabulary; a bin has at least as many values.

    Returns:
        The measures; None if values are not used.
    """
    if settings.form == "none":
        return None
    fewest = settings.fewest_values(min_frequency)
    owner = np.repeat(visits.visit_subject, visits.codes_per_visit)
    entry = np.flatnonzero(~np.isnan(visits.value) & is_training[owner])
    key = visits.code[entry].astype(np.int64) * len(visits.units) + visits.unit[entry]
    value = visits.value[entry]
    order = np.lexsort([value, key])
    key, value, owner = key[order], value[order], owner[entry[order]]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    measures, subjects = [], []
    for begin, end in pairwise([*start.tolist(), len(key)]):
        if end - begin < fewest:
            continue
        code, unit = divmod(int(key[begin]), len(visits.units))
        measures.append(
            _fit_measure(
                str(visits.codes[code]),
                str(visits.units[unit]),
                value[begin:end],
                most_bins=settings.most_bins if settings.with_bins else 1,
                fewest=fewest,
                with_scores=settings.with_columns,
            )
        )
        subjects.append(len(np.unique(owner[begin:end])))
    chosen = sorted(range(len(measures)), key=lambda number: (-subjects[number], number))
    chosen = [number for number in chosen if measures[number].knots]
    with_columns = set(chosen[: settings.most_columns])
    kept = [
        measure if number in with_columns else replace(measure, knots=(), scores=())
        for number, measure in enumerate(measures)
    ]
    return FittedValues(tuple(sorted(kept, key=lambda measure: (measure.code, measure.unit))))


def _fit_measure(
    code: str, unit: str, value: Float32[np.ndarray, " value"], *, most_bins: int, fewest: int, with_scores: bool
) -> Measure:
    """Fit one measure.

    Args:
        code: Its code.
        unit: Its unit.
        value: Its training values, sorted.
        most_bins: Greatest number of bins.
        fewest: Fewest values in a bin.
        with_scores: Whether to fit normal scores.
    """
    edges = fit_edges(value, most_bins=most_bins, fewest=fewest)
    inside = np.searchsorted(value, np.array(edges, dtype=np.float32))
    low, high = (
        _rounded(float(end), _PERCENTILE_DIGITS) for end in np.quantile(value.astype(np.float64), [0.01, 0.99])
    )
    knots, scores = _scores(value) if with_scores else ((), ())
    return Measure(code, unit, low, high, edges, tuple(np.diff([0, *inside, len(value)]).tolist()), knots, scores)


def fit_edges(value: Float32[np.ndarray, " value"], *, most_bins: int, fewest: int) -> tuple[float, ...]:
    """Find the edges of bins with about equally many values.

    The bins are closed from the lowest on: each takes its share of the values that are left, and all values that equal
    its last one. Many equal values then take a bin of their own and leave the others to the rest.

    Args:
        value: Values, sorted.
        most_bins: Greatest number of bins.
        fewest: Fewest values in a bin.

    Returns:
        The edges, rising: between two neighbouring values, the number with the fewest digits above the lower one and
        not above the upper one.

    Example:
        >>> fit_edges(np.arange(10, dtype=np.float32), most_bins=2, fewest=3)
        (5.0,)
    """
    distinct, counts = np.unique(value, return_counts=True)
    total = np.cumsum(counts)
    edges: list[float] = []
    done = 0
    for bins_left in range(most_bins, 1, -1):
        wanted = done + max(fewest, (len(value) - done) / bins_left)
        last = int(np.searchsorted(total, wanted))
        if last >= len(total) - 1 or len(value) - total[last] < fewest:
            break
        edges.append(_shortest_between(distinct[last], distinct[last + 1]))
        done = int(total[last])
    return tuple(edges)


def why_no_bins(training_values: int, settings: ValueSettings, *, min_frequency: int) -> str:
    """Say why ``fit_edges`` found no edges for a measure.

    Args:
        training_values: Number of its training values.
        settings: Form of the values and limits.
        min_frequency: Fewest entries of a code in the vocabulary.
    """
    fewest = settings.fewest_values(min_frequency)
    if not settings.with_bins:
        return f"data.values={settings.form} makes no bins"
    if training_values < 2 * fewest:
        return f"too few values: {training_values:,} in the training, and two bins need {2 * fewest:,}"
    return f"hardly any other value: equal ones leave fewer than {fewest:,} of {training_values:,} for a second bin"


def _shortest_between(lower: np.float32, upper: np.float32) -> float:
    """Return the number with the fewest digits above ``lower`` and not above ``upper``, in single precision."""
    for digits in range(1, 9):
        for number in (float(f"{float(upper):.{digits}g}"), float(f"{(float(lower) + float(upper)) / 2:.{digits}g}")):
            if lower < np.float32(number) <= upper:
                return number + 0.0  # no negative zero
    return float(upper)


def _scores(value: Float32[np.ndarray, " value"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return knots and normal scores; none if the values do not differ enough for two knots."""
    from scipy.special import ndtri

    knots = np.array([_rounded(number, _KNOT_DIGITS) for number in np.quantile(value.astype(np.float64), _SHARES)])
    knots, place = np.unique(knots, return_inverse=True)
    if len(knots) < 2:
        return (), ()
    # Shares with the same knot: the score of their mean.
    share = np.bincount(place, weights=_SHARES) / np.bincount(place)
    return tuple(knots.tolist()), tuple(ndtri(share).tolist())


def _rounded(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}") + 0.0
