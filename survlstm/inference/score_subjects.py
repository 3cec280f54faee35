"""Records and a bundle → one row a subject, or a visit: risk, percentile, survival, and who is not scored and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64, Int64

from survlstm.data.batches import Batches, feature_columns
from survlstm.data.ragged import flat_positions
from survlstm.data.split import Split
from survlstm.data.targets import Targets
from survlstm.data.tensors import Tensors, build_tensors
from survlstm.data.vocabulary import UNK
from survlstm.evaluation.hazard_extrapolation import log_odds
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.subject_record import ScoredRecords
from survlstm.training.prediction import predict_split
from survlstm.utils.errors import BundleError, ConfigError

CPU = torch.device("cpu")
NOT_SCORED = ("subject_id", "reason")


@dataclass(frozen=True)
class SubjectPredictions:
    """``table`` has one row a subject, or a visit: what the columns hold is said by ``Predictor.predict``.

    ``not_scored`` has subject_id and reason, a sentence. ``notes`` are sentences about the events as a whole.
    ``ends`` (datetime64[s] [subject]) is when each subject's record ends, scored or not; NaT where it holds nothing.
    """

    table: pd.DataFrame
    not_scored: pd.DataFrame
    notes: tuple[str, ...]
    ends: np.ndarray


def make_tensors(records: ScoredRecords, bundle: Bundle) -> Tensors:
    """What the model reads of the subjects with visits to read; the labels in it mean nothing."""
    subject = np.flatnonzero(records.seen)
    seen = records.seen[subject]
    intervals = bundle.fitted.intervals
    targets = Targets(
        subject=subject,
        visits_seen=seen,
        step=seen - 1 if intervals is None else np.full(len(subject), intervals - 1),
        event=np.zeros(len(subject), dtype=bool),
        duration_days=np.zeros(len(subject)),
        edge_days=bundle.fitted.edge_days,
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
        fitted=bundle.fitted,
    ).tensors


def make_batches(tensors: Tensors, bundle: Bundle) -> Batches:
    """All subjects, in batches as in training."""
    return Batches(
        tensors,
        np.arange(len(tensors.step)),
        bundle.config.trainer.batch_size,
        feature_columns(bundle.config.model.visit_features),
        bundle.config.data.max_visits,
    )


def score_subjects(
    records: ScoredRecords, bundle: Bundle, *, per_visit: bool, horizons: Sequence[float] | None, notes: Sequence[str]
) -> SubjectPredictions:
    """Predict what may be predicted, and list the rest; ``horizons`` None: those of the bundle."""
    horizons = check_horizons_reached(bundle, horizons)
    if per_visit and bundle.about.clock == "landmark":
        raise ConfigError("per_visit needs a bundle of the visit clock; this one predicts once, at its landmark")
    tensors = make_tensors(records, bundle)
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
        _up_to_visit(tensors, counted)[visit] for counted in (np.ones(len(tensors.code)), _is_unknown(tensors, bundle))
    )
    _add_risk(table, _curves(bundle, tensors, rows, table), bundle, horizons)
    left_out = np.flatnonzero(reason != "")
    not_scored = pd.DataFrame({"subject_id": ids[left_out], "reason": reason[left_out]}, columns=list(NOT_SCORED))
    return SubjectPredictions(table, not_scored, tuple(notes), records.ends)


def reasons_not_scored(records: ScoredRecords, tensors: Tensors, bundle: Bundle, *, looking_back: bool) -> np.ndarray:
    """Why each subject is not scored, "" where it is; ``tensors`` are those of ``make_tensors``.

    ``looking_back`` is for what was known at each visit: it matters not then that the record is over.
    """
    reason = records.reason.copy()
    unknown = _is_unknown(tensors, bundle)
    last = tensors.visit_offsets[1:] - 1
    entries, strange = (_up_to_visit(tensors, counted)[last] for counted in (np.ones(len(unknown)), unknown))
    reason[np.flatnonzero(records.seen)[entries == strange]] = (
        "every entry is unknown to the model: its codes are named otherwise, or are of another kind"
    )
    return reason if looking_back else np.where(records.over, records.why_over, reason)


def check_finite(found: np.ndarray) -> None:
    """BundleError where a model gives something else than numbers: its weights, though finite, are no model's."""
    if not np.isfinite(found).all():
        raise BundleError(
            f"a model's predictions must be numbers; {int((~np.isfinite(found)).sum())} of {found.size} are not. Its "
            "weights or its drift are too large: export it again"
        )


def reason_without_values(reason: str) -> str:
    """A reason without its dates and numbers, so that it can be counted."""
    return re.sub(r"\d[\d-]*", "…", reason)


def reason_without_dates(reason: str) -> str:
    """A reason fit for a message: without the dates, which are a patient's."""
    return re.sub(r"\d{4}-\d{2}-\d{2}", "a day not shown here", reason)


def check_horizons_reached(bundle: Bundle, horizons: Sequence[float] | None) -> tuple[float, ...]:
    """Sorted, each once; ConfigError where a curve does not reach them."""
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
    """Of each row of the table the subject, numbered among those that are read, and the number of its last visit."""

    owner: Int64[np.ndarray, " row"]
    number: Int64[np.ndarray, " row"]


def _rows(visits: np.ndarray, is_scored: np.ndarray, *, first: int | None) -> _Rows:
    """The last visit of each, or all from visit ``first`` on: the model has learned of nobody with fewer visits."""
    owner = np.flatnonzero(is_scored)
    if first is None:
        return _Rows(owner, visits[owner] - 1)
    number = np.maximum(visits[owner] - first, 0)
    return _Rows(np.repeat(owner, number), flat_positions(np.full_like(owner, first), number))


def _is_unknown(tensors: Tensors, bundle: Bundle) -> np.ndarray:
    return tensors.code == bundle.fitted.vocabulary.entries.index(UNK)


def _up_to_visit(tensors: Tensors, values: np.ndarray) -> Int64[np.ndarray, " visit"]:
    """Sums over a subject's entries up to each visit."""
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    before = total[tensors.code_offsets[tensors.visit_offsets[:-1]]]
    return total[tensors.code_offsets[1:]] - np.repeat(before, tensors.visits_per_subject)


def _curves(bundle: Bundle, tensors: Tensors, rows: _Rows, table: pd.DataFrame) -> Float64[np.ndarray, "row horizon"]:
    """S at the bundle's grid; on the visit clock the table gets the hazard of the row's own step."""
    grid = bundle.reference.grid
    found = None if not len(rows.owner) else predict_split(bundle.model, make_batches(tensors, bundle), CPU)
    if bundle.drift is None:
        return np.empty((0, len(grid))) if found is None else found.survival[rows.owner]
    table["hazard"] = np.empty(0) if found is None else found.hazard[rows.owner, rows.number]
    return np.cumprod(1 - bundle.drift.hazard(log_odds(table["hazard"].to_numpy()), steps=len(grid)), axis=1)


def _add_risk(
    table: pd.DataFrame, curves: Float64[np.ndarray, "row horizon"], bundle: Bundle, horizons: Sequence[float]
) -> None:
    check_finite(curves)
    table["risk"] = 1 - curves[:, -1]
    table["percentile"] = bundle.reference.percentile(table["risk"].to_numpy())
    grid = np.array([0.0, *bundle.reference.grid])
    whole = np.concatenate([np.ones((len(curves), 1)), curves], axis=1)
    for horizon in horizons:
        right = int(np.searchsorted(grid, horizon))
        share = (horizon - grid[right - 1]) / (grid[right] - grid[right - 1])
        # Between two ends of intervals the event is as likely on each day.
        table[f"survival_{horizon:g}"] = whole[:, right - 1] + share * (whole[:, right] - whole[:, right - 1])
    # Of objects, or a part without a row would have a column of numbers.
    table["curve"] = pd.Series(list(curves), dtype=object)
