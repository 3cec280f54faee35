"""Numerical features of each visit, beside its codes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64

from survlstm.data.visits import Visits

DAY_SECONDS = 86400.0
DAYS_PER_YEAR = 365.25
# Features are years, and logarithms of days and counts. A smaller spread is the rounding error of equal numbers.
LEAST_SPREAD = 1e-9
# New ones go to the end: stored states and models know a column by its position.
FEATURES = (
    "log_days_since_last",
    "log_days_since_first",
    "age",
    "log_codes",
    "log_visit_number",
    "log_codes_so_far",
    "log_distinct_codes_so_far",
    "log_codes_per_visit",
    "log_visits_per_year",
    "share_distinct_codes",
)
# Columns of each prediction time of the days clock, beside what its last visit holds.
PREDICTION_FEATURES = ("log_days_since_last_visit",)


def visit_features(visits: Visits) -> Float64[np.ndarray, "visit feature"]:
    """Compute the features of each visit, before they are standardised.

    Args:
        visits: Visits of some subjects; every visit has at least one code.

    Returns:
        One row per visit and one column per name in ``FEATURES``: ``log(1 + days since the previous visit)`` (0 at the
        first), ``log(1 + days since the first visit)``, the age in years (NaN if no birth is known), ``log(number of
        codes)``, ``log(1 + n)`` of the visit number ``n``, counted from 0; and, of the visits up to and including this
        one, the logarithms of the number of codes, of the number of distinct codes, of the codes per visit and of the
        visits per year, and the share of distinct codes among the codes. A year is added to the time in the visits per
        year; otherwise they would be infinite at the first visit.
    """
    owner = visits.visit_subject
    first_visit = visits.visit_offsets[:-1][owner]
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    since_first = (seconds - seconds[first_visit]) / DAY_SECONDS
    since_last = np.diff(since_first, prepend=0.0)
    number = np.arange(len(owner)) - first_visit
    since_last[number == 0] = 0.0
    # NaN if no birth is known; a model that uses the age can't predict for such a subject.
    age = (visits.visit_time - visits.subjects.birth[owner]) / np.timedelta64(1, "s") / DAY_SECONDS / DAYS_PER_YEAR
    codes = visits.code_offsets[1:] - visits.code_offsets[:-1][first_visit]
    distinct = distinct_code_counts(visits, np.ones(len(visits.code), dtype=bool))
    years = since_first / DAYS_PER_YEAR
    return np.column_stack(
        [
            np.log1p(since_last),
            np.log1p(since_first),
            age,
            np.log(visits.codes_per_visit),
            np.log1p(number),
            np.log(codes),
            np.log(distinct),
            np.log(codes / (number + 1)),
            np.log((number + 1) / (1 + years)),
            distinct / codes,
        ]
    )


def distinct_code_counts(visits: Visits, counted: Bool[np.ndarray, " code"]) -> Float64[np.ndarray, " visit"]:
    """Count the distinct codes in the history up to each visit.

    Args:
        visits: Visits of the cohort.
        counted: Entries to count; the others are ignored.

    Returns:
        Number of different codes among the counted entries of each visit and the visits of its subject before it.
    """
    owner = visits.visit_subject
    entry = np.flatnonzero(counted)
    code_owner = np.repeat(owner, visits.codes_per_visit)[entry]
    _, first_seen = np.unique(code_owner * len(visits.codes) + visits.code[entry], return_index=True)
    # 1 after each entry that has a code for the first time in its subject's record, so that the sum counts them.
    is_new = np.zeros(len(visits.code) + 1)
    is_new[entry[first_seen] + 1] = 1
    new_codes = np.cumsum(is_new)
    before = visits.code_offsets[:-1][visits.visit_offsets[:-1][owner]]
    return new_codes[visits.code_offsets[1:]] - new_codes[before]


def prediction_features(time: np.ndarray, last_visit: np.ndarray) -> Float64[np.ndarray, "row feature"]:
    """Compute the features of each prediction time, before they are standardised.

    Args:
        time: ``datetime64[s]`` [row], the prediction times.
        last_visit: ``datetime64[s]`` [row], the time of the last visit on or before each.

    Returns:
        One row per prediction time and one column per name in ``PREDICTION_FEATURES``: ``log(1 + days since the last
        visit)``.
    """
    days = (time - last_visit) / np.timedelta64(1, "s") / DAY_SECONDS
    return np.log1p(days)[:, None]


def column_scale(
    features: Float64[np.ndarray, "visit feature"],
) -> tuple[Float64[np.ndarray, " feature"], Float64[np.ndarray, " feature"]]:
    """Compute the mean and the standard deviation of each column.

    Args:
        features: Features of the training visits.

    Returns:
        Means, and standard deviations; 0 for a column that does not vary.
    """
    spread = features.std(axis=0)
    return features.mean(axis=0), np.where(spread < LEAST_SPREAD, 0.0, spread)


def standardise(
    features: Float64[np.ndarray, "visit feature"],
    *,
    mean: Float64[np.ndarray, " feature"],
    spread: Float64[np.ndarray, " feature"],
) -> Float32[np.ndarray, "visit feature"]:
    """Subtract the mean of each column and divide by its standard deviation.

    Args:
        features: Features as ``visit_features`` returns them.
        mean: Mean of each column among the training visits.
        spread: Standard deviation of each column among the training visits. If it is 0, every value of
            the column becomes 0.

    Returns:
        Features of the same shape and order, without unit; NaN stays NaN.
    """
    return ((features - mean) / np.where(spread > 0, spread, np.inf)).astype(np.float32)
