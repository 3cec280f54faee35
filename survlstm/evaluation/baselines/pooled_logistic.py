"""Rows of steps at risk → a ridge logistic hazard, its penalty chosen on the validation rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

# Prior variances of a coefficient, so 1 / penalty; the first leaves little but the intercept, which is not penalised.
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class PooledLogistic(NamedTuple):
    """logit h = intercept + design · coefficient, over the first columns of a design."""

    coefficient: Float64[np.ndarray, " column"]
    intercept: float

    def hazard(self, design: csr_array) -> Float64[np.ndarray, " row"]:
        """The hazard at each row."""
        from scipy.special import expit

        return expit(design[:, : len(self.coefficient)] @ self.coefficient + self.intercept)


class LabelledRows(NamedTuple):
    """One row for each step at risk, and whether the event is in it."""

    design: csr_array
    event: Bool[np.ndarray, " row"]


def fit_pooled_logistic(train: LabelledRows, val: LabelledRows, *, widths: Sequence[int]) -> PooledLogistic:
    """The likeliest on ``val`` of ridge fits to ``train``: over ``STRENGTHS``, and over the first columns of the design
    as ``widths`` counts them.

    A discrete-time hazard is a logistic regression on the steps at risk (Singer & Willett 1993, Journal of Educational
    Statistics 18:155). ValueError unless the training rows hold both events and survived steps.
    """
    events = int(train.event.sum())
    if not 0 < events < len(train.event):
        raise ValueError(
            f"a logistic hazard needs training steps with and without the event; found {events} events in "
            f"{len(train.event)} steps at risk"
        )
    found = [_ridge_path(train, val, width) for width in widths]
    return min(found, key=lambda fitted: fitted[0])[1]


def _ridge_path(train: LabelledRows, val: LabelledRows, width: int) -> tuple[float, PooledLogistic]:
    """The smallest loss on ``val`` and its fit, from the strongest penalty on until the loss rises."""
    from sklearn.linear_model import LogisticRegression

    # Each fit starts at the one before. The loss is a mean over rows, of which few hold events: the usual tolerance
    # of 1e-4 would end the search where it begins.
    model = LogisticRegression(warm_start=True, tol=1e-5, max_iter=1000)
    best = (np.inf, PooledLogistic(np.zeros(width), 0.0))
    design = train.design[:, :width]
    for strength in STRENGTHS:
        fitted = _fit(model.set_params(C=strength), design, train.event)
        loss = _mean_loss(fitted.hazard(val.design), val.event)
        if loss > best[0]:
            break
        best = (loss, fitted)
    return best


def _fit(model: LogisticRegression, design: csr_array, event: Bool[np.ndarray, " row"]) -> PooledLogistic:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A search that ends a little early is one more candidate; the validation rows judge it like the others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(design, event)
    return PooledLogistic(model.coef_[0].copy(), float(model.intercept_[0]))


def _mean_loss(hazard: Float64[np.ndarray, " row"], event: Bool[np.ndarray, " row"]) -> float:
    with np.errstate(divide="ignore"):
        return float(-np.log(np.where(event, hazard, 1 - hazard)).mean())
