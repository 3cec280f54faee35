"""Describe the fused codes of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from survlstm.data.values.measures import FittedValues, format_edge


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
            intervals = intervals_in_words(measure.edges, measure.unit)
            described |= dict(zip(measure.bin_codes, (f"{text} ({bounds})" for bounds in intervals), strict=True))
    return described


def intervals_in_words(edges: Sequence[float], unit: str = "") -> list[str]:
    """Describe the interval of each bin, as in "below 0.8 mg/dL", "0.8 to 1.1 mg/dL" and "1.1 mg/dL or more".

    Args:
        edges: Edges between the bins, rising.
        unit: The unit; "" for none.

    Returns:
        One text per bin; none without edges.
    """
    if not edges:
        return []
    written = [format_edge(edge) for edge in edges]
    unit = f" {unit}" if unit else ""
    inner = [f"{low} to {high}{unit}" for low, high in pairwise(written)]
    return [f"below {written[0]}{unit}", *inner, f"{written[-1]}{unit} or more"]
