"""Interpretation of a C-index by the bands of docs/training_guide.md."""

from __future__ import annotations

import math

# (upper end of the band, interpretation, clinical use), as in the training guide with its gap from 0.50 to 0.55 filled.
BANDS = (
    (0.45, "worse than random: ranks the wrong way round", "harmful"),
    (0.55, "random (coin flip)", "useless"),
    (0.60, "weak signal", "limited utility"),
    (0.70, "moderate discrimination", "useful for stratification"),
    (0.80, "good discrimination", "a C-index alone is no ground for action"),
    (math.inf, "excellent (rare in health records)", "high confidence predictions"),
)


def interpret_c_index(c_index: float) -> str:
    """Return the interpretation of a C-index.

    Args:
        c_index: The C-index; NaN where no two subjects can be compared.

    Returns:
        Interpretation and clinical use of its band. A band includes its lower end.
    """
    if math.isnan(c_index):
        return "undefined: no comparable pair of subjects"
    return next(f"{interpretation}; {use}" for upper, interpretation, use in BANDS if c_index < upper)
