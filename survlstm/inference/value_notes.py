"""Sentences about the values of records: how many a model reads as the code alone, or bounds."""

from __future__ import annotations

from dataclasses import dataclass

from survlstm.data.values.counts import ValueCounts


@dataclass(frozen=True)
class ReadValues:
    """Numbers of values that a model reads.

    Attributes:
        numbers: number of entries with a number; 0 for a model that uses no values.
        other_unit: those of them that are read as the code alone, because of their unit.
        far_outside: those of them far outside of the training's values.
    """

    numbers: int = 0
    other_unit: int = 0
    far_outside: int = 0

    @classmethod
    def of(cls, counts: ValueCounts | None) -> ReadValues:
        """Take the numbers from the counts of a preparation.

        Args:
            counts: counts of the values; None if the model uses no values.
        """
        return cls() if counts is None else cls(counts.numbers, counts.other_unit, counts.far_outside)

    def plus(self, other: ReadValues) -> ReadValues:
        """Add the numbers of other records.

        Args:
            other: numbers of records that are not among these.
        """
        return ReadValues(
            self.numbers + other.numbers, self.other_unit + other.other_unit, self.far_outside + other.far_outside
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each of ``other_unit`` and ``far_outside`` that is above 0."""
        notes = []
        if self.other_unit:
            notes.append(
                f"{self.other_unit:,} of {self.numbers:,} values have no unit, or one in which the training had no "
                "values of their code or too few, although it had some in another: they are read as the code alone. "
                "Give them in the unit of the training"
            )
        if self.far_outside:
            notes.append(
                f"{self.far_outside:,} of {self.numbers:,} values are far outside of the training's values of their "
                "code and unit: they are read as the lowest or the highest of those. Check their units"
            )
        return tuple(notes)
