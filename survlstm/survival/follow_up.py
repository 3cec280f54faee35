"""Follow-up, scores and horizons from a caller → nothing, or the sentence that says what is wrong with them.

All lengths are counted in one unit, steps or days; ``event`` False means censored at ``duration``.
"""

from __future__ import annotations

import numpy as np


def check_follow_up(duration: np.ndarray, event: np.ndarray) -> None:
    """ValueError unless both describe the same subjects, with finite durations >= 0 and boolean events."""
    if len(duration) != len(event):
        raise ValueError(f"duration and event must have one entry per subject; found {len(duration)} and {len(event)}")
    if len(duration) == 0:
        raise ValueError("at least one subject is needed; found none")
    if event.dtype != np.bool_:
        raise ValueError(f"event must be boolean, True = event and False = censored; found {event.dtype}")
    _check_finite("duration", duration)
    if (duration < 0).any():
        raise ValueError(
            f"duration must be >= 0; {int((duration < 0).sum())} of {len(duration)} subjects have less "
            f"(min {duration.min()})"
        )


def check_has_event(event: np.ndarray) -> None:
    """ValueError unless at least one subject has the event."""
    if not event.any():
        raise ValueError(f"at least one event is needed; all {len(event)} subjects are censored")


def check_score(score: np.ndarray, *, subjects: int) -> None:
    """ValueError unless every subject has a finite score."""
    if len(score) != subjects:
        raise ValueError(f"score must have one row per subject; found {len(score)} for {subjects} subjects")
    _check_finite("score", score)


def check_probability(survival: np.ndarray, *, subjects: int) -> None:
    """ValueError unless every subject has survival probabilities within 0..1."""
    if len(survival) != subjects:
        raise ValueError(f"survival must have one row per subject; found {len(survival)} for {subjects} subjects")
    _check_finite("survival", survival)
    outside = (survival < 0) | (survival > 1)
    if outside.any():
        raise ValueError(
            f"survival must be a probability within 0..1; {int(outside.sum())} of {survival.size} values are not "
            f"(min {survival.min()}, max {survival.max()})"
        )


def check_increasing(horizon: np.ndarray) -> None:
    """ValueError unless there is at least one horizon and each lies behind the one before."""
    if len(horizon) == 0:
        raise ValueError("at least one horizon is needed; found none")
    _check_finite("horizon", horizon)
    if (np.diff(horizon) <= 0).any():
        raise ValueError(f"horizon must be strictly increasing; found {horizon.tolist()}")


def check_one_column_per_horizon(columns: int, *, horizons: int) -> None:
    """ValueError unless a prediction has as many columns as there are horizons."""
    if columns != horizons:
        raise ValueError(f"predictions must have one column per horizon; found {columns} for {horizons} horizons")


def _check_finite(name: str, values: np.ndarray) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(f"{name} must be finite; {int(wrong.sum())} of {values.size} values are NaN or infinite")
