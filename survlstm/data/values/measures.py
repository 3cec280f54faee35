"""Measures: pairs of a code and a unit, with what is fitted on the training values of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Int32

from survlstm.data.visits import Visits

# A value is far outside if it lies further from the first or last percentile than they are apart.
_FAR = 1.0


@dataclass(frozen=True)
class Measure:
    """A code in one unit, and what is fitted on its training values.

    Attributes:
        code: The code, such as ``LOINC/2160-0``.
        unit: The unit, such as ``mg/dL``; "" for none.
        low: First percentile of the training values.
        high: Last percentile of the training values.
        edges: Edges between the bins, rising; a bin contains its lower edge. Empty if there are no bins.
        bin_values: Number of training values in each bin; of all values without bins.
        knots: Values at which the normal score is known, rising; empty if the measure has no columns.
        scores: Normal scores at the knots. Between two knots the score is interpolated, and outside it is that of the
            nearest knot.
    """

    code: str
    unit: str
    low: float
    high: float
    edges: tuple[float, ...]
    bin_values: tuple[int, ...]
    knots: tuple[float, ...]
    scores: tuple[float, ...]

    @property
    def bin_codes(self) -> tuple[str, ...]:
        """Fused codes of the bins, ``CODE//UNIT//value_[0.8,1.1)`` as in MEDS-Transforms; none without bins."""
        if not self.edges:
            return ()
        stem = f"{self.code}//{self.unit}" if self.unit else self.code
        return tuple(f"{stem}//value_{interval}" for interval in bin_intervals(self.edges))

    def score(self, value: Float32[np.ndarray, " value"]) -> Float32[np.ndarray, " value"]:
        """Convert values to normal scores.

        Args:
            value: Finite values in the unit of the measure.
        """
        return np.interp(value, self.knots, self.scores).astype(np.float32)

    @property
    def limits(self) -> tuple[float, float]:
        """Values below the first or above the second are far outside of the training values."""
        width = self.high - self.low
        return self.low - _FAR * width, self.high + _FAR * width


def bin_intervals(edges: Sequence[float]) -> tuple[str, ...]:
    """Write the interval of each bin, such as ``[0.8,1.1)``.

    Args:
        edges: Edges between the bins, rising.

    Returns:
        One text per bin, from ``[-inf,…)`` to ``[…,inf)``; none without edges.
    """
    if not edges:
        return ()
    ends = ["-inf", *(format_edge(edge) for edge in edges), "inf"]
    return tuple(f"[{low},{high})" for low, high in pairwise(ends))


def format_edge(edge: float) -> str:
    """Write the edge of a bin with the fewest digits that give the same number.

    Args:
        edge: A finite number.
    """
    return np.format_float_positional(edge, trim="-") if 1e-5 <= abs(edge) < 1e9 or edge == 0 else repr(edge)


@dataclass(frozen=True, eq=False)
class FittedValues:
    """Measures with enough training values, sorted by code and unit.

    Attributes:
        measures: The measures.
    """

    measures: tuple[Measure, ...]

    @cached_property
    def column_measures(self) -> tuple[int, ...]:
        """Indices of the measures that have columns."""
        return tuple(number for number, measure in enumerate(self.measures) if measure.knots)

    def find(self, visits: Visits) -> Int32[np.ndarray, " entry"]:
        """Return the measure of each entry.

        Args:
            visits: Visits of any subjects.

        Returns:
            Index into ``measures``; -1 for an entry without a number, or whose code and unit are no known measure.
        """
        found = np.full(len(visits.code), -1, dtype=np.int32)
        numbers = {(measure.code, measure.unit): index for index, measure in enumerate(self.measures)}
        codes = {str(code): index for index, code in enumerate(visits.codes)}
        units = {str(unit): index for index, unit in enumerate(visits.units)}
        known = [
            (codes[code] * len(units) + units[unit], index)
            for (code, unit), index in numbers.items()
            if code in codes and unit in units
        ]
        if not known:
            return found
        pair, index = (np.array(column) for column in zip(*sorted(known), strict=True))
        entry = np.flatnonzero(~np.isnan(visits.value))
        key = visits.code[entry].astype(np.int64) * len(units) + visits.unit[entry]
        place = np.minimum(np.searchsorted(pair, key), len(pair) - 1)
        found[entry] = np.where(pair[place] == key, index[place], -1)
        return found

    def as_plain(self) -> list[dict[str, Any]]:
        """Convert to lists, texts and numbers for JSON and checkpoints, without loss of precision."""
        return [
            {name: list(value) if isinstance(value, tuple) else value for name, value in vars(measure).items()}
            for measure in self.measures
        ]

    @classmethod
    def from_plain(cls, plain: Any) -> FittedValues:
        """Check and convert what ``as_plain`` wrote.

        Args:
            plain: Value read from a file, of any type.

        Raises:
            ValueError: If a part is missing, has the wrong type, or does not fit to the others.
        """
        if not isinstance(plain, list):
            raise ValueError("values must be a list of measures")
        measures = tuple(_measure(each) for each in plain)
        pairs = [(measure.code, measure.unit) for measure in measures]
        if any(one >= other for one, other in pairwise(pairs)):
            raise ValueError("the measures must be sorted by code and unit, each once")
        return cls(measures)


def _measure(plain: Any) -> Measure:
    names = ("code", "unit", "low", "high", "edges", "bin_values", "knots", "scores")
    if not isinstance(plain, dict) or plain.keys() != set(names):
        raise ValueError(f"a measure must have exactly the parts {', '.join(names)}")
    if not isinstance(plain["code"], str) or not isinstance(plain["unit"], str):
        raise ValueError("the code and the unit of a measure must be texts")
    edges, knots, scores = (_finite(name, plain[name]) for name in ("edges", "knots", "scores"))
    low, high = _finite("low and high", [plain["low"], plain["high"]])
    values = plain["bin_values"]
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise ValueError("bin_values must be a list of whole numbers")
    if len(values) != len(edges) + 1 or len(knots) != len(scores) or low > high:
        raise ValueError("the parts of a measure must have lengths that fit together, and low must not exceed high")
    if any(one >= other for part in (edges, knots) for one, other in pairwise(part)):
        raise ValueError("edges and knots must rise")
    return Measure(plain["code"], plain["unit"], low, high, edges, tuple(values), knots, scores)


def _finite(name: str, values: Any) -> tuple[float, ...]:
    # Within single precision, in which values are compared.
    largest = float(np.finfo(np.float32).max)
    if not isinstance(values, list) or not all(type(value) in {int, float} for value in values):
        raise ValueError(f"{name} must be numbers")
    if not all(math.isfinite(value) and abs(value) <= largest for value in values):
        raise ValueError(f"{name} must be numbers within single precision")
    return tuple(float(value) for value in values)


def padded_edges(measures: Sequence[Measure]) -> Float32[np.ndarray, "measure edge"]:
    """Return the edges of all measures as one array, filled up with infinity.

    Args:
        measures: The measures.
    """
    most = max((len(measure.edges) for measure in measures), default=0)
    edges = np.full((len(measures), most), np.inf, dtype=np.float32)
    for row, measure in enumerate(measures):
        edges[row, : len(measure.edges)] = measure.edges
    return edges


def bin_numbers(
    edges: Float32[np.ndarray, "measure edge"], measure: Int[np.ndarray, " entry"], value: Float32[np.ndarray, " entry"]
) -> Int32[np.ndarray, " entry"]:
    """Return the bin of each value, from 0.

    Args:
        edges: ``padded_edges`` of the measures.
        measure: Index of each entry's measure.
        value: Finite value of each entry, in single precision, so that an edge that was written with few digits equals
            the value that it stands for.
    """
    number = np.zeros(len(value), dtype=np.int32)
    for column in edges.T:
        number += value >= column[measure]
    return number
