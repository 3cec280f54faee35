"""Values → the words and digits that a page shows; what is missing becomes a dash, never a 0."""

from __future__ import annotations

import math

from survlstm.evaluation.results import Estimate, Interval
from survlstm.utils.formatting import MISSING

MINUS = "\N{MINUS SIGN}"


def format_number(value: float | None, digits: int = 3) -> str:
    """A figure with a fixed number of digits and a true minus sign."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    written = f"{value:,.{digits}f}"
    # -0.0004 is written 0.000, without a sign that nothing stands behind.
    return written.replace("-", MINUS) if written.strip("-0.,") else written.lstrip("-")


def format_short(value: float | None) -> str:
    """A time, a size or a learning rate with as many digits as it needs."""
    if value is None or not math.isfinite(value):
        return format_number(value)
    if value and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.3g}".replace("-", MINUS)
    whole = float(value).is_integer() or abs(value) >= 1000
    return (f"{value:,.0f}" if whole else f"{value:,.4g}").replace("-", MINUS)


def format_interval(bounds: Interval | None) -> str:
    """Both ends in words, because a dash between them reads as a minus."""
    return MISSING if bounds is None else f"{format_number(bounds.low)} to {format_number(bounds.high)}"


def format_estimate(figure: Estimate | None) -> str:
    """A figure and its interval on one line."""
    if figure is None:
        return MISSING
    return format_number(figure.value) + (f" ({format_interval(figure.interval)})" if figure.interval else "")


def format_p_value(value: float | None) -> str:
    """As journals write it: nothing finer than a thousandth."""
    if value is None or math.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.001 else format_number(value)


def format_signed(value: float | None) -> str:
    """A difference with its sign; one that is rounded to 0 has none."""
    written = format_number(value)
    return f"+{written}" if value is not None and value > 0 and written.strip("0.") else written


def format_count(count: int, what: str) -> str:
    """1 event, 2 events."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def format_time(value: float, unit: str) -> str:
    """A horizon with its unit: 1 step, 365 days."""
    return f"{format_short(value)} {unit[:-1] if value == 1 else unit}"


def format_times(values: tuple[float, ...], unit: str) -> str:
    """Several horizons: 1, 3 and 5 steps."""
    if not values:
        return MISSING
    *first, last = values
    return (f"{', '.join(format_short(value) for value in first)} and " if first else "") + format_time(last, unit)


def format_since(landmark: str) -> str:
    """From visit 3, from day 365; the one landmark of the landmark clock has no other name."""
    return "from the landmark" if landmark == "landmark" else f"from {landmark}"
