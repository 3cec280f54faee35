"""Logistic regression of the hazard on everything that a model may see: the numbers and the codes of the history.

It is a baseline of every evaluation, and the start of the linear part of a model (``survlstm.models.nested_lstm``).
"""

from __future__ import annotations

import weakref
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
from survlstm.data.row_sample import at_most
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.training.regression.pooled_logistic import (
    LabelledRows,
    PersonPeriods,
    PooledLogistic,
    choose_pooled_logistic,
    person_periods,
)
from survlstm.utils.ragged import flat_positions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Codes = Literal["none", "visit", "record", "both"]
# Which counts of codes are covariates: none, those of the last visit, those of the record so far, or both.
CODES: tuple[Codes, ...] = ("none", "visit", "record", "both")
Block = Literal["numbers", "visit", "record"]
# Blocks of coefficients of each choice, the one that is added last at the end.
BLOCKS_OF: dict[Codes, tuple[Block, ...]] = {
    "none": ("numbers",),
    "visit": ("numbers", "visit"),
    "record": ("numbers", "record"),
    "both": ("numbers", "visit", "record"),
}
# Rows of a fit, and rows whose designs are in memory together in a prediction.
MOST_FITTED = 50_000
CHUNK = 20_000


class _Fit(NamedTuple):
    tensors: weakref.ref[Tensors]
    columns: tuple[int, ...]
    regression: HistoryRegression


# The last result of ``shared_history_regression``, if any.
_last_fit: list[_Fit] = []


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
        strengths: Prior variance of the coefficients of each block that was chosen; 1 / penalty.
        val_loss: Mean negative log-likelihood of the validation periods, in nats.
    """

    bias: Float64[np.ndarray, " interval"]
    columns: tuple[int, ...]
    visit_features: Float64[np.ndarray, " feature"]
    prediction_features: Float64[np.ndarray, " prediction_feature"]
    visit_codes: Float64[np.ndarray, " vocabulary"]
    record_codes: Float64[np.ndarray, " vocabulary"]
    codes: Codes
    strengths: Mapping[Block, float]
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


def shared_history_regression(tensors: Tensors, columns: Sequence[int] | None = None) -> HistoryRegression:
    """Fit ``fit_history_regression`` once for the start of a model and for the baseline of its evaluation.

    Args:
        tensors: Data of all subjects; test subjects are not used.
        columns: Columns of ``Tensors.features`` among the numbers; None for all.

    Returns:
        The regression; that of the last call if it had the same object as ``tensors`` and the same columns.

    Raises:
        ValueError: If the training rows do not hold both events and survived periods.
    """
    columns = _all_columns(tensors) if columns is None else tuple(columns)
    for fit in _last_fit:
        if fit.tensors() is tensors and fit.columns == columns:
            return fit.regression
    regression = fit_history_regression(tensors, columns)
    _last_fit[:] = [_Fit(weakref.ref(tensors), columns, regression)]
    return regression


def fit_history_regression(tensors: Tensors, columns: Sequence[int] | None = None) -> HistoryRegression:
    """Fit ridge regressions to the training subjects, and choose one by the likelihood of the validation subjects.

    Args:
        tensors: Data of all subjects; test subjects are not used.
        columns: Columns of ``Tensors.features`` among the numbers; None for all.

    Returns:
        The regression of ``fit_history_regressions`` with the smallest validation loss.

    Raises:
        ValueError: If the training rows do not hold both events and survived periods.
    """
    return min(fit_history_regressions(tensors, columns).values(), key=lambda one: one.val_loss)


def fit_history_regressions(tensors: Tensors, columns: Sequence[int] | None = None) -> dict[Codes, HistoryRegression]:
    """Fit a ridge regression to the training subjects for each choice of the counts of codes.

    The coefficients are in three blocks: those of the numbers, of the counts of the visit, and of the counts of the
    record so far. Each block has a penalty of its own. Counts of the record need a far stronger one than those of the
    visit, because the rows of one subject hardly differ in them. Blocks are added one after the other, and the penalty
    of a new block is chosen with those of the other blocks as they are. The bias is not penalised.

    Numbers are scaled to a standard deviation of ``NUMBER_WEIGHT``; a code is a covariate if its count is above 0 in at
    least ``MIN_ROWS`` training rows. Above ``MOST_FITTED`` rows a random sample is fitted to.

    Args:
        tensors: Data of all subjects; test subjects are not used.
        columns: Columns of ``Tensors.features`` among the numbers; None for all.

    Returns:
        The regressions by their choice of counts.

    Raises:
        ValueError: If the training rows do not hold both events and survived periods.
    """
    train, val = (rows_at_risk(tensors, part, MOST_FITTED) for part in (Split.TRAIN, Split.VAL))
    design = _Design.fit(tensors, train.rows, _all_columns(tensors) if columns is None else tuple(columns))
    of_train, of_val = (design.of(tensors, part.rows) for part in (train, val))
    found: dict[Codes, HistoryRegression] = {}
    for codes in CODES:
        # The counts of the visit are added before those of the record.
        before = found["visit" if codes == "both" else "none"].strengths if found else {}
        chosen = np.isin(design.block_of_column, BLOCKS_OF[codes])
        of_columns = design.block_of_column[chosen]
        fitted = choose_pooled_logistic(
            LabelledRows(of_train[:, chosen], train.periods),
            LabelledRows(of_val[:, chosen], val.periods),
            intervals=intervals_of(tensors),
            strengths=np.array([before.get(block, np.nan) for block in of_columns]),
        )
        strengths = {**before, BLOCKS_OF[codes][-1]: fitted.strength}
        found[codes] = design.regression(codes, chosen, fitted, strengths)
    return found


def _all_columns(tensors: Tensors) -> tuple[int, ...]:
    return tuple(range(tensors.features.shape[1]))


def intervals_of(tensors: Tensors) -> int:
    """Return the number of intervals that a row has a hazard for: 1 on the visit clock."""
    return tensors.steps if tensors.in_days else 1


class RowsAtRisk(NamedTuple):
    """Rows with their intervals at risk.

    Attributes:
        rows: The rows.
        periods: Entries of their intervals; on the visit clock one for each row.
    """

    rows: HistoryRows
    periods: PersonPeriods


def rows_at_risk(tensors: Tensors, part: Split, most: int) -> RowsAtRisk:
    """Return the rows of a split at which its subjects are at risk.

    Args:
        tensors: Data of all subjects.
        part: The split.
        most: Number of rows above which a random sample of this size is drawn; every row has the same chance.

    Returns:
        On the visit clock the visits up to the last step at risk, otherwise the rows of the labels to train on.
    """
    members = tensors.members(part)
    if not tensors.in_days:
        visit = at_most(flat_positions(tensors.visit_offsets[members], tensors.step[members] + 1), most)
        owner = subject_of_visit(tensors, visit)
        event = tensors.event[owner] & (visit - tensors.visit_offsets[owner] == tensors.step[owner])
        number = np.arange(len(visit))
        return RowsAtRisk(
            rows_of_visits(visit), PersonPeriods(number, np.zeros_like(number), event, np.ones(len(visit)))
        )
    row = at_most(tensors.rows_of(members), most)
    periods = person_periods(
        tensors.step[row], tensors.event[row], exposure=tensors.exposure[row], intervals=tensors.steps
    )
    return RowsAtRisk(rows_of_labels(tensors, row), periods)


def subject_of_visit(tensors: Tensors, visit: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, " row"]:
    """Return the index of the subject of each visit."""
    return np.searchsorted(tensors.visit_offsets, visit, side="right") - 1


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
    """

    columns: tuple[int, ...]
    mean: np.ndarray
    spread: np.ndarray
    visit_codes: np.ndarray
    record_codes: np.ndarray
    vocabulary: int

    @classmethod
    def fit(cls, tensors: Tensors, rows: HistoryRows, columns: tuple[int, ...]) -> _Design:
        numbers = _numbers(tensors, rows, columns)
        varies = np.ptp(numbers, axis=0) > 0
        in_visit, in_record = (
            np.flatnonzero(counts.count_nonzero(axis=0) >= MIN_ROWS) for counts in history_counts(tensors, rows)
        )
        return cls(
            columns,
            numbers.mean(axis=0),
            np.where(varies, numbers.std(axis=0) / NUMBER_WEIGHT, np.inf),
            in_visit,
            in_record,
            entries_of(tensors),
        )

    def of(self, tensors: Tensors, rows: HistoryRows) -> csr_array:
        from scipy.sparse import csr_array, hstack

        numbers = (_numbers(tensors, rows, self.columns) - self.mean) / self.spread
        in_visit, in_record = history_counts(tensors, rows)
        parts = [csr_array(numbers), in_visit[:, self.visit_codes].log1p(), in_record[:, self.record_codes].log1p()]
        return hstack(parts, format="csr")

    @property
    def block_of_column(self) -> np.ndarray:
        """Name of the block of each column."""
        return np.repeat(BLOCKS_OF["both"], [len(self.mean), len(self.visit_codes), len(self.record_codes)])

    def regression(
        self, codes: Codes, chosen: np.ndarray, found: PooledLogistic, strengths: Mapping[Block, float]
    ) -> HistoryRegression:
        """Express fitted coefficients in the scale of the tensors."""
        numbers, in_visit = len(self.mean), len(self.visit_codes)
        coefficient = np.zeros(numbers + in_visit + len(self.record_codes))
        coefficient[chosen] = found.coefficient
        of_numbers = coefficient[:numbers] / self.spread
        of_codes = np.zeros((2, self.vocabulary))
        of_codes[0, self.visit_codes] = coefficient[numbers : numbers + in_visit]
        of_codes[1, self.record_codes] = coefficient[numbers + in_visit :]
        return HistoryRegression(
            bias=found.bias - of_numbers @ self.mean,
            columns=self.columns,
            visit_features=of_numbers[: len(self.columns)],
            prediction_features=of_numbers[len(self.columns) :],
            visit_codes=of_codes[0],
            record_codes=of_codes[1],
            codes=codes,
            strengths=strengths,
            val_loss=found.val_loss,
        )


def _numbers(tensors: Tensors, rows: HistoryRows, columns: tuple[int, ...]) -> Float64[np.ndarray, "row number"]:
    return np.column_stack([tensors.features[rows.visit][:, columns], rows.prediction_features]).astype(np.float64)


def history_counts(tensors: Tensors, rows: HistoryRows) -> Iterator[csr_array]:
    """Yield the counts of each vocabulary entry in the last visit of each row, and then those in its record so far.

    Args:
        tensors: Data of all subjects.
        rows: The rows.

    Yields:
        [row, entry] counts.
    """
    yield count_codes(tensors, rows.visit, rows.visit)
    yield count_codes_so_far(tensors, rows.visit)
