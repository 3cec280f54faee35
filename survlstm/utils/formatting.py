"""Format durations, costs and numbers of subjects, in logs and in tables alike."""

from __future__ import annotations

import math

# What a table shows where there is no value: never a 0.
MISSING = "\N{EN DASH}"
# Smaller numbers of subjects with a code are not shown, because a rare code could identify a subject.
FEWEST_SHOWN = 10


def format_duration(seconds: float | None) -> str:
    """Format a duration with the units that its length needs.

    Args:
        seconds: The duration; None if unknown.

    Returns:
        The text, as in "4.2 s", "43 s", "3 min 20 s" or "2 h 05 min"; a dash for None.
    """
    if seconds is None:
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_dollars(cost: float | None) -> str:
    """Format a cost with the digits that its size needs.

    Args:
        cost: The cost in US dollars; None if unknown.

    Returns:
        The text, as in "$12.30", below ten cents "$0.012", below a tenth of a cent "$0.00021"; a dash for None.
    """
    if cost is None:
        return MISSING
    if cost >= 0.1 or cost <= 0:
        return f"${cost:,.2f}"
    decimals = 3 if cost >= 0.001 else 1 - math.floor(math.log10(cost))
    return f"${cost:.{decimals}f}"


def format_subjects(subjects: int) -> str:
    """Format a number of subjects that share something rare.

    Args:
        subjects: The number.

    Returns:
        The text, "fewer than 10" for 1 to 9.
    """
    return f"{subjects:,}" if subjects >= FEWEST_SHOWN or not subjects else f"fewer than {FEWEST_SHOWN}"
