"""Visits → numbers beside the codes of each visit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from survlstm.data.visits import Visits

DAY_SECONDS = 86400.0
FEATURES = ("log_days_since_last", "log_days_since_first", "age", "log_codes", "log_visit_number")


def visit_features(visits: Visits) -> Float64[np.ndarray, "visit feature"]:
    """The columns of ``FEATURES``: log(1 + days) twice, age in years, log codes, log number."""
    owner = visits.visit_subject
    first_visit = visits.visit_offsets[:-1][owner]
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    since_first = (seconds - seconds[first_visit]) / DAY_SECONDS
    since_last = np.diff(since_first, prepend=0.0)
    number = np.arange(len(owner)) - first_visit
    since_last[number == 0] = 0.0
    # NaN where no birth is known: a model that reads the age can't be asked then.
    age = (visits.visit_time - visits.subjects.birth[owner]) / np.timedelta64(1, "s") / DAY_SECONDS / 365.25
    return np.column_stack(
        [np.log1p(since_last), np.log1p(since_first), age, np.log(visits.codes_per_visit), np.log1p(number)]
    )


def standardise(
    features: Float64[np.ndarray, "visit feature"],
    *,
    mean: Float64[np.ndarray, " feature"],
    spread: Float64[np.ndarray, " feature"],
) -> Float32[np.ndarray, "visit feature"]:
    """Each column less its mean, in units of its spread; 0 where the spread is 0, whatever the value."""
    return ((features - mean) / np.where(spread > 0, spread, np.inf)).astype(np.float32)
