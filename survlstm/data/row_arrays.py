"""Arrays of the rows of the days clock, and what is fitted on those to train on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from survlstm.data.features import prediction_features, standardise
from survlstm.data.prediction_times import TRAINED
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.targets import TargetRows
from survlstm.data.visits import Visits


def row_arrays(visits: Visits, rows: TargetRows, state: PreprocessingState) -> dict[str, Any]:
    """Return the arrays of ``Tensors`` that only the days clock has, by name.

    Args:
        visits: Visits of the subjects that take part, up to their latest row.
        rows: The rows.
        state: Scales of the features of a row.
    """
    features = standardise(_features(visits, rows), mean=state.prediction_mean, spread=state.prediction_spread)
    return {
        "row_subject": rows.subject,
        "row_visits": rows.visits,
        "row_time": rows.time,
        "row_kind": rows.kind,
        "exposure": rows.exposure,
        "prediction_features": features,
    }


def with_row_scale(
    state: PreprocessingState, visits: Visits, rows: TargetRows, is_training: Bool[np.ndarray, " subject"]
) -> PreprocessingState:
    """Fit the scales of the features of a row on the training rows, and return the state with them.

    Args:
        state: State without these scales.
        visits: As for ``row_arrays``.
        rows: The rows.
        is_training: Training subjects.
    """
    features = _features(visits, rows)[is_training[rows.subject] & (rows.kind == TRAINED)]
    return replace(state, prediction_mean=features.mean(axis=0), prediction_spread=features.std(axis=0))


def first_times(rows: TargetRows) -> np.ndarray:
    """Return the first prediction time to train on of each subject, ``datetime64[s]`` [subject].

    Args:
        rows: The rows; each subject has one to train on.
    """
    is_trained = rows.kind == TRAINED
    _, first = np.unique(rows.subject[is_trained], return_index=True)
    return rows.time[is_trained][first]


def visits_before_training_rows(rows: TargetRows) -> Int64[np.ndarray, " subject"]:
    """Return the number of visits that the latest row to train on of each subject sees.

    Args:
        rows: The rows; each subject has one to train on.
    """
    is_trained = rows.kind == TRAINED
    last = np.flatnonzero(np.diff(rows.subject[is_trained], append=-1))
    return rows.visits[is_trained][last]


def are_first_visits(visits: Visits, number: Int64[np.ndarray, " subject"]) -> Bool[np.ndarray, " visit"]:
    """Mark the first visits of each subject.

    Args:
        visits: Visits of some subjects.
        number: How many to mark of each subject.
    """
    owner = visits.visit_subject
    return np.arange(len(owner)) - visits.visit_offsets[owner] < number[owner]


def _features(visits: Visits, rows: TargetRows) -> Float64[np.ndarray, "row feature"]:
    last = visits.visit_offsets[rows.subject] + rows.visits - 1
    return prediction_features(rows.time, visits.visit_time[last])
