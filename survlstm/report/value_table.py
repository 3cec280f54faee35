"""The counts of values and the fitted bins, as a line of the log, as values.csv and as rows of the page."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import pandas as pd

from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.values.counts import MeasureCount, ValueCounts
from survlstm.data.values.descriptions import intervals_in_words
from survlstm.data.values.fit import why_no_bins
from survlstm.data.values.measures import bin_intervals
from survlstm.report.formatting import format_count
from survlstm.utils.formatting import format_subjects

VALUES = "values.csv"
# Type of each column.
COLUMNS: dict[Hashable, type[object]] = {
    "code": str,
    "description": str,
    "unit": str,
    "bins": str,
    "training_values_per_bin": str,
    "has_columns": bool,
    "values": int,
    "far_outside": int,
    "visits_with_several": int,
    "entries_of_code": int,
    "texts": int,
    "infinite": int,
    "without_value": int,
    "subjects_with_several_units": str,
    "note": str,
}


@dataclass(frozen=True)
class MeasureRow:
    """A measure with everything that tables say about it.

    Attributes:
        count: Its counts and its bins.
        description: Description of its code; "" if unknown.
        note: Why it has no bins; "" if it has some.
    """

    count: MeasureCount
    description: str
    note: str

    @property
    def bins(self) -> list[tuple[str, int]]:
        """Each bin in words, with the number of its training values; empty without bins."""
        words = intervals_in_words(self.count.edges)
        return list(zip(words, self.count.bin_values, strict=True)) if words else []

    @property
    def irregular(self) -> tuple[str, ...]:
        """What is counted apart from the values, in words; only what occurs."""
        count = self.count
        subjects = count.subjects_with_several_units
        parts = (
            (count.far_outside, f"{count.far_outside:,} far outside"),
            (count.visits_with_several, f"{format_count(count.visits_with_several, 'visit')} with several values"),
            (count.without_value, f"{count.without_value:,} of {count.entries_of_code:,} entries without a value"),
            (count.texts, f"{count.texts:,} as text"),
            (count.infinite, f"{count.infinite:,} infinite"),
            (subjects, f"{format_subjects(subjects)} subjects with several units"),
        )
        return tuple(words for number, words in parts if number)


def value_rows(
    counts: ValueCounts, descriptions: Mapping[str, str], settings: PreparationSettings
) -> tuple[MeasureRow, ...]:
    """Describe the measures, the most frequent one first.

    Args:
        counts: Counts of the values.
        descriptions: Description by code.
        settings: Settings with which the bins were fitted.
    """
    ordered = sorted(counts.measures, key=lambda each: (-each.values, each.code, each.unit))
    return tuple(
        MeasureRow(
            each,
            descriptions.get(each.code, ""),
            ""
            if each.edges
            else why_no_bins(sum(each.bin_values), settings.values, min_frequency=settings.min_frequency),
        )
        for each in ordered
    )


def value_table(rows: tuple[MeasureRow, ...]) -> pd.DataFrame:
    """Arrange the measures as values.csv has them.

    Texts, infinite numbers, entries without a value and subjects with several units are those of the code, in any unit.
    A number of one to nine subjects is not given.

    Args:
        rows: The measures.

    Returns:
        One row per measure with the columns ``COLUMNS``; ``bins`` and ``training_values_per_bin`` are texts, whose
        parts are separated by a semicolon and a space.
    """
    return pd.DataFrame([_cells(row) for row in rows], columns=list(COLUMNS)).astype(COLUMNS)


def _cells(row: MeasureRow) -> dict[str, object]:
    count = row.count
    same = ("code", "unit", "has_columns", "values", "far_outside", "visits_with_several", "entries_of_code")
    return {name: getattr(count, name) for name in (*same, "texts", "infinite", "without_value")} | {
        "description": row.description,
        "bins": "; ".join(bin_intervals(count.edges)),
        "training_values_per_bin": "; ".join(str(number) for number in count.bin_values),
        "subjects_with_several_units": format_subjects(count.subjects_with_several_units).replace(",", ""),
        "note": row.note,
    }


def values_in_words(counts: ValueCounts) -> str:
    """Write the totals as the log has them.

    Args:
        counts: Counts of the values.

    Returns:
        Text such as ``1,234; in bins 1,000; in columns 900; code alone: … 200, other unit 34; …``.
    """
    return (
        f"{counts.numbers:,}; in bins {counts.in_bins:,}; in columns {counts.in_columns:,}; code alone: "
        f"{why_unfitted(counts)} {counts.unfitted:,}, other unit {counts.other_unit:,}; far outside "
        f"{counts.far_outside:,} (bounded); text in place of a number {counts.texts:,}; infinite {counts.infinite:,}"
    )


def why_unfitted(counts: ValueCounts) -> str:
    """Say why numbers in a known unit are the code alone.

    Args:
        counts: Counts of the values.
    """
    only_columns = counts.in_columns > 0 and not any(each.edges for each in counts.measures)
    return "too few, equal or of no measure with columns" if only_columns else "too few values or hardly different"
