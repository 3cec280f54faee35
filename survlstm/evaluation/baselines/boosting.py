"""Gradient-boosted trees for the hazard: scikit-learn's histogram boosting on person-periods."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from survlstm.data.code_counts import MIN_ROWS
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.training.regression.history_regression import HistoryRows, history_counts, intervals_of, rows_at_risk
from survlstm.training.regression.pooled_logistic import PersonPeriods, check_both_outcomes, sums_by_interval

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from sklearn.ensemble import HistGradientBoostingClassifier

# Bounds on the work: periods of the fit and of the choice, codes whose counts are covariates, trees. Limits on the time
# would give other results on other machines.
MOST_PERIODS = 50_000
MOST_CODES = 100
MOST_TREES = 150
# Numbers of leaves of a tree that are tried: two leaves have no interaction, sixteen have some.
LEAVES = (2, 16)
LEARNING_RATE = 0.1
FEWEST_PER_LEAF = 20
L2 = 1.0
# Share of the columns that a split is chosen from.
COLUMN_SHARE = 0.5
# Information below which a code is taken for a constant.
LEAST_INFORMATION = 1e-9
# Rows whose covariates are in memory together.
CHUNK = 20_000


class _Codes(NamedTuple):
    """Vocabulary entries whose counts are covariates: those in the last visit, and those in the record so far."""

    visit: Int64[np.ndarray, " code"]
    record: Int64[np.ndarray, " code"]


@dataclass(frozen=True)
class BoostedHazard:
    """Fitted trees.

    Attributes:
        classifier: The trees. They read the features, those of the prediction time, the counts of the codes of the last
            visit and of the record so far, and the interval.
        codes: Vocabulary entries that are counted.
        intervals: Number of intervals.
        trees: Number of trees that predict, chosen by the validation loss.
        val_loss: Weighted mean of the negative log-likelihood of the validation periods, in nats.
    """

    classifier: HistGradientBoostingClassifier
    codes: _Codes
    intervals: int
    trees: int
    val_loss: float

    def hazard(self, tensors: Tensors, rows: HistoryRows) -> Float64[np.ndarray, "row interval"]:
        """Compute the hazards of rows.

        Args:
            tensors: Data of all subjects.
            rows: The rows.

        Returns:
            Hazards between 0 and 1; shape (row, interval), with one interval on the visit clock.
        """
        parts = [np.empty((0, self.intervals))]
        for start in range(0, len(rows.visit), CHUNK):
            covariates = _covariates(tensors, rows.at(slice(start, start + CHUNK)), self.codes)
            parts.append(np.column_stack([self._hazard(covariates, interval) for interval in range(self.intervals)]))
        return np.concatenate(parts)

    def _hazard(self, covariates: np.ndarray, interval: int) -> Float64[np.ndarray, " row"]:
        stages = self.classifier.staged_predict_proba(_with_interval(covariates, np.full(len(covariates), interval)))
        return next(islice(stages, self.trees - 1, None))[:, 1]


def fit_boosted_hazard(tensors: Tensors) -> BoostedHazard:
    """Fit boosted trees to the training periods, and choose their size and number by those of the validation subjects.

    scikit-learn's own early stopping would divide the rows of one subject, so that the loss is taken of the validation
    subjects. A period counts by its exposure. The covariates are all features and the counts of at most ``MOST_CODES``
    codes in the last visit and as many in the record so far: those with the largest score statistic, which is that of
    adding the code alone to a model that knows the interval only.

    Args:
        tensors: Data of all subjects; test subjects are not used.

    Returns:
        The chosen trees.

    Raises:
        ValueError: If the training rows do not hold both events and survived periods, or no validation subject is at
            risk.
    """
    intervals = intervals_of(tensors)
    train, val = (rows_at_risk(tensors, part, MOST_PERIODS // intervals) for part in (Split.TRAIN, Split.VAL))
    check_both_outcomes(train.periods)
    if not len(val.periods.row):
        raise ValueError("boosted trees need validation subjects at risk to choose their number; found none")
    codes = _Codes(*(_most_telling(counts, train.periods, intervals) for counts in history_counts(tensors, train.rows)))
    of_train, of_val = (
        _with_interval(_covariates(tensors, part.rows, codes)[part.periods.row], part.periods.interval)
        for part in (train, val)
    )
    fits = []
    for leaves in LEAVES:
        classifier, losses = _boost(of_train, train.periods, of_val, val.periods, leaves=leaves)
        best = int(np.argmin(losses))
        fits.append(BoostedHazard(classifier, codes, intervals, best + 1, losses[best]))
    return min(fits, key=lambda one: one.val_loss)


def _boost(
    train: np.ndarray, train_periods: PersonPeriods, val: np.ndarray, val_periods: PersonPeriods, *, leaves: int
) -> tuple[HistGradientBoostingClassifier, list[float]]:
    """Fit trees, and return them and the validation loss after each of them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    classifier = HistGradientBoostingClassifier(
        max_iter=MOST_TREES,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=leaves,
        min_samples_leaf=FEWEST_PER_LEAF,
        l2_regularization=L2,
        max_features=COLUMN_SHARE,
        early_stopping=False,
        random_state=0,
    )
    classifier.fit(train, train_periods.event, sample_weight=train_periods.weight)
    return classifier, [_loss(stage[:, 1], val_periods) for stage in classifier.staged_predict_proba(val)]


def _loss(hazard: Float64[np.ndarray, " period"], periods: PersonPeriods) -> float:
    return -float(np.average(np.log(np.where(periods.event, hazard, 1 - hazard)), weights=periods.weight))


def _most_telling(counts: csr_array, periods: PersonPeriods, intervals: int) -> Int64[np.ndarray, " code"]:
    """Return the vocabulary entries with the largest score statistic of their log(1 + count)."""
    rows = counts.shape[0]
    at_risk = np.bincount(periods.interval, periods.weight, minlength=intervals)
    events = np.bincount(periods.interval, periods.event, minlength=intervals)
    hazard = np.divide(events, at_risk, out=np.zeros(intervals), where=at_risk > 0)[periods.interval]
    residual = sums_by_interval(periods, periods.event - periods.weight * hazard, rows=rows, intervals=intervals)
    variance = sums_by_interval(periods, periods.weight * hazard * (1 - hazard), rows=rows, intervals=intervals)
    value = counts.log1p()
    along = value.T @ variance
    total = variance.sum(axis=0)
    # The biases of the intervals take up what the code shares with them.
    shared = np.divide(along**2, total, out=np.zeros_like(along), where=total > 0).sum(axis=1)
    information = value.power(2).T @ variance.sum(axis=1) - shared
    usable = (counts.count_nonzero(axis=0) >= MIN_ROWS) & (information > LEAST_INFORMATION)
    score = np.where(usable, (value.T @ residual.sum(axis=1)) ** 2 / np.where(usable, information, 1.0), -1.0)
    order = np.argsort(-score, kind="stable")[: min(MOST_CODES, int(usable.sum()))]
    return np.sort(order)


def _covariates(tensors: Tensors, rows: HistoryRows, codes: _Codes) -> Float32[np.ndarray, "row column"]:
    counts = [of[:, chosen].toarray() for of, chosen in zip(history_counts(tensors, rows), codes, strict=True)]
    return np.column_stack([tensors.features[rows.visit], rows.prediction_features, *counts]).astype(np.float32)


def _with_interval(covariates: np.ndarray, interval: np.ndarray) -> Float32[np.ndarray, "row column"]:
    return np.column_stack([covariates, interval.astype(np.float32)])
