"""Score the subjects of a cohort with a bundle's model, and give the reason for each subject that is not scored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64

from survlstm.data.batches import Batches, feature_columns
from survlstm.data.factory import demographic_settings
from survlstm.data.split import Split
from survlstm.data.targets import Targets
from survlstm.data.tensors import BuiltTensors, Tensors, build_tensors
from survlstm.data.vocabulary import UNK
from survlstm.evaluation.hazard_extrapolation import log_odds
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.subject_record import OUTSIDE, ScoredRecords
from survlstm.inference.time_notes import TimeCounts
from survlstm.inference.value_notes import ReadValues
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import BundleError, ConfigError
from survlstm.utils.ragged import flat_positions

CPU = torch.device("cpu")
NOT_SCORED = ("subject_id", "reason")
# The same on the days clock, where a row is a prediction time.
ROWS_NOT_SCORED = ("subject_id", "prediction_time", "reason")
NO_KNOWN_CODE = (
    "no code of the record is in the vocabulary of the model: the codes are named differently, or come from another "
    "coding system"
)


@dataclass(frozen=True)
class SubjectPredictions:
    """Predictions for a cohort.

    Attributes:
        table: one row per subject, per visit, or per prediction time; ``Predictor.predict`` describes the columns.
        not_scored: one row per subject that is not scored, with the columns subject_id and reason; on the days clock
            one row per prediction time, with the column prediction_time, NaT for none. A reason may hold dates of the
            subject: use ``reason_without_dates`` before it goes into a log or a message.
        notes: sentences about the records as a whole.
        ends: time at which each subject's record ends, scored or not, NaT for an empty record; datetime64[s], shape
            (subject,).
        values: numbers of the values in the visits that were read.
        times: on the days clock, counts of the prediction times for notes; None on the other clocks.
    """

    table: pd.DataFrame
    not_scored: pd.DataFrame
    notes: tuple[str, ...]
    ends: np.ndarray
    values: ReadValues = field(default_factory=ReadValues)
    times: TimeCounts | None = None


def make_tensors(records: ScoredRecords, bundle: Bundle) -> BuiltTensors:
    """Make the tensors that the model reads for the subjects that have visits to read.

    Args:
        records: the visits of all subjects.
        bundle: the bundle whose vocabulary and preprocessing are applied.

    Returns:
        Tensors of the subjects with ``records.seen`` above 0, in their order, and counts. The labels are placeholders.
    """
    subject = np.flatnonzero(records.seen)
    seen = records.seen[subject]
    intervals = bundle.preprocessing.intervals
    targets = Targets(
        subject=subject,
        visits_seen=seen,
        step=seen - 1 if intervals is None else np.full(len(subject), intervals - 1),
        event=np.zeros(len(subject), dtype=bool),
        duration_days=np.zeros(len(subject)),
        edge_days=bundle.preprocessing.edge_days,
        oracle_hazard=None,
        exclusions=(),
    )
    data = bundle.config.data
    return build_tensors(
        records.visits,
        targets,
        np.full(len(records.seen), Split.TEST, dtype=np.int8),
        max_codes_per_visit=data.max_codes_per_visit,
        min_frequency=bundle.config.vocabulary.min_frequency,
        preprocessing=bundle.preprocessing,
        demographics=demographic_settings(bundle.config),
        landmark=records.landmark,
    )


def make_batches(tensors: Tensors, bundle: Bundle) -> Batches:
    """Make batches of all subjects, with the batch size, feature columns and ``max_visits`` of the training.

    Args:
        tensors: tensors that ``make_tensors`` made for the same bundle.
        bundle: the bundle whose config is used.

    Returns:
        The batches; their members are all subjects of ``tensors``, in order.
    """
    return Batches(
        tensors,
        np.arange(len(tensors.subject_id)),
        bundle.config.trainer.batch_size,
        feature_columns(bundle.config.model.visit_features, tensors),
        bundle.config.data.max_visits,
    )


def score_subjects(
    records: ScoredRecords, bundle: Bundle, *, per_visit: bool, horizons: Sequence[float] | None, notes: Sequence[str]
) -> SubjectPredictions:
    """Score the subjects whose future is open and list the others with the reason.

    Args:
        records: the visits of all subjects.
        bundle: the model, its preprocessing and its reference risks.
        per_visit: if True, make one row per visit. Visit clock only.
        horizons: times at which survival is reported, in the unit of the bundle; None for those of the bundle.
        notes: sentences to pass on in the result.

    Returns:
        The predictions, the subjects that are not scored with the reason, and ``notes`` followed by those on values;
        ``Predictor.predict`` describes the columns.

    Raises:
        ConfigError: ``horizons`` is invalid, or ``per_visit`` is set on the landmark clock.
        BundleError: the model gives values that are not finite.
    """
    horizons = check_horizons_reached(bundle, horizons)
    if per_visit and bundle.about.clock == "landmark":
        raise ConfigError(
            "per_visit needs a bundle of the visit clock; a bundle of the landmark clock predicts once, at the landmark"
        )
    built = make_tensors(records, bundle)
    tensors = built.tensors
    ids = records.visits.subjects.subject_id.astype(np.str_)
    reason = reasons_not_scored(records, tensors, bundle, looking_back=per_visit)
    subject = np.flatnonzero(records.seen)
    first = bundle.config.data.min_visits - 1 if per_visit else None
    rows = _rows(tensors.visits_per_subject, reason[subject] == "", first=first)
    visit = tensors.visit_offsets[rows.owner] + rows.number
    table = pd.DataFrame({"subject_id": ids[subject][rows.owner]})
    if per_visit:
        table["visit"] = rows.number
    if bundle.about.clock == "landmark":
        table["landmark"] = records.landmark[subject][rows.owner]
    table["history_end"] = tensors.visit_time[visit]
    table["visits"] = rows.number + 1
    table["entries"], table["entries_unknown"] = (
        up_to_visit(tensors, counted)[visit] for counted in entries_and_unknown(tensors, bundle)
    )
    add_risk(table, _curves(bundle, tensors, rows, table), bundle, horizons)
    left_out = np.flatnonzero(reason != "")
    not_scored = pd.DataFrame({"subject_id": ids[left_out], "reason": reason[left_out]}, columns=list(NOT_SCORED))
    values = ReadValues.of(built.values)
    return SubjectPredictions(table, not_scored, (*notes, *values.notes), records.ends, values)


def reasons_not_scored(records: ScoredRecords, tensors: Tensors, bundle: Bundle, *, looking_back: bool) -> np.ndarray:
    """Return why each subject is not scored, as a sentence; "" for a subject that is scored.

    Args:
        records: the visits of all subjects.
        tensors: tensors that ``make_tensors`` made for these records.
        bundle: the bundle whose vocabulary is used.
        looking_back: if True, predictions are made at each visit of the past. A subject whose outcome or death happened
            before the prediction time then still has visits to predict from.

    Returns:
        The sentences; shape (subject,), with all subjects of ``records``, those without visits to read included.
    """
    reason = records.reason.copy()
    last = tensors.visit_offsets[1:] - 1
    entries, strange = (up_to_visit(tensors, counted)[last] for counted in entries_and_unknown(tensors, bundle))
    reason[np.flatnonzero(records.seen)[entries == strange]] = NO_KNOWN_CODE
    return reason if looking_back else np.where(records.is_ended, records.ended_reason, reason)


def check_finite(values: np.ndarray) -> None:
    """Check that predictions are finite; finite weights can still be so large that the model's output is not.

    Args:
        values: predictions of any kind and shape.

    Raises:
        BundleError: some of the values are not finite.
    """
    if not np.isfinite(values).all():
        raise BundleError(
            f"a model's predictions must be finite; {int((~np.isfinite(values)).sum())} of {values.size} are not. The "
            "weights of the bundle or its hazard extrapolation (drift) are too large: export the model again"
        )


def reason_without_values(reason: str) -> str:
    """Replace the dates and numbers in a reason, so that equal reasons can be counted.

    Args:
        reason: a sentence of ``SubjectPredictions.not_scored``, or another message.

    Returns:
        The sentence with an ellipsis in place of each number and date. The reason of a rule of the cohort is returned
        as it is: its numbers are those of the rule.
    """
    if reason.startswith(OUTSIDE):
        return reason
    return re.sub(r"\d[\d-]*", "…", reason)


def reason_without_dates(reason: str) -> str:
    """Replace the dates in a reason, which are patient data, so that it can go into a log or a message.

    Args:
        reason: a sentence of ``SubjectPredictions.not_scored``.

    Returns:
        The sentence with "a day not shown here" in place of each date.
    """
    return re.sub(r"\d{4}-\d{2}-\d{2}", "a day not shown here", reason)


def check_horizons_reached(bundle: Bundle, horizons: Sequence[float] | None) -> tuple[float, ...]:
    """Return the horizons in ascending order, each once, after a check that the bundle's curves reach them.

    Args:
        bundle: the bundle with the curves.
        horizons: times in the unit of the bundle; None for those of the bundle.

    Returns:
        Horizons in the unit of the bundle, ascending.

    Raises:
        ConfigError: a horizon is not above 0, lies after the end of the curves, or is not a whole number of visits.
    """
    if horizons is None:
        return tuple(bundle.reference.horizons)
    grid, unit = bundle.reference.grid, bundle.about.unit
    try:
        whole = unit == "days" or all(float(horizon).is_integer() for horizon in horizons)
    except (TypeError, ValueError):
        whole = False
    if not whole or not horizons or min(horizons) <= 0 or max(horizons) > grid[-1]:
        raise ConfigError(
            f"horizons must be {'whole numbers of visits' if unit == 'visits' else 'days'} up to {grid[-1]:g}, where "
            f"the bundle's curves end; found {list(horizons)}"
        )
    return tuple(sorted({float(horizon) for horizon in horizons}))


@dataclass(frozen=True)
class _Rows:
    """The subject and the visit of each row of the table.

    Attributes:
        owner: index of the row's subject in the tensors; shape (row,).
        number: number of the last visit used, from 0 in the subject's record; shape (row,).
    """

    owner: Int64[np.ndarray, " row"]
    number: Int64[np.ndarray, " row"]


def _rows(visits: np.ndarray, is_scored: np.ndarray, *, first: int | None) -> _Rows:
    """Select the last visit of each scored subject, or with ``first`` all visits from that number on.

    ``first`` excludes visits after which the model was never trained, because ``data.min_visits`` left out subjects
    with so few visits.
    """
    owner = np.flatnonzero(is_scored)
    if first is None:
        return _Rows(owner, visits[owner] - 1)
    number = np.maximum(visits[owner] - first, 0)
    return _Rows(np.repeat(owner, number), flat_positions(np.full_like(owner, first), number))


def entries_and_unknown(tensors: Tensors, bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Mark the entries of the records, without added codes, and those of them that the vocabulary does not have.

    Args:
        tensors: the visits.
        bundle: the bundle whose vocabulary is used.

    Returns:
        Two masks; shape (code,).
    """
    of_record = tensors.is_entry
    return of_record, of_record & (tensors.code == bundle.preprocessing.vocabulary.entries.index(UNK))


def up_to_visit(tensors: Tensors, values: np.ndarray) -> Int64[np.ndarray, " visit"]:
    """Sum values over the entries of a subject up to and including each visit.

    Args:
        tensors: the visits.
        values: one value per entry; shape (code,).

    Returns:
        Sums; shape (visit,).
    """
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    before = total[tensors.code_offsets[tensors.visit_offsets[:-1]]]
    return total[tensors.code_offsets[1:]] - np.repeat(before, tensors.visits_per_subject)


def _curves(bundle: Bundle, tensors: Tensors, rows: _Rows, table: pd.DataFrame) -> Float64[np.ndarray, "row horizon"]:
    """Compute survival at the bundle's grid; on the visit clock add the column hazard to the table."""
    grid = bundle.reference.grid
    predictions = None if not len(rows.owner) else predict_split(bundle.model, make_batches(tensors, bundle), CPU)
    if bundle.drift is None:
        return np.empty((0, len(grid))) if predictions is None else predictions.survival[rows.owner]
    table["hazard"] = np.empty(0) if predictions is None else predictions.hazard[rows.owner, rows.number]
    return np.cumprod(1 - bundle.drift.hazard(log_odds(table["hazard"].to_numpy()), steps=len(grid)), axis=1)


def add_risk(
    table: pd.DataFrame, curves: Float64[np.ndarray, "row horizon"], bundle: Bundle, horizons: Sequence[float]
) -> None:
    """Add the columns risk, percentile, survival_h and curve to a table of predictions.

    Args:
        table: one row per prediction.
        curves: survival at the bundle's grid; shape (row, horizon).
        bundle: the bundle with the grid and the reference risks.
        horizons: times at which survival is reported.

    Raises:
        BundleError: some of the values are not finite.
    """
    check_finite(curves)
    table["risk"] = 1 - curves[:, -1]
    table["percentile"] = bundle.reference.percentile(table["risk"].to_numpy())
    grid = np.array([0.0, *bundle.reference.grid])
    whole = np.concatenate([np.ones((len(curves), 1)), curves], axis=1)
    for horizon in horizons:
        right = int(np.searchsorted(grid, horizon))
        share = (horizon - grid[right - 1]) / (grid[right] - grid[right - 1])
        # Between two times of the grid survival is interpolated linearly: each day of an interval has an equal share
        # of its events. On the visit clock horizons are whole, so that nothing is interpolated.
        table[f"survival_{horizon:g}"] = whole[:, right - 1] + share * (whole[:, right] - whole[:, right - 1])
    # dtype object, because pandas would give an empty column another dtype than a column of arrays.
    table["curve"] = pd.Series(list(curves), dtype=object)
