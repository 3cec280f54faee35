"""Settings of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ValueForm = Literal["none", "bins", "continuous", "both"]


@dataclass(frozen=True)
class ValueSettings:
    """How values become inputs.

    Attributes:
        form: ``bins`` adds fused codes, ``continuous`` adds feature columns, ``both`` adds both, ``none`` neither.
        most_bins: Greatest number of bins of a measure.
        min_values_per_bin: Fewest training values in a bin.
        most_columns: Greatest number of measures that get feature columns.
    """

    form: ValueForm = "none"
    most_bins: int = 5
    min_values_per_bin: int = 20
    most_columns: int = 20

    def fewest_values(self, min_frequency: int) -> int:
        """Return the number of training values that a measure needs, and each of its bins.

        Args:
            min_frequency: Fewest entries of a code in the vocabulary, which a bin must not fall short of.
        """
        return max(self.min_values_per_bin, min_frequency)

    @property
    def with_bins(self) -> bool:
        """Whether fused codes are added."""
        return self.form in ("bins", "both")

    @property
    def with_columns(self) -> bool:
        """Whether feature columns are added."""
        return self.form in ("continuous", "both")
