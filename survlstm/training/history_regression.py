"""Logistic regression of the hazard on everything that a model may see: the numbers and the codes of the history.

It is a baseline of every evaluation, and the start of the linear part of a model (``survlstm.models.nested_lstm``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from survlstm.data.code_counts import (
    MIN_ROWS,
    NUMBER_WEIGHT,
    count_codes,
    count_codes_so_far,
    entries_of,
)
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.survival.pooled_logistic import PersonPeriods, person_periods
from survlstm.utils.ragged import flat_positions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Codes = Literal["none", "visit", "record", "both"]
# Which counts of codes are covariates: none, those of the last visit, those of the record so far, or both.
CODES: tuple[Codes, ...] = ("none", "visit", "record", "both")
# Blocks of coefficients, and the one that each choice adds.
BLOCKS = ("numbers", "visit", "record")
BLOCK_ADDED: dict[Codes, str] = {"none": "numbers", "visit": "visit", "record": "record", "both": "record"}
# Prior variances of a coefficient, strongest penalty first.
STRENGTHS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# Rows of a fit, and rows whose designs are in memory together in a prediction.
MOST_FITTED = 100_000
CHUNK = 20_000
# Largest element of the gradient of the mean loss at which a fit has converged.
GRADIENT_TOLERANCE = 1e-6
MOST_ITERATIONS = 500


class HistoryRows(NamedTuple):
    """Rows of a tensor that get hazards: a visit on the visit clock, otherwise a row of the labels.

    Attributes:
        visit: Index of the last visit that is known; shape (row,).
        prediction_features: Standardised numbers of the prediction time on the days clock; no column on the other
            clocks; shape (row, feature).
    """

    visit: Int64[np.ndarray, " row"]
    prediction_features: Float[np.ndarray, "row feature"]

    def at(self, row: np.ndarray | slice) -> HistoryRows:
        """Select rows by their indices or a slice."""
        return HistoryRows(self.visit[row], self.prediction_features[row])


def rows_of_visits(visit: Int64[np.ndarray, " row"]) -> HistoryRows:
    """Return the rows of visits on the visit clock.

    Args:
        visit: Indices of the visits.
    """
    return HistoryRows(visit, np.empty((len(visit), 0)))


def rows_of_labels(tensors: Tensors, row: Int64[np.ndarray, " row"]) -> HistoryRows:
    """Return the rows of labels on the landmark clock and the days clock.

    Args:
        tensors: Data of all subjects.
        row: Indices of the rows of the tensors.
    """
    return HistoryRows(tensors.last_visit[row], tensors.prediction_features[row])


@dataclass(frozen=True)
class HistoryRegression:
    """A fitted regression::

        logit h = bias of the interval + u · numbers + Σ v[c] log(1 + n) + Σ z[c] log(1 + m)

    where n is the count of code c in the last visit and m its count in the record so far.

    Attributes:
        bias: One value on the visit clock, one per interval on the other clocks.
        columns: Columns of ``Tensors.features`` among the numbers.
        visit_features: Coefficients of these columns.
        prediction_features: Coefficients of the columns of ``Tensors.prediction_features``.
        visit_codes: v of each vocabulary entry.
        record_codes: z of each vocabulary entry.
        codes: Which counts were chosen.
        strengths: Prior variances of the coefficients that were chosen, by the name of the block; 1 / penalty.
        val_loss: Mean negative log-likelihood of the validation periods, in nats.
    """

    bias: Float64[np.ndarray, " interval"]
    columns: tuple[int, ...]
    visit_features: Float64[np.ndarray, " feature"]
    prediction_features: Float64[np.ndarray, " prediction_feature"]
    visit_codes: Float64[np.ndarray, " vocabulary"]
    record_codes: Float64[np.ndarray, " vocabulary"]
    codes: Codes
    strengths: Mapping[str, float]
    val_loss: float

    def hazard(self, tensors: Tensors, rows: HistoryRows) -> Float64[np.ndarray, "row interval"]:
        """Compute the hazards of rows.

        Args:
            tensors: Data of all subjects.
            rows: The rows.

        Returns:
            Hazards between 0 and 1; shape (row, interval), with one interval on the visit clock.
        """
        from scipy.special import expit

        parts = [np.empty((0, len(self.bias)))]
        for start in range(0, len(rows.visit), CHUNK):
            part = rows.at(slice(start, start + CHUNK))
            score = tensors.features[part.visit][:, self.columns] @ self.visit_features
            score = score + part.prediction_features @ self.prediction_features
            if self.visit_codes.any():
                counts = count_codes(tensors, part.visit, part.visit).log1p()
                score = score + counts @ self.visit_codes[: counts.shape[1]]
            if self.record_codes.any():
                counts = count_codes_so_far(tensors, part.visit).log1p()
                score = score + counts @ self.record_codes[: counts.shape[1]]
            parts.append(expit(score[:, None] + self.bias))
        return np.concatenate(parts)


def fit_history_regression(
    tensors: Tensors, columns: Sequence[int] | None = None, *, choices: Sequence[Codes] = CODES
) -> HistoryRegression:
    """Fit ridge regressions to the training subjects, and choose one by the likelihood of the validation subjects.

    The coefficients are in three blocks: the numbers, the counts of the visit, and those of the record so far. Each has
    a penalty of its own. Counts of the record need a far stronger one, because those of the rows of one subject hardly
    differ. The blocks are added one after the other. The penalty of the new block is weakened from the strongest one
    until the validation loss rises, with the penalties of the other blocks as they were chosen.

    The bias is not penalised. Numbers are scaled to a standard deviation of ``NUMBER_WEIGHT``; a code is a covariate if
    its count is above 0 in at least ``MIN_ROWS`` training rows. Above ``MOST_FITTED``
    rows a random sample is fitted to.

    Args:
        tensors: Data of all subjects; test subjects are not used.
        columns: Columns of ``Tensors.features`` among the numbers; None for all.
        choices: Which counts of codes are tried.

    Returns:
        The chosen regression.

    Raises:
        ValueError: If the training rows do not hold both events and survived periods.
    """
    columns = tuple(range(tensors.features.shape[1])) if columns is None else tuple(columns)
    train, val = (_labelled(tensors, part) for part in (Split.TRAIN, Split.VAL))
    events = int(train.periods.event.sum())
    if not 0 < events < len(train.periods.event):
        raise ValueError(
            f"a logistic hazard needs training steps with and without the event; found {events} events in "
            f"{len(train.periods.event)} steps at risk"
        )
    design = _Design.fit(tensors, train.rows, columns)
    loss_of_train, loss_of_val = (
        _Loss(design.of(tensors, part.rows), part.periods, design.intervals) for part in (train, val)
    )
    fitted: dict[Codes, _Fitted] = {}
    for codes in CODES:
        # Of both, the block of the visit comes first.
        before = fitted.get("visit" if codes == "both" else "none")
        fitted[codes] = _add_block(design, loss_of_train, loss_of_val, BLOCK_ADDED[codes], before)
    best = min(choices, key=lambda codes: fitted[codes].val_loss)
    return design.regression(best, fitted[best])


class _Labelled(NamedTuple):
    rows: HistoryRows
    periods: PersonPeriods


def _labelled(tensors: Tensors, part: Split) -> _Labelled:
    """Return the rows of a split with an entry for each interval at risk; a sample above ``MOST_FITTED`` rows."""
    members = tensors.members(part)
    if tensors.clock == "visit":
        number = tensors.step[members] + 1
        visit = _sample(flat_positions(tensors.visit_offsets[members], number))
        owner = np.searchsorted(tensors.visit_offsets, visit, side="right") - 1
        event = tensors.event[owner] & (visit - tensors.visit_offsets[owner] == tensors.step[owner])
        zeros = np.zeros(len(visit), dtype=np.int64)
        return _Labelled(rows_of_visits(visit), PersonPeriods(np.arange(len(visit)), zeros, event, np.ones(len(visit))))
    row = _sample(tensors.rows_of(members))
    periods = person_periods(
        tensors.step[row], tensors.event[row], exposure=tensors.exposure[row], intervals=tensors.steps
    )
    return _Labelled(rows_of_labels(tensors, row), periods)


def _sample(row: np.ndarray) -> np.ndarray:
    if len(row) <= MOST_FITTED:
        return row
    return np.sort(np.random.default_rng(0).permutation(row)[:MOST_FITTED])


class _Fitted(NamedTuple):
    """Fitted parameters, the biases first, with the strength of each block that is not 0."""

    parameters: np.ndarray
    strengths: dict[str, float]
    val_loss: float


@dataclass(frozen=True)
class _Design:
    """Columns of a design: the numbers, the codes of the visit, and those of the record so far.

    Attributes:
        columns: Columns of ``Tensors.features``.
        mean: Mean of each number among the training rows.
        spread: Standard deviation of each number over ``NUMBER_WEIGHT``; infinite for a number that does not vary.
        visit_codes: Vocabulary entries that get a column of their count in the visit.
        record_codes: Vocabulary entries that get a column of their count in the record so far.
        vocabulary: Number of vocabulary entries that occur.
        intervals: Number of biases.
    """

    columns: tuple[int, ...]
    mean: np.ndarray
    spread: np.ndarray
    visit_codes: np.ndarray
    record_codes: np.ndarray
    vocabulary: int
    intervals: int

    @classmethod
    def fit(cls, tensors: Tensors, rows: HistoryRows, columns: tuple[int, ...]) -> _Design:
        numbers = _numbers(tensors, rows, columns)
        varies = np.ptp(numbers, axis=0) > 0
        in_visit, in_record = (
            np.flatnonzero(counts.count_nonzero(axis=0) >= MIN_ROWS) for counts in _counts(tensors, rows)
        )
        return cls(
            columns,
            numbers.mean(axis=0),
            np.where(varies, numbers.std(axis=0) / NUMBER_WEIGHT, np.inf),
            in_visit,
            in_record,
            entries_of(tensors),
            1 if tensors.clock == "visit" else tensors.steps,
        )

    def of(self, tensors: Tensors, rows: HistoryRows) -> csr_array:
        from scipy.sparse import csr_array, hstack

        numbers = (_numbers(tensors, rows, self.columns) - self.mean) / self.spread
        in_visit, in_record = _counts(tensors, rows)
        parts = [csr_array(numbers), in_visit[:, self.visit_codes].log1p(), in_record[:, self.record_codes].log1p()]
        return hstack(parts, format="csr")

    @property
    def blocks(self) -> dict[str, slice]:
        """Position of the coefficients of each block among the columns."""
        ends = np.cumsum([len(self.mean), len(self.visit_codes), len(self.record_codes)])
        return {name: slice(start, end) for name, start, end in zip(BLOCKS, (0, *ends), ends, strict=False)}

    def regression(self, codes: Codes, found: _Fitted) -> HistoryRegression:
        """Express fitted coefficients in the scale of the tensors."""
        bias, coefficient = np.split(found.parameters, [self.intervals])
        of_numbers = coefficient[self.blocks["numbers"]] / self.spread
        of_codes = np.zeros((2, self.vocabulary))
        of_codes[0, self.visit_codes] = coefficient[self.blocks["visit"]]
        of_codes[1, self.record_codes] = coefficient[self.blocks["record"]]
        return HistoryRegression(
            bias=bias - of_numbers @ self.mean,
            columns=self.columns,
            visit_features=of_numbers[: len(self.columns)],
            prediction_features=of_numbers[len(self.columns) :],
            visit_codes=of_codes[0],
            record_codes=of_codes[1],
            codes=codes,
            strengths=found.strengths,
            val_loss=found.val_loss,
        )


def _numbers(tensors: Tensors, rows: HistoryRows, columns: tuple[int, ...]) -> Float64[np.ndarray, "row number"]:
    return np.column_stack([tensors.features[rows.visit][:, columns], rows.prediction_features]).astype(np.float64)


def _counts(tensors: Tensors, rows: HistoryRows) -> Iterator[csr_array]:
    yield count_codes(tensors, rows.visit, rows.visit)
    yield count_codes_so_far(tensors, rows.visit)


class _Loss:
    """The loss of a regression on some rows, with its gradient.

    The design has a row for each prediction and not for each interval, because the intervals of a prediction differ in
    the bias only.
    """

    def __init__(self, design: csr_array, periods: PersonPeriods, intervals: int) -> None:
        self.design, self.intervals = design, intervals
        self.periods, self.total = periods, float(periods.weight.sum())
        self.transposed = design.T.tocsr()

    def loss(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean negative log-likelihood of the periods and its gradient."""
        from scipy.special import expit

        bias, coefficient = np.split(parameters, [self.intervals])
        row, interval, event, weight = self.periods
        logit = (self.design @ coefficient)[row] + bias[interval]
        loss = np.logaddexp(0.0, logit) - event * logit
        slope = weight * (expit(logit) - event) / self.total
        of_rows = np.bincount(row, slope, minlength=self.design.shape[0])
        of_bias = np.bincount(interval, slope, minlength=self.intervals)
        return float(weight @ loss) / self.total, np.concatenate([of_bias, self.transposed @ of_rows])

    def minimise(self, start: np.ndarray, strength: np.ndarray) -> np.ndarray:
        """Return the parameters of the smallest mean loss with a ridge penalty.

        Args:
            start: Where to start.
            strength: Prior variance of each coefficient; 0 keeps it at 0, infinity does not penalise it.
        """
        from scipy.optimize import minimize

        free = np.flatnonzero(strength)
        penalty = 1 / strength[free] / self.total

        def penalised(values: np.ndarray) -> tuple[float, np.ndarray]:
            parameters = np.zeros_like(start)
            parameters[free] = values
            loss, gradient = self.loss(parameters)
            return loss + float(penalty @ values**2) / 2, gradient[free] + penalty * values

        options = {"maxiter": MOST_ITERATIONS, "gtol": GRADIENT_TOLERANCE, "ftol": 0.0, "maxcor": 20}
        fitted = np.zeros_like(start)
        fitted[free] = minimize(penalised, start[free], jac=True, method="L-BFGS-B", options=options).x
        return fitted


def _add_block(design: _Design, train: _Loss, val: _Loss, block: str, before: _Fitted | None) -> _Fitted:
    """Weaken the penalty of one block until the validation loss rises, and return the fit with the smallest one."""
    if before is None:
        event_share = np.average(train.periods.event, weights=train.periods.weight)
        start = np.zeros(train.intervals + train.design.shape[1])
        start[: train.intervals] = np.log(event_share / (1 - event_share))
        before = _Fitted(start, {}, np.inf)
    best, parameters = before._replace(val_loss=np.inf), before.parameters
    for strength in STRENGTHS:
        strengths = before.strengths | {block: strength}
        # Each fit starts from the previous one.
        parameters = train.minimise(parameters, _of_parameters(design, strengths))
        loss, _ = val.loss(parameters)
        if loss > best.val_loss:
            break
        best = _Fitted(parameters, strengths, loss)
    return best


def _of_parameters(design: _Design, strengths: Mapping[str, float]) -> np.ndarray:
    """Return the prior variance of each parameter, which is infinite for the biases."""
    of_columns = np.zeros(design.blocks["record"].stop)
    for block, strength in strengths.items():
        of_columns[design.blocks[block]] = strength
    return np.concatenate([np.full(design.intervals, np.inf), of_columns])
