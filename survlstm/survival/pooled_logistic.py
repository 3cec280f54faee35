"""Pooled logistic regression with a ridge penalty that is chosen on validation rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.survival.follow_up import check_exposure
from survlstm.utils.ragged import flat_positions

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

# Prior variances of a coefficient, which is 1 / penalty. With the first little is left but the intercept, which is not
# penalised.
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class PooledLogistic(NamedTuple):
    """A fitted model, logit h = intercept + design · coefficient.

    Attributes:
        coefficient: Coefficients of the first columns of a design; the other columns are not used.
        intercept: The intercept.
    """

    coefficient: Float64[np.ndarray, " column"]
    intercept: float

    def hazard(self, design: csr_array) -> Float64[np.ndarray, " row"]:
        """Compute the hazard at each row of a design.

        Args:
            design: [row, column] covariates, at least as many columns as coefficients.

        Returns:
            Hazards between 0 and 1; shape (row,).
        """
        from scipy.special import expit

        return expit(design[:, : len(self.coefficient)] @ self.coefficient + self.intercept)


class LabelledRows(NamedTuple):
    """Steps at risk with their labels.

    Attributes:
        design: [row, column] covariates of each step at risk.
        event: Whether the event happens in this step.
        weight: Weights of the rows, at least 0; None gives each row weight 1. The penalty is one of the weighted sum.
    """

    design: csr_array
    event: Bool[np.ndarray, " row"]
    weight: Float64[np.ndarray, " row"] | None = None


class PersonPeriods(NamedTuple):
    """One entry for each interval that a row is at risk in, row by row.

    Attributes:
        row: Index of the row.
        interval: Index of the interval.
        event: Whether the event happens in this interval.
        weight: Share of the interval that the row was observed in: 1, or the exposure where it was censored.
    """

    row: Int64[np.ndarray, " period"]
    interval: Int64[np.ndarray, " period"]
    event: Bool[np.ndarray, " period"]
    weight: Float64[np.ndarray, " period"]


def person_periods(
    step: Int64[np.ndarray, " row"],
    event: Bool[np.ndarray, " row"],
    *,
    exposure: Float64[np.ndarray, " row"],
    intervals: int,
) -> PersonPeriods:
    """Expand rows to the intervals in which they are at risk.

    A row has an entry for each of the intervals 0 to ``step``; the event is in the last of them. A censored row has one
    more, in interval ``step + 1``, with its exposure as weight and without event, if that is above 0. In a weighted
    logistic regression this entry contributes -exposure · log(1 - h), which is the loss of a rate that is constant
    within the interval.

    Args:
        step: Last interval that the row was at risk in until its end or its event, -1 for a row censored within the
            first interval; shape (row,).
        event: Whether the event happens in interval ``step``; shape (row,).
        exposure: Share of interval ``step + 1`` in which a censored row was observed, 0 to 1 and 0 for events; shape
            (row,).
        intervals: Number of intervals; later ones get no entry.

    Returns:
        The entries, sorted by row and interval.

    Raises:
        ValueError: If an exposure is not valid, or an event is in no interval.
    """
    check_exposure(exposure, event)
    if (step[event] < 0).any():
        raise ValueError(f"an event must be in an interval; {int((step[event] < 0).sum())} are in interval -1")
    number = np.minimum(step + 1 + (exposure > 0), intervals)
    row = np.repeat(np.arange(len(step)), number)
    interval = flat_positions(np.zeros_like(number), number)
    partly = interval > step[row]
    return PersonPeriods(row, interval, event[row] & (interval == step[row]), np.where(partly, exposure[row], 1.0))


def fit_pooled_logistic(train: LabelledRows, val: LabelledRows, *, widths: Sequence[int]) -> PooledLogistic:
    """Fit ridge logistic regressions and choose the one with the highest likelihood on validation rows.

    A discrete-time hazard model is a logistic regression on the steps at risk (Singer & Willett 1993, Journal of
    Educational Statistics 18:155).

    Args:
        train: Training steps at risk.
        val: Validation steps at risk.
        widths: Numbers of leading columns of the design; each is tried with each of ``STRENGTHS``.

    Returns:
        The chosen fit.

    Raises:
        ValueError: If the training rows do not hold both events and survived steps.
    """
    events = int(train.event.sum())
    if not 0 < events < len(train.event):
        raise ValueError(
            f"a logistic hazard needs training steps with and without the event; found {events} events in "
            f"{len(train.event)} steps at risk"
        )
    candidates = [_ridge_path(train, val, width) for width in widths]
    return min(candidates, key=lambda fitted: fitted[0])[1]


def _ridge_path(train: LabelledRows, val: LabelledRows, width: int) -> tuple[float, PooledLogistic]:
    """Weaken the penalty until the loss on ``val`` rises; return the smallest loss and its fit."""
    from sklearn.linear_model import LogisticRegression

    # Each fit starts from the previous one. The loss is a mean over rows, few of which hold an event, so that the usual
    # tolerance of 1e-4 would end the optimisation at its start.
    model = LogisticRegression(warm_start=True, tol=1e-5, max_iter=1000)
    best = (np.inf, PooledLogistic(np.zeros(width), 0.0))
    design = train.design[:, :width]
    for strength in STRENGTHS:
        fitted = _fit(model.set_params(C=strength), design, train)
        loss = _mean_loss(fitted.hazard(val.design), val)
        if loss > best[0]:
            break
        best = (loss, fitted)
    return best


def _fit(model: LogisticRegression, design: csr_array, rows: LabelledRows) -> PooledLogistic:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A fit that stops before convergence is still a valid candidate; the validation loss decides.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(design, rows.event, sample_weight=rows.weight)
    return PooledLogistic(model.coef_[0].copy(), float(model.intercept_[0]))


def _mean_loss(hazard: Float64[np.ndarray, " row"], rows: LabelledRows) -> float:
    with np.errstate(divide="ignore"):
        loss = -np.log(np.where(rows.event, hazard, 1 - hazard))
    if rows.weight is None:
        return float(loss.mean())
    # A row of weight 0 counts nothing, an infinite loss included.
    counted = rows.weight > 0
    return float(np.average(loss[counted], weights=rows.weight[counted]))
