"""Checks of follow-up times, scores, predictions and horizons, shared by the functions of this package.

Every check returns None and raises ValueError with the values found and the number of subjects affected.
"""

from __future__ import annotations

import numpy as np


def check_follow_up(duration: np.ndarray, event: np.ndarray) -> None:
    """Check that durations and event flags describe the same subjects.

    Args:
        duration: time to the event or to the end of follow-up; shape (subject,), any unit.
        event: True = event, False = censored at ``duration``; shape (subject,).

    Raises:
        ValueError: the lengths differ, there is no subject, ``event`` is not boolean (integers 0 and 1 are refused,
            because ``~event`` would silently be wrong), or a duration is negative, NaN or infinite.
    """
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
    """Check that at least one subject has the event.

    Args:
        event: True = event, False = censored; shape (subject,).

    Raises:
        ValueError: all subjects are censored.
    """
    if not event.any():
        raise ValueError(f"at least one event is needed; all {len(event)} subjects are censored")


def check_weight(weight: np.ndarray, *, subjects: int) -> None:
    """Check that every subject has a finite weight above 0.

    Args:
        weight: shape (subject,).
        subjects: expected number of weights.

    Raises:
        ValueError: the number of weights differs, or one is NaN, infinite or not above 0.
    """
    if len(weight) != subjects:
        raise ValueError(f"weight must have one entry per subject; found {len(weight)} for {subjects} subjects")
    _check_finite("weight", weight)
    if (weight <= 0).any():
        raise ValueError(f"weight must be above 0; {int((weight <= 0).sum())} of {len(weight)} are not")


def check_exposure(exposure: np.ndarray, event: np.ndarray) -> None:
    """Check that exposures are shares of an interval, and 0 for events.

    Args:
        exposure: share of the interval after the last survived one in which a censored subject was observed; shape
            (subject,).
        event: True = event, False = censored; shape (subject,).

    Raises:
        ValueError: the lengths differ, an exposure is NaN or outside 0 to 1, or a subject with the event has one.
    """
    if len(exposure) != len(event):
        raise ValueError(f"exposure must have one entry per subject; found {len(exposure)} for {len(event)} subjects")
    wrong = ~((exposure >= 0) & (exposure <= 1))
    if wrong.any():
        raise ValueError(f"exposure must be within 0..1; {int(wrong.sum())} of {len(exposure)} are not")
    if exposure[event].any():
        raise ValueError(
            f"exposure must be 0 for a subject with the event; {np.count_nonzero(exposure[event])} of "
            f"{int(event.sum())} have more"
        )


def check_score(score: np.ndarray, *, subjects: int) -> None:
    """Check that every subject has a finite score.

    Args:
        score: shape (subject,) or (subject, column).
        subjects: expected number of rows.

    Raises:
        ValueError: the number of rows differs, or a score is NaN or infinite.
    """
    if len(score) != subjects:
        raise ValueError(f"score must have one row per subject; found {len(score)} for {subjects} subjects")
    _check_finite("score", score)


def check_probability(survival: np.ndarray, *, subjects: int) -> None:
    """Check that every subject has survival probabilities from 0 to 1, both included.

    Args:
        survival: shape (subject,) or (subject, column).
        subjects: expected number of rows.

    Raises:
        ValueError: the number of rows differs, or a value is NaN, infinite, below 0 or above 1.
    """
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
    """Check that there is at least one horizon and that horizons are strictly increasing.

    Args:
        horizon: times at which predictions are evaluated; shape (horizon,), any unit.

    Raises:
        ValueError: there is no horizon, one is NaN or infinite, or one is not later than the one before it.
    """
    if len(horizon) == 0:
        raise ValueError("at least one horizon is needed; found none")
    _check_finite("horizon", horizon)
    if (np.diff(horizon) <= 0).any():
        raise ValueError(f"horizon must be strictly increasing; found {horizon.tolist()}")


def check_one_column_per_horizon(columns: int, *, horizons: int) -> None:
    """Check that predictions have one column per horizon.

    Args:
        columns: number of columns of the predictions.
        horizons: number of horizons.

    Raises:
        ValueError: the numbers differ.
    """
    if columns != horizons:
        raise ValueError(f"predictions must have one column per horizon; found {columns} for {horizons} horizons")


def _check_finite(name: str, values: np.ndarray) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(f"{name} must be finite; {int(wrong.sum())} of {values.size} values are NaN or infinite")
