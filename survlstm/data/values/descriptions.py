"""Describe the fused codes of values."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from survlstm.data.values.measures import FittedValues, Measure, format_edge


def with_fused_codes(descriptions: Mapping[str, str], fitted: FittedValues | None) -> dict[str, str]:
    """Add descriptions of fused codes, such as "Creatinine (0.8 to 1.1 mg/dL)", to those of a source.

    Args:
        descriptions: Description by code.
        fitted: The measures; None if values are not used.

    Returns:
        Description by code; a fused code has one if its code has one.

    Example:
        >>> with_fused_codes({"LOINC/2160-0": "Creatinine"}, fitted)["LOINC/2160-0//mg/dL//value_[0.8,1.1)"]
        'Creatinine (0.8 to 1.1 mg/dL)'
    """
    described = dict(descriptions)
    for measure in fitted.measures if fitted else ():
        text = descriptions.get(measure.code)
        if text:
            described |= dict(
                zip(measure.bin_codes, (f"{text} ({bounds})" for bounds in _intervals(measure)), strict=True)
            )
    return described


def _intervals(measure: Measure) -> list[str]:
    """Return the interval of each bin in words; none without bins."""
    if not measure.edges:
        return []
    edges = [format_edge(edge) for edge in measure.edges]
    unit = f" {measure.unit}" if measure.unit else ""
    inner = [f"{low} to {high}{unit}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}{unit}", *inner, f"{edges[-1]}{unit} or more"]
