"""Cox regression with an elastic-net penalty on the stacked rows of one or many prediction times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.survival.follow_up import check_follow_up, check_has_event
from survlstm.training.regression.newton import Expansion, NotConvergedError, minimise

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    Design: TypeAlias = Float64[np.ndarray, "row column"] | csr_array

# Penalties of the mean partial log-likelihood per event, strongest first.
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
# Shares of the penalty that are one of absolute values: the ridge, and an elastic net, which leaves columns out.
L1_SHARES = (0.0, 0.5)
# Penalties without a higher likelihood after which the search ends. The strongest of an elastic net leave no column.
PATIENCE = 2
# Length of the gradient of the penalised mean per event. A coefficient is then off by at most this over the penalty.
GRADIENT_TOLERANCE = 1e-8
# The same for an elastic net: the largest element of the gradient at which the search ends, and at which it has failed.
NET_TOLERANCE = 1e-6
NET_FAILED = 1e-3
NET_ITERATIONS = 1000


class CoxRows(NamedTuple):
    """Rows of a Cox regression; a subject has one row for each of its prediction times.

    Attributes:
        design: [row, column] covariates, dense or sparse. The penalty is the same for every column, so that their
            scales matter. Among the columns of stacked prediction times is the prediction time itself.
        duration: Time from the prediction time to the event or to the end of follow-up, at least 0.
        event: Whether the event happens at that time.
    """

    design: Design
    duration: Float64[np.ndarray, " row"]
    event: Bool[np.ndarray, " row"]


@dataclass(frozen=True)
class PenalisedCox:
    """A fitted Cox regression, hazard(t) = baseline hazard(t) · exp(design · coefficient).

    Attributes:
        coefficient: Coefficients of the columns of a design.
        penalty: The penalty of the fit.
        l1_share: Share of the penalty that is one of absolute values.
        event_time: Times of the training events, strictly increasing.
        cumulative_hazard: Breslow's cumulative baseline hazard at each of ``event_time``.
    """

    coefficient: Float64[np.ndarray, " column"]
    penalty: float
    l1_share: float
    event_time: Float64[np.ndarray, " time"]
    cumulative_hazard: Float64[np.ndarray, " time"]

    def survival(self, design: Design, horizon: Float64[np.ndarray, " horizon"]) -> Float64[np.ndarray, "row horizon"]:
        """Compute the survival of rows at times after their prediction time.

        Args:
            design: [row, column] covariates.
            horizon: Times, in the unit of the training durations. The curve is constant after the last training event.

        Returns:
            Survival from 0 to 1, one column for each time.
        """
        cumulative = np.concatenate([[0.0], self.cumulative_hazard])
        at_horizon = cumulative[np.searchsorted(self.event_time, horizon, side="right")]
        # The sum of logarithms avoids the NaN of 0 times infinity.
        with np.errstate(divide="ignore", over="ignore"):
            return np.exp(-np.exp(np.log(at_horizon) + (design @ self.coefficient)[:, None]))


def choose_cox(
    train: CoxRows, val: CoxRows, *, penalties: Sequence[float] = PENALTIES, l1_shares: Sequence[float] = L1_SHARES
) -> PenalisedCox:
    """Fit penalised Cox regressions and choose the one with the highest cross-validated partial likelihood.

    That is the likelihood of all rows minus that of the training rows (Verweij & Van Houwelingen 1993, Statistics in
    Medicine 12:2305). Where events are rare the validation rows alone are too few for a partial likelihood of their
    own. With each share of absolute values the penalty is weakened until the likelihood has not risen for
    ``PATIENCE`` penalties, or a fit does not converge.

    One model for the rows of many prediction times, with the prediction time as a covariate, is the stacked landmark
    model of van Houwelingen (2007, Scandinavian Journal of Statistics 34:70). Its likelihood treats the rows of a
    subject as independent, which matters for standard errors and not for predictions.

    Args:
        train: Training rows.
        val: Validation rows, of other subjects.
        penalties: Penalties to try, strongest first. They are penalties of the mean partial log-likelihood per event:
            the penalty of the sum is the penalty times the number of events.
        l1_shares: Shares of absolute values to try with each of them.

    Returns:
        The chosen fit.

    Raises:
        ValueError: If the training rows have no event, a column of a design, or a duration is not valid, or a
            fit does not converge.
    """
    if not penalties or not l1_shares:
        raise ValueError("at least one penalty and one share are needed; found none")
    every = _stacked(train, val)
    paths = (_best_of_path(train, every, penalties, share) for share in l1_shares)
    return max(paths, key=lambda one: one[0])[1]


def _best_of_path(
    train: CoxRows, every: CoxRows, penalties: Sequence[float], l1_share: float
) -> tuple[float, PenalisedCox]:
    """Return the highest cross-validated likelihood of the penalties with one share, and its fit."""
    best, start, waited = None, None, 0
    for penalty in penalties:
        try:
            fitted = fit_cox(train, penalty=penalty, l1_share=l1_share, start=start)
        except NotConvergedError:
            if best is None:
                raise
            # Weaker penalties would not converge either.
            break
        start = fitted.coefficient
        likelihood = partial_log_likelihood(every, start) - partial_log_likelihood(train, start)
        if best is None or likelihood > best[0]:
            best, waited = (likelihood, fitted), 0
        else:
            waited += 1
        if waited == PATIENCE:
            break
    assert best is not None, "the first fit has converged"
    return best


def fit_cox(
    rows: CoxRows, *, penalty: float, l1_share: float = 0.0, start: Float64[np.ndarray, " column"] | None = None
) -> PenalisedCox:
    """Maximise the partial likelihood with an elastic-net penalty.

    ::

        1/D Σ_k [ Σ_{i: event at t_k} η_i - d_k log Σ_{i: T_i >= t_k} exp(η_i) ]
            - penalty · [ l1_share · |β|₁ + (1 - l1_share)/2 · |β|² ]

    over the event times t_k, with η = design · β, d_k the number of events at t_k and D = Σ d_k. Tied events are
    treated as by Breslow. Columns need no centring. (Simon et al. 2011, Journal of Statistical Software 39(5))

    Args:
        rows: Training rows.
        penalty: Penalty of the mean partial log-likelihood per event, above 0.
        l1_share: Share of absolute values in the penalty, from 0, a ridge, to below 1.
        start: Coefficients to start from, for instance those of another penalty; None starts from 0. They change the
            number of steps and not the result.

    Returns:
        The fit.

    Raises:
        ValueError: If no row has the event, the penalty is not above 0, a column of the design, or a duration is not
            valid, or the fit does not converge.
    """
    if not penalty > 0:
        raise ValueError(f"a penalty must be above 0; found {penalty}")
    likelihood = _PartialLikelihood(rows)
    coefficient = np.zeros(rows.design.shape[1]) if start is None else start
    if l1_share:
        coefficient = _minimise_net(likelihood, coefficient, penalty * l1_share, penalty * (1 - l1_share))
    else:
        coefficient = minimise(lambda at: likelihood.expand(at, penalty), coefficient, tolerance=GRADIENT_TOLERANCE)
    return PenalisedCox(
        coefficient,
        float(penalty),
        float(l1_share),
        likelihood.event_time,
        likelihood.cumulative_hazard(rows.design @ coefficient),
    )


def partial_log_likelihood(rows: CoxRows, coefficient: Float64[np.ndarray, " column"]) -> float:
    """Compute the partial log-likelihood of rows, a sum over events, without a penalty.

    Args:
        rows: The rows; at least one has the event.
        coefficient: Coefficients of the columns of their design.

    Returns:
        The partial log-likelihood; ties are treated as by Breslow.
    """
    return _PartialLikelihood(rows).value(rows.design @ coefficient)


class _PartialLikelihood:
    """Sums over the risk sets of given rows.

    A row is in the risk sets of all event times up to its own duration, the first ``_sets`` of them. A sum over each
    risk set is therefore a cumulative sum from the last event time to the first, and a sum over the risk sets of each
    row one from the first to the last. No matrix of rows by event times or of columns by columns is made.
    """

    def __init__(self, rows: CoxRows) -> None:
        _check(rows)
        self._design = rows.design
        self._event = rows.event.astype(np.float64)
        self.event_time = np.unique(rows.duration[rows.event])
        self._sets: Int64[np.ndarray, " row"] = np.searchsorted(self.event_time, rows.duration, side="right")
        position = self._sets[rows.event] - 1
        self._events = np.bincount(position, minlength=len(self.event_time)).astype(np.float64)
        self._total = self._events.sum()

    def value(self, log_risk: Float64[np.ndarray, " row"]) -> float:
        log_risk = log_risk - log_risk.max()
        at_risk = self._over_risk_sets(np.exp(log_risk))
        with np.errstate(divide="ignore"):
            return float(self._event @ log_risk - self._events @ np.log(at_risk))

    def cumulative_hazard(self, log_risk: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, " time"]:
        at_risk = self._over_risk_sets(np.exp(log_risk - log_risk.max()))
        return np.cumsum(self._events / at_risk) * np.exp(-log_risk.max())

    def expand(self, coefficient: Float64[np.ndarray, " column"], penalty: float) -> Expansion:
        """Expand the negative penalised mean partial log-likelihood per event."""
        log_risk = self._design @ coefficient
        value = penalty / 2 * coefficient @ coefficient - self.value(log_risk) / self._total
        if not np.isfinite(value):
            return Expansion(np.inf, coefficient, lambda vector: vector)
        relative = np.exp(log_risk - log_risk.max())
        at_risk = self._over_risk_sets(relative)
        expected = relative * self._over_times(self._events / at_risk)
        gradient = penalty * coefficient - self._design.T @ (self._event - expected) / self._total

        def times_hessian(vector: Float64[np.ndarray, " column"]) -> Float64[np.ndarray, " column"]:
            along = self._design @ vector
            mean_along = self._over_risk_sets(relative * along) / at_risk
            centred = expected * along - relative * self._over_times(self._events * mean_along / at_risk)
            return penalty * vector + self._design.T @ centred / self._total

        return Expansion(float(value), gradient, times_hessian)

    def _over_risk_sets(self, values: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, " time"]:
        return np.bincount(self._sets, values, minlength=len(self.event_time) + 1)[::-1].cumsum()[-2::-1]

    def _over_times(self, values: Float64[np.ndarray, " time"]) -> Float64[np.ndarray, " row"]:
        return np.concatenate([[0.0], np.cumsum(values)])[self._sets]


def _minimise_net(
    likelihood: _PartialLikelihood, start: Float64[np.ndarray, " column"], l1: float, ridge: float
) -> Float64[np.ndarray, " column"]:
    """Minimise with a penalty of absolute values.

    A coefficient is a positive part minus a negative part, both at least 0. Their sum is its absolute value where one
    of them is 0, as at the minimum, so that the penalty is linear and the problem smooth, with bounds.
    """
    from scipy.optimize import minimize

    columns = len(start)

    def penalised(parts: np.ndarray) -> tuple[float, np.ndarray]:
        here = likelihood.expand(parts[:columns] - parts[columns:], ridge)
        return here.value + l1 * parts.sum(), np.concatenate([here.gradient, -here.gradient]) + l1

    found = minimize(
        penalised,
        np.concatenate([np.maximum(start, 0), np.maximum(-start, 0)]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * (2 * columns),
        options={"maxiter": NET_ITERATIONS, "maxfun": 2 * NET_ITERATIONS, "gtol": NET_TOLERANCE, "ftol": 0.0},
    )
    # A part at its bound can only grow.
    slope = np.where(found.x > 0, np.abs(found.jac), -found.jac).max(initial=0.0)
    if not slope <= NET_FAILED:
        raise NotConvergedError(
            f"an elastic net must converge within {NET_ITERATIONS} iterations; a column still has a slope of "
            f"{slope:.1e}. Standardise the columns of the design or use a stronger penalty"
        )
    coefficient: np.ndarray = found.x[:columns] - found.x[columns:]
    return coefficient


def _stacked(train: CoxRows, val: CoxRows) -> CoxRows:
    from scipy.sparse import issparse, vstack

    designs = train.design, val.design
    design = vstack(designs, format="csr") if any(map(issparse, designs)) else np.concatenate(designs)
    duration, event = (np.concatenate(pair) for pair in zip(train[1:3], val[1:3], strict=True))
    return CoxRows(design, duration, event)


def _check(rows: CoxRows) -> None:
    from scipy.sparse import issparse

    check_follow_up(rows.duration, rows.event)
    check_has_event(rows.event)
    if rows.design.shape[0] != len(rows.event):
        raise ValueError(f"a design must have one row per duration; found {rows.design.shape[0]} and {len(rows.event)}")
    wrong = ~np.isfinite(rows.design.data if issparse(rows.design) else rows.design)
    if wrong.any():
        raise ValueError(f"a design must be finite; {int(wrong.sum())} values are NaN or infinite")
