"""Numbers as pages show them; a missing value becomes a dash, never a 0."""

from __future__ import annotations

import math
from pathlib import Path

from survlstm.evaluation.results import Estimate, Interval
from survlstm.utils.formatting import MISSING
from survlstm.utils.time_rules import parse_times

MINUS = "\N{MINUS SIGN}"


def format_number(value: float | None, digits: int = 3) -> str:
    """Format a number with a fixed number of digits and a minus sign.

    Args:
        value: The number; None or NaN if it is missing.
        digits: Digits after the decimal point.

    Returns:
        The text.
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    written = f"{value:,.{digits}f}"
    # A number that rounds to zero, as -0.0004 does, is written without a sign.
    return written.replace("-", MINUS) if written.strip("-0.,") else written.lstrip("-")


def format_short(value: float | None) -> str:
    """Format a time, a size or a learning rate with as many digits as it needs.

    Args:
        value: The number; None or NaN if it is missing.

    Returns:
        The text, with at most four significant digits for a number that is not whole; whole numbers and those from
        1,000 on have no decimals, and very large or very small ones have an exponent.
    """
    if value is None or not math.isfinite(value):
        return format_number(value)
    if value and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.3g}".replace("-", MINUS)
    whole = float(value).is_integer() or abs(value) >= 1000
    return (f"{value:,.0f}" if whole else f"{value:,.4g}").replace("-", MINUS)


def format_interval(bounds: Interval | None) -> str:
    """Format both ends of an interval with "to" between them, because a dash would read as a minus sign.

    Args:
        bounds: The interval; None if it is missing.

    Returns:
        The text, as in "0.712 to 0.803".
    """
    return MISSING if bounds is None else f"{format_number(bounds.low)} to {format_number(bounds.high)}"


def format_estimate(estimate: Estimate | None) -> str:
    """Format a metric with its interval.

    Args:
        estimate: The metric; None if it cannot be computed.

    Returns:
        The text, as in "0.760 (0.712 to 0.803)"; the value alone if it has no interval.
    """
    if estimate is None:
        return MISSING
    return format_number(estimate.value) + (f" ({format_interval(estimate.interval)})" if estimate.interval else "")


def format_p_value(value: float | None) -> str:
    """Format a p-value, no finer than a thousandth.

    Args:
        value: The p-value; None or NaN if it is missing.

    Returns:
        The text, "< 0.001" for a smaller value.
    """
    if value is None or math.isnan(value):
        return MISSING
    return "< 0.001" if value < 0.001 else format_number(value)


def format_signed(value: float | None) -> str:
    """Format a difference with its sign; one that rounds to 0 has none.

    Args:
        value: The difference; None or NaN if it is missing.

    Returns:
        The text with three digits after the decimal point.
    """
    written = format_number(value)
    return f"+{written}" if value is not None and value > 0 and written.strip("0.") else written


def format_count(count: int, what: str, plural: str = "") -> str:
    """Format a count with its noun, as in "1 event" and "2 events".

    Args:
        count: The number.
        what: The noun in the singular.
        plural: Its plural; "" for one that is formed with an s.

    Returns:
        The text.
    """
    return f"{count:,} {what if count == 1 else plural or f'{what}s'}"


def format_time(value: float, unit: str) -> str:
    """Format a time with its unit, as in "1 step" and "365 days".

    Args:
        value: The time.
        unit: Unit in the plural, as in "days"; the last letter is left out for a time of 1.

    Returns:
        The text.
    """
    return f"{format_short(value)} {unit[:-1] if value == 1 else unit}"


def format_times(values: tuple[float, ...], unit: str) -> str:
    """Format several times with their unit, as in "1, 3 and 5 steps".

    Args:
        values: Times in the order in which they are named.
        unit: Unit in the plural, as in "days".

    Returns:
        The text; a dash without times.
    """
    if not values:
        return MISSING
    *first, last = values
    return (f"{', '.join(format_short(value) for value in first)} and " if first else "") + format_time(last, unit)


def format_since(landmark: str) -> str:
    """Format a landmark as a start, as in "from visit 3".

    Args:
        landmark: Name of the landmark; "landmark" on the landmark clock, where it has no name of its own; a rule of
            ``evaluation.times`` on the days clock.

    Returns:
        The text; "from the landmark" on the landmark clock.
    """
    return "from the landmark" if landmark == "landmark" else f"from {format_landmark(landmark)}"


def format_landmark(landmark: str) -> str:
    """Format the name of a landmark, as in "visit 3" and "the times day:365".

    Args:
        landmark: Name of the landmark; a rule of ``evaluation.times`` on the days clock.

    Returns:
        The name; "the times" and the rule for a rule, which is the name of the file for a file.
    """
    try:
        spec = parse_times(landmark)
    except ValueError:
        return landmark
    return f"the times {Path(spec.place).name if spec.kind == 'file' else spec.text}"


def starts_at_prediction_times(landmark: str, unit: str) -> bool:
    """Return whether a landmark is a set of prediction times of the days clock.

    Args:
        landmark: Name of the landmark.
        unit: Unit of its times.

    Returns:
        True for the landmarks in days of any name other than that of the landmark clock.
    """
    return unit == "days" and landmark != "landmark"
