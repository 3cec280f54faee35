"""A C-index → how the guide reads it."""

from __future__ import annotations

import math

# (upper end of the band, reading, clinical utility); the guide's table, its gap between 0.50 and 0.55 filled.
BANDS = (
    (0.45, "worse than random: ranks the wrong way round", "harmful"),
    (0.55, "random (coin flip)", "useless"),
    (0.60, "weak signal", "limited utility"),
    (0.70, "moderate discrimination", "useful for stratification"),
    (0.80, "good discrimination", "a C-index alone is no ground for action"),
    (math.inf, "excellent (rare in health records)", "high confidence predictions"),
)


def interpret_c_index(c_index: float) -> str:
    """Reading and clinical utility of the band a C-index falls in; a lower end belongs to its band."""
    if math.isnan(c_index):
        return "undefined: no comparable pair of subjects"
    return next(f"{reading}; {utility}" for upper, reading, utility in BANDS if c_index < upper)
