"""Visits → numbers beside the codes of each visit, standardised on the training subjects."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32

from survlstm.data.visits import Visits

DAY_SECONDS = 86400.0
FEATURES = ("log_days_since_last", "log_days_since_first", "age", "log_codes", "log_visit_number")


def visit_features(
    visits: Visits, *, is_training: Bool[np.ndarray, " subject"]
) -> Float32[np.ndarray, "visit feature"]:
    """The columns of ``FEATURES``: log(1 + days) twice, age in years, log codes, log number; each with the mean 0 and
    the standard deviation 1 among the training visits (a column that never varies there is 0)."""
    owner = visits.visit_subject
    first_visit = visits.visit_offsets[:-1][owner]
    seconds = visits.visit_time.astype("datetime64[s]").astype(np.int64)
    since_first = (seconds - seconds[first_visit]) / DAY_SECONDS
    since_last = np.diff(since_first, prepend=0.0)
    number = np.arange(len(owner)) - first_visit
    since_last[number == 0] = 0.0
    age = (
        (visits.visit_time - visits.subjects.birth[owner]).astype("timedelta64[s]").astype(np.int64)
        / DAY_SECONDS
        / 365.25
    )
    columns = np.column_stack(
        [np.log1p(since_last), np.log1p(since_first), age, np.log(visits.codes_per_visit), np.log1p(number)]
    )
    training = columns[is_training[owner]]
    spread = training.std(axis=0)
    return ((columns - training.mean(axis=0)) / np.where(spread > 0, spread, np.inf)).astype(np.float32)
