"""Score subjects at prediction times with a model of the days clock; one pass over a record serves all of its times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int64

from survlstm.data.factory import demographic_settings
from survlstm.data.prediction_times import TRAINED
from survlstm.data.split import Split
from survlstm.data.targets import TargetRows, Targets, days_between
from survlstm.data.tensors import BuiltTensors, build_tensors
from survlstm.inference.bundle.bundle import Bundle
from survlstm.inference.prediction_time import AskedTimes
from survlstm.inference.row_records import UNKNOWN, RowRecords
from survlstm.inference.score_subjects import (
    CPU,
    NO_KNOWN_CODE,
    ROWS_NOT_SCORED,
    SubjectPredictions,
    add_risk,
    check_horizons_reached,
    entries_and_unknown,
    make_batches,
    up_to_visit,
)
from survlstm.inference.time_notes import TimeCounts
from survlstm.inference.value_notes import ReadValues
from survlstm.training.prediction import predict_split

Rows = Int64[np.ndarray, " scored"]


def make_row_tensors(records: RowRecords, rows: Rows, bundle: Bundle) -> BuiltTensors:
    """Make the tensors that the model reads for some rows; a subject is stored once, up to its latest row.

    Args:
        records: the visits and the rows.
        rows: indices of the rows, rising.
        bundle: the bundle whose vocabulary and preprocessing are applied.

    Returns:
        Tensors of the subjects of these rows, and counts. The labels are placeholders.
    """
    subject, place = np.unique(records.subject[rows], return_inverse=True)
    seen = np.zeros(len(subject), dtype=np.int64)
    np.maximum.at(seen, place, records.seen[rows])
    number, zeros = len(rows), np.zeros(len(rows))
    edges = bundle.preprocessing.edge_days
    targets = Targets(
        subject=subject,
        visits_seen=seen,
        step=np.full(number, len(edges) - 2),
        event=np.zeros(number, dtype=bool),
        duration_days=zeros,
        edge_days=edges,
        oracle_hazard=None,
        exclusions=(),
        rows=TargetRows(
            subject=place,
            visits=records.seen[rows],
            time=records.time[rows],
            kind=np.full(number, TRAINED, dtype=np.int8),
            exposure=zeros,
            left_out={},
            warnings=(),
        ),
    )
    data = bundle.config.data
    return build_tensors(
        records.visits,
        targets,
        np.full(len(records.visits.subjects), Split.TEST, dtype=np.int8),
        max_codes_per_visit=data.max_codes_per_visit,
        min_frequency=bundle.config.vocabulary.min_frequency,
        preprocessing=bundle.preprocessing,
        demographics=demographic_settings(bundle.config),
    )


def build_scored(records: RowRecords, bundle: Bundle) -> tuple[Rows, np.ndarray, BuiltTensors]:
    """Select the rows that are scored, give the reason for the others, and make the tensors.

    Args:
        records: the visits and the rows.
        bundle: the bundle whose vocabulary is used.

    Returns:
        Indices of the rows that are scored, the reason of every row, "" for those, and the tensors of those.
    """
    rows, reason = records.scored, records.reason.copy()
    built = make_row_tensors(records, rows, bundle)
    tensors = built.tensors
    entries, strange = (
        up_to_visit(tensors, counted)[tensors.last_visit] for counted in entries_and_unknown(tensors, bundle)
    )
    is_known = entries > strange
    reason[rows[~is_known]] = NO_KNOWN_CODE
    rows = rows[is_known]
    return rows, reason, built if is_known.all() else make_row_tensors(records, rows, bundle)


def score_rows(
    records: RowRecords,
    bundle: Bundle,
    asked: AskedTimes,
    *,
    horizons: Sequence[float] | None,
    notes: Sequence[str],
) -> SubjectPredictions:
    """Score the rows at which a subject is at risk and list the others with the reason.

    Args:
        records: the visits and the rows.
        bundle: the model, its preprocessing and its reference risks.
        asked: the prediction times.
        horizons: days at which survival is reported; None for those of the bundle.
        notes: sentences to pass on in the result.

    Returns:
        The predictions, the rows that are not scored with the reason, and ``notes`` followed by those on values and on
        prediction times; ``Predictor.predict`` describes the columns.

    Raises:
        ConfigError: ``horizons`` is invalid.
        BundleError: the model gives values that are not finite.
    """
    horizons = check_horizons_reached(bundle, horizons)
    rows, reason, built = build_scored(records, bundle)
    tensors = built.tensors
    last = tensors.last_visit
    ids = records.visits.subjects.subject_id.astype(np.str_)
    table = pd.DataFrame({"subject_id": ids[records.subject[rows]]})
    if asked.kind == "every_visit":
        table["visit"] = tensors.row_visits - 1
    table["prediction_time"] = tensors.row_time
    table["history_end"] = tensors.visit_time[last]
    table["history_age_days"] = days_between(tensors.visit_time[last], tensors.row_time)
    limit = bundle.reference.stale_days
    table["is_stale"] = table["history_age_days"] > (np.inf if limit is None else limit)
    table["visits"] = tensors.row_visits
    table["entries"], table["entries_unknown"] = (
        up_to_visit(tensors, counted)[last] for counted in entries_and_unknown(tensors, bundle)
    )
    curves = np.empty((0, len(bundle.reference.grid)))
    if len(rows):
        # The rows of all subjects, in the order of the tensors.
        curves = predict_split(bundle.model, make_batches(tensors, bundle), CPU).survival
    add_risk(table, curves, bundle, horizons)
    values = ReadValues.of(built.values)
    counts = TimeCounts(
        rows=len(table),
        stale=int(table["is_stale"].sum()),
        after_visits=int((table["history_age_days"] > 0).sum()),
        unobserved=records.unobserved,
    )
    of_times = counts.notes(bundle.config, asked, stale_days=limit)
    return SubjectPredictions(
        table,
        _not_scored(records, ids, reason),
        (*notes, *values.notes, *of_times),
        records.ends,
        values,
        counts,
    )


def _not_scored(records: RowRecords, ids: np.ndarray, reason: np.ndarray) -> pd.DataFrame:
    left_out = np.flatnonzero(reason != "")
    unknown_id, unknown_time = records.unknown
    return pd.DataFrame(
        {
            "subject_id": np.concatenate([ids[records.subject[left_out]], unknown_id]).astype(object),
            "prediction_time": np.concatenate([records.time[left_out], unknown_time]).astype("datetime64[s]"),
            "reason": np.concatenate([reason[left_out], np.full(len(unknown_id), UNKNOWN, dtype=object)]),
        },
        columns=list(ROWS_NOT_SCORED),
    )
