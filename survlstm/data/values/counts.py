"""Counts of values: how many are used, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64

from survlstm.data.events import ValueFault
from survlstm.data.values.apply import has_bins
from survlstm.data.values.measures import FittedValues
from survlstm.data.visits import Visits
from survlstm.utils.stored_files import parse_fields


@dataclass(frozen=True)
class MeasureCount:
    """Counts of one measure over all subjects that take part, and its bins.

    Attributes:
        code: Its code.
        unit: Its unit; "" for none.
        edges: Edges between its bins; empty without bins.
        bin_values: Number of training values in each bin.
        has_columns: Whether it has feature columns.
        values: Number of its values.
        far_outside: Those of them far outside of the training values, see ``Measure.limits``.
        visits_with_several: Number of visits with several values of it.
        entries_of_code: Number of entries of its code, in any unit, with a number or without.
        texts: Those of them with a text in place of a number.
        infinite: Those of them with an infinite number.
        without_value: Those of them without any value.
        subjects_with_several_units: Number of subjects with values of its code in several units.
    """

    code: str
    unit: str
    edges: tuple[float, ...]
    bin_values: tuple[int, ...]
    has_columns: bool
    values: int
    far_outside: int
    visits_with_several: int
    entries_of_code: int
    texts: int
    infinite: int
    without_value: int
    subjects_with_several_units: int


@dataclass(frozen=True)
class ValueCounts:
    """Counts of all entries with a value.

    Attributes:
        numbers: Number of entries with a number.
        in_bins: Those of them that got a fused code.
        in_columns: Those of them whose measure has columns.
        other_unit: Those of them in a unit that the training did not have enough values in, although it has the code in
            another unit; they are the code alone.
        far_outside: Those of them far outside of the training values; they count as the nearest bin or bound.
        texts: Number of entries with a text in place of a number.
        infinite: Number of entries with an infinite number.
        measures: Counts of each measure.
    """

    numbers: int
    in_bins: int
    in_columns: int
    other_unit: int
    far_outside: int
    texts: int
    infinite: int
    measures: tuple[MeasureCount, ...]

    @property
    def used(self) -> int:
        """Number of entries with a number that is in a bin, in columns, or in both."""
        return sum(each.values for each in self.measures if each.edges or each.has_columns)

    @property
    def unfitted(self) -> int:
        """Number of entries with a number that are the code alone, for another reason than their unit.

        The training has too few values of their measure, or values that are hardly different, or, without bins, other
        measures have the columns.
        """
        return self.numbers - self.used - self.other_unit

    @classmethod
    def from_plain(cls, plain: Any) -> ValueCounts:
        """Check and convert the plain values of ``dataclasses.asdict``.

        Args:
            plain: Value read from a file, of any type.

        Raises:
            ValueError: If a part is missing or has the wrong type.
        """
        if not isinstance(plain, dict) or not isinstance(plain.get("measures"), list):
            raise ValueError("counts of values must hold a list of measures")
        lists = ("edges", "bin_values")
        measures = tuple(
            parse_fields(MeasureCount, {**each, **{name: tuple(each[name]) for name in lists}})
            for each in plain["measures"]
        )
        return parse_fields(cls, {**plain, "measures": measures})


def count_values(visits: Visits, fitted: FittedValues, measure: Int32[np.ndarray, " entry"]) -> ValueCounts:
    """Count the values of visits.

    Args:
        visits: Visits of the subjects that take part, without fused codes.
        fitted: The measures.
        measure: ``fitted.find(visits)``.
    """
    is_number = ~np.isnan(visits.value)
    is_far = _is_far(visits, fitted, measure)
    known_codes = np.array(sorted({each.code for each in fitted.measures}), dtype=np.str_)
    has_measure = np.isin(visits.codes.astype(np.str_), known_codes)[visits.code]
    of_columns = np.array([bool(each.knots) for each in fitted.measures] + [False])[measure]
    return ValueCounts(
        numbers=int(is_number.sum()),
        in_bins=int(has_bins(fitted, measure).sum()),
        in_columns=int(of_columns.sum()),
        other_unit=int((is_number & has_measure & (measure < 0)).sum()),
        far_outside=int(is_far.sum()),
        texts=int((visits.value_fault == ValueFault.TEXT).sum()),
        infinite=int((visits.value_fault == ValueFault.INFINITE).sum()),
        measures=_count_measures(visits, fitted, measure, is_far),
    )


def _is_far(visits: Visits, fitted: FittedValues, measure: Int32[np.ndarray, " entry"]) -> Bool[np.ndarray, " entry"]:
    limits = np.array([each.limits for each in fitted.measures] + [(-np.inf, np.inf)])
    entry = np.flatnonzero(measure >= 0)
    low, high = limits[measure[entry]].T
    is_far = np.zeros(len(measure), dtype=bool)
    is_far[entry] = (visits.value[entry] < low) | (visits.value[entry] > high)
    return is_far


def _count_measures(
    visits: Visits, fitted: FittedValues, measure: Int32[np.ndarray, " entry"], is_far: Bool[np.ndarray, " entry"]
) -> tuple[MeasureCount, ...]:
    number = len(fitted.measures)
    known = measure >= 0
    visit = visits.entry_visit
    pairs, times = np.unique(visit[known] * number + measure[known], return_counts=True)
    several = np.bincount(pairs[times > 1] % max(number, 1), minlength=number)
    values, far = (np.bincount(measure[chosen], minlength=number) for chosen in (known, known & is_far))
    by_code = {
        name: np.bincount(visits.code[chosen], minlength=len(visits.codes))
        for name, chosen in {
            "entries_of_code": np.ones(len(visits.code), dtype=bool),
            "texts": visits.value_fault == ValueFault.TEXT,
            "infinite": visits.value_fault == ValueFault.INFINITE,
            "without_value": np.isnan(visits.value) & (visits.value_fault == ValueFault.NONE),
        }.items()
    } | {"subjects_with_several_units": _several_units(visits)}
    place = {str(code): index for index, code in enumerate(visits.codes)}
    return tuple(
        MeasureCount(
            each.code,
            each.unit,
            each.edges,
            each.bin_values,
            has_columns=bool(each.knots),
            values=int(values[index]),
            far_outside=int(far[index]),
            visits_with_several=int(several[index]),
            **{name: int(counts[place[each.code]]) if each.code in place else 0 for name, counts in by_code.items()},
        )
        for index, each in enumerate(fitted.measures)
    )


def _several_units(visits: Visits) -> Int64[np.ndarray, " code"]:
    """Count the subjects that have numbers of a code in several units, for each code."""
    entry = np.flatnonzero(~np.isnan(visits.value))
    owner = visits.visit_subject[visits.entry_visit[entry]]
    units, codes = len(visits.units), len(visits.codes)
    triples = np.unique((owner * codes + visits.code[entry]) * units + visits.unit[entry])
    pairs, number = np.unique(triples // units, return_counts=True)
    return np.bincount(pairs[number > 1] % codes, minlength=codes)
