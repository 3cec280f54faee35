"""Checks of the numbers in a stored preprocessing state."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

# Bounds of stored means and spreads. Features are years, and logarithms of days and counts; within these bounds a
# standardised feature fits into single precision.
LARGEST, SMALLEST = 1e4, 1e-30


def check_scale(mean: Float64[np.ndarray, " feature"], spread: Float64[np.ndarray, " feature"]) -> None:
    """Check the means and standard deviations of features.

    Args:
        mean: Mean of each feature.
        spread: Standard deviation of each feature; 0 for a feature that does not vary.

    Raises:
        ValueError: If a mean or a standard deviation is out of range.
    """
    if bool((np.abs(mean) > LARGEST).any() or ((spread != 0) & ((spread < SMALLEST) | (spread > LARGEST))).any()):
        raise ValueError(
            f"the features' means must be at most {LARGEST:g}, and their spreads 0 or {SMALLEST:g} to {LARGEST:g}"
        )


def parse_numbers(name: str, values: Any) -> Float64[np.ndarray, " value"]:
    """Convert a list of numbers that was read from a file.

    Args:
        name: Name of the list, for the message.
        values: Value of any type.

    Returns:
        The numbers in double precision.

    Raises:
        ValueError: If ``values`` is no list of finite numbers.
    """
    if not (isinstance(values, list) and all(type(value) in {int, float} for value in values)):
        raise ValueError(f"{name} must be a list of numbers")
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError as error:
        raise ValueError(f"{name} must contain numbers within the range of double precision") from error
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must contain finite numbers")
    return numbers
