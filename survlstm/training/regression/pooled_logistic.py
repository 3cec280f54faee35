"""Pooled logistic regression of the hazard, with a ridge penalty that is chosen on validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.survival.follow_up import check_exposure
from survlstm.training.regression.newton import Expansion, minimise
from survlstm.utils.ragged import flat_positions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Prior variances of a coefficient, which is 1 / penalty of the sum over periods. With the first little is left but the
# biases, which are not penalised.
STRENGTHS = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# Penalties without a lower validation loss after which the search ends. With few events the loss can rise once and then
# fall further.
PATIENCE = 2
# Length of the gradient of the penalised mean loss at which a fit has converged.
GRADIENT_TOLERANCE = 1e-5


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


def check_both_outcomes(periods: PersonPeriods) -> None:
    """Check that a hazard can be fitted.

    Args:
        periods: Training periods.

    Raises:
        ValueError: If all of them, or none, have the event.
    """
    events = int(periods.event.sum())
    if not 0 < events < len(periods.event):
        raise ValueError(
            f"a hazard needs training steps with and without the event; found {events} events in "
            f"{len(periods.event)} steps at risk"
        )


def sums_by_interval(
    periods: PersonPeriods, values: Float64[np.ndarray, " period"], *, rows: int, intervals: int
) -> Float64[np.ndarray, "row interval"]:
    """Arrange values of periods by row and interval.

    Args:
        periods: The periods.
        values: One value for each; values of the same row and interval are added up.
        rows: Number of rows.
        intervals: Number of intervals.

    Returns:
        The values; 0 where a row has no period.
    """
    cell = periods.row * intervals + periods.interval
    return np.bincount(cell, values, minlength=rows * intervals).reshape(rows, intervals)


class LabelledRows(NamedTuple):
    """Rows with the intervals that they are at risk in.

    Attributes:
        design: [row, column] covariates of each row, the same in all of its intervals.
        periods: Entries of the intervals, each with its row.
    """

    design: csr_array
    periods: PersonPeriods


class PooledLogistic(NamedTuple):
    """A fitted model, logit h = bias of the interval + design · coefficient.

    Attributes:
        bias: One value per interval.
        coefficient: Coefficients of the columns of a design.
        strength: Prior variance of a coefficient, which is 1 / penalty.
        val_loss: Weighted mean of the negative log-likelihood of the validation periods, in nats.
    """

    bias: Float64[np.ndarray, " interval"]
    coefficient: Float64[np.ndarray, " column"]
    strength: float
    val_loss: float

    def hazard(self, design: csr_array) -> Float64[np.ndarray, "row interval"]:
        """Compute the hazards of the rows of a design.

        Args:
            design: [row, column] covariates.

        Returns:
            Hazards between 0 and 1.
        """
        from scipy.special import expit

        return expit((design @ self.coefficient)[:, None] + self.bias)


def choose_pooled_logistic(
    train: LabelledRows,
    val: LabelledRows,
    *,
    intervals: int,
    strengths: Float64[np.ndarray, " column"] | None = None,
) -> PooledLogistic:
    """Fit ridge logistic regressions and choose the one with the highest likelihood of the validation periods.

    A discrete-time hazard model is a logistic regression on the intervals at risk (Singer & Willett 1993, Journal of
    Educational Statistics 18:155). The penalties are 1 / ``STRENGTHS``, weakened until the validation loss has not
    fallen for ``PATIENCE`` of them. They are penalties of the weighted sum over the periods, as those of scikit-learn.

    Args:
        train: Training rows.
        val: Validation rows.
        intervals: Number of intervals, each with a bias that is not penalised.
        strengths: Prior variance of each column that has one already, and NaN for the columns whose common one is
            chosen; None chooses one for all columns.

    Returns:
        The chosen fit.

    Raises:
        ValueError: If the training periods are not some with and some without the event, or a fit does not converge.
    """
    periods = train.periods
    check_both_outcomes(periods)
    share = np.average(periods.event, weights=periods.weight)
    parameters = np.concatenate([np.full(intervals, np.log(share / (1 - share))), np.zeros(train.design.shape[1])])
    of_train, of_val = (_Likelihood(part, intervals) for part in (train, val))
    given = np.full(train.design.shape[1], np.nan) if strengths is None else strengths
    best, waited = PooledLogistic(parameters[:intervals], parameters[intervals:], 0.0, np.inf), 0
    for strength in STRENGTHS:
        # Each fit starts from the previous one.
        parameters = of_train.minimise(parameters, 1 / np.where(np.isnan(given), strength, given))
        loss = of_val.loss(parameters)
        waited = 0 if loss < best.val_loss else waited + 1
        if waited == 0:
            best = PooledLogistic(parameters[:intervals], parameters[intervals:], strength, loss)
        if waited == PATIENCE:
            break
    return best


class _Likelihood:
    """The mean loss of labelled rows, with its derivatives.

    The design has a row for each prediction and not for each interval, because the intervals of a prediction differ in
    the bias only.
    """

    def __init__(self, rows: LabelledRows, intervals: int) -> None:
        self._design, self._periods, self._intervals = rows.design, rows.periods, intervals
        self._weight = rows.periods.weight / max(rows.periods.weight.sum(), np.finfo(float).tiny)
        self._transposed = rows.design.T.tocsr()
        self._squared = self._transposed.copy()
        self._squared.data **= 2

    def loss(self, parameters: Float64[np.ndarray, " parameter"]) -> float:
        """Return the weighted mean of the negative log-likelihood of the periods."""
        logit = self._logit(parameters)
        return float(self._weight @ (np.logaddexp(0.0, logit) - self._periods.event * logit))

    def minimise(
        self, start: Float64[np.ndarray, " parameter"], penalty: Float64[np.ndarray, " column"]
    ) -> Float64[np.ndarray, " parameter"]:
        """Return biases and coefficients of the smallest mean loss with a ridge penalty of the sum for each column."""
        penalties = np.concatenate([np.zeros(self._intervals), penalty / self._periods.weight.sum()])
        return minimise(lambda at: self._expand(at, penalties), start, tolerance=GRADIENT_TOLERANCE)

    def _logit(self, parameters: np.ndarray) -> np.ndarray:
        bias, coefficient = np.split(parameters, [self._intervals])
        return (self._design @ coefficient)[self._periods.row] + bias[self._periods.interval]

    def _by_interval(self, values: np.ndarray) -> np.ndarray:
        return sums_by_interval(self._periods, values, rows=self._design.shape[0], intervals=self._intervals)

    def _expand(self, parameters: np.ndarray, penalties: np.ndarray) -> Expansion:
        from scipy.special import expit

        logit = self._logit(parameters)
        hazard = expit(logit)
        slope = self._by_interval(self._weight * (hazard - self._periods.event))
        curvature = self._by_interval(self._weight * hazard * (1 - hazard))
        of_rows, of_biases = curvature.sum(axis=1), curvature.sum(axis=0)

        def times_hessian(vector: np.ndarray) -> np.ndarray:
            bias, coefficient = np.split(vector, [self._intervals])
            along = self._design @ coefficient
            of_columns = self._transposed @ (of_rows * along + curvature @ bias)
            return np.concatenate([along @ curvature + of_biases * bias, of_columns]) + penalties * vector

        return Expansion(
            self.loss(parameters) + float(penalties @ parameters**2) / 2,
            np.concatenate([slope.sum(axis=0), self._transposed @ slope.sum(axis=1)]) + penalties * parameters,
            times_hessian,
            np.concatenate([of_biases, self._squared @ of_rows]) + penalties,
        )
