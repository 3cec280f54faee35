"""Arrange the counts of what the preparation left out as a table."""

from __future__ import annotations

import pandas as pd


def exclusion_table(
    subjects: list[tuple[str, int, int]],
    *,
    visits: dict[str, int],
    entries: dict[str, int],
    prediction_times: dict[str, int] | None = None,
) -> pd.DataFrame:
    """Arrange the counts of what the preparation left out.

    Args:
        subjects: Reason, number of subjects and number of them with the event, in the order of the rules.
        visits: Number of visits by reason.
        entries: Number of coded entries by reason.
        prediction_times: Number of prediction times by reason; None, or none, on the other clocks.

    Returns:
        One row per reason with the columns ``counted`` (subjects, visits, entries or prediction times), ``reason``,
        ``number`` and ``events``; ``events`` is missing except for subjects.
    """
    rows: list[tuple[str, str, int, int | None]] = [("subjects", *rule) for rule in subjects]
    rows += [("visits", reason, number, None) for reason, number in visits.items()]
    rows += [("entries", reason, number, None) for reason, number in entries.items()]
    rows += [("prediction times", reason, number, None) for reason, number in (prediction_times or {}).items()]
    table = pd.DataFrame(rows, columns=["counted", "reason", "number", "events"])
    return table.astype({"number": "int64", "events": "Int64"})
