"""The task of a run on the days clock in words, and the counts of its prediction times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from survlstm.data.prepared_data import PredictionTimeCounts
from survlstm.report.formatting import format_short, format_times
from survlstm.report.task import TimeRules
from survlstm.utils.time_rules import TimeSpec, parse_times

# With more intervals only the end of the last one is named.
MOST_EDGES = 12
WEIGHTS = (
    "Every prediction time counts the same, so that a subject with more of them counts more. Two prediction times of "
    "one subject are not compared with each other. The bootstrap draws subjects with all their prediction times."
)
CENSORING = (
    "A prediction time whose follow-up ends inside an interval counts for the share of the interval that was observed, "
    "as if the rate of the event were constant within the interval."
)
AT_RISK = (
    "Only times at which the subject has had a visit, is under follow-up and has not had the event. A subject that "
    "has the event later counts with it at each of its earlier prediction times."
)


def describe_days_task(
    rules: TimeRules, counts: PredictionTimeCounts, edge_days: Float64[np.ndarray, " edge"], *, outcome: str
) -> dict[str, str]:
    """Describe what is predicted, when, and how prediction times count.

    Args:
        rules: Rules of the prediction times.
        counts: Counts of the prediction times.
        edge_days: 0, then the end of each interval.
        outcome: Name of the outcome.

    Returns:
        Sentences by the name of what they describe.
    """
    intervals = len(edge_days) - 1
    ends = tuple(edge_days[1:].tolist()) if intervals <= MOST_EDGES else (float(edge_days[-1]),)
    which = "The intervals end" if intervals <= MOST_EDGES else "The last one ends"
    only = f" Only evaluated: {_in_words(rules.evaluated)}." if rules.evaluated else ""
    return {
        "Predicted": f"The probability of the event ({outcome}) in each of {intervals} intervals after a prediction "
        "time, from the visits dated on or before it and the days since the last of them.",
        "Prediction times": f"Trained on: {_in_words(rules.trained)}.{only} A subject has a median of "
        f"{format_short(counts.per_subject)} to train on, at most {counts.most_per_subject:,}.",
        "At risk": AT_RISK,
        "Intervals": f"{which} {format_times(ends, 'days')} after the prediction time.",
        "Weight": WEIGHTS,
        "Censoring": CENSORING,
    }


def count_in_words(counts: PredictionTimeCounts) -> str:
    """Return the counts of the prediction times as one line of the log.

    Args:
        counts: Counts of the prediction times.

    Returns:
        The line, without reasons that leave nothing out.
    """
    left_out = "; ".join(f"{reason} {number:,}" for reason, number in counts.left_out.items() if number)
    evaluated = f"; only evaluated: {counts.evaluated:,}" if counts.evaluated else ""
    return (
        f"{counts.made:,}; left out: {left_out or 'none'}; trained on: {counts.trained:,} (median "
        f"{format_short(counts.per_subject)} of a subject, at most {counts.most_per_subject:,}){evaluated}"
    )


def _in_words(rules: Sequence[str]) -> str:
    return ", ".join(_rule_in_words(parse_times(rule)) for rule in rules)


def _rule_in_words(rule: TimeSpec) -> str:
    return {
        "visit": f"visit {rule.number:g} (0 = the first)",
        "every_visit": "every visit",
        "day": f"{rule.number:g} days after the first visit",
        "every_days": f"every {rule.number:g} days after the first visit",
        "as_of": f"the end of {rule.place}",
        "last": "the last visit",
        "file": f"the times of {Path(rule.place).name}",
    }[rule.kind]
