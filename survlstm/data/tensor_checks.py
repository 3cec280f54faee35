"""Check of tensors that were read from a file."""

from __future__ import annotations

import numpy as np

from survlstm.data.demographics import KINDS
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors


def check_consistent(tensors: Tensors, preprocessing: PreprocessingState) -> None:
    """Check that arrays read from a file have the shapes, types and ranges that ``build_tensors`` gives them.

    Args:
        tensors: Arrays read from a file.
        preprocessing: Preprocessing state stored with them.

    Raises:
        ValueError: If an array does not match the others or the preprocessing state.
    """
    subjects, visits, rows = len(tensors.subject_id), len(tensors.visit_time), len(tensors.step)
    lengths = {
        "split": (subjects, np.int8),
        "step": (rows, np.int64),
        "event": (rows, np.bool_),
        "duration_days": (rows, np.float64),
        "row_subject": (rows, np.int64),
        "row_visits": (rows, np.int64),
        "row_kind": (rows, np.int8),
        "exposure": (rows, np.float64),
        "visit_offsets": (subjects + 1, np.int64),
        "oracle_hazard": (visits, np.float32),
        "code_offsets": (visits + 1, np.int64),
        "code": (len(tensors.code), np.int32),
        "edge_days": (len(preprocessing.edge_days), np.float64),
        "static_codes": (subjects, np.int64),
        "age_years": (subjects, np.float64),
        "fused_codes": (visits, np.int64),
    }
    for name, (length, kind) in lengths.items():
        array = getattr(tensors, name)
        if array.shape != (length,) or array.dtype != kind:
            raise ValueError(
                f"{name} must have shape {(length,)} and type {kind.__name__}; found {array.shape} and {array.dtype}"
            )
    columns = len(preprocessing.feature_mean) + preprocessing.added_columns
    if tensors.features.shape != (visits, columns) or tensors.features.dtype != np.float32:
        raise ValueError(
            "features must be float32 with one row per visit and one column per feature, two per code group and those "
            "of values"
        )
    if tensors.subject_id.dtype.kind != "U" or tensors.visit_time.dtype.kind != "M":
        raise ValueError("subject_id must contain texts, and visit_time must contain times")
    for offsets, end in ((tensors.visit_offsets, visits), (tensors.code_offsets, len(tensors.code))):
        if offsets[0] != 0 or offsets[-1] != end or bool((np.diff(offsets) < 0).any()):
            raise ValueError("visit_offsets and code_offsets must rise from 0 to the number of visits and of codes")
    _check_demographics(tensors)
    _check_rows(tensors, preprocessing)
    numbers = {"code": (tensors.code, len(preprocessing.vocabulary)), "split": (tensors.split, len(Split))}
    for name, (array, bound) in numbers.items():
        if len(array) and not 0 <= array.min() <= array.max() < bound:
            raise ValueError(f"{name} must contain numbers from 0 to {bound - 1}")
    least = -1 if tensors.clock == "days" else 0
    if not np.array_equal(tensors.edge_days, preprocessing.edge_days) or bool((tensors.step < least).any()):
        raise ValueError(f"step must be {least} or more, and edge_days must equal those of the preprocessing state")


def _check_rows(tensors: Tensors, preprocessing: PreprocessingState) -> None:
    columns = len(preprocessing.prediction_mean)
    if tensors.prediction_features.shape != (len(tensors.step), columns) or tensors.row_time.dtype.kind != "M":
        raise ValueError("every row must have a time and each feature of a prediction time")
    rows = np.bincount(tensors.row_subject, minlength=len(tensors.subject_id)) if len(tensors.step) else np.zeros(1)
    if bool((np.diff(tensors.row_subject) < 0).any()) or len(rows) != len(tensors.subject_id) or bool((rows < 1).any()):
        raise ValueError("every subject must have a row, and rows must be in the order of the subjects")
    same_subject = np.diff(tensors.row_subject) == 0
    if bool((tensors.row_kind < 0).any() or (np.diff(tensors.row_kind)[same_subject] < 0).any()):
        raise ValueError("row_kind must be 0 or more, and rise within a subject")
    if bool(((tensors.exposure < 0) | (tensors.exposure >= 1) | np.isnan(tensors.exposure)).any()):
        raise ValueError("exposure must be from 0 to below 1")
    seen = tensors.row_visits
    if bool((seen < 1).any() or (seen > tensors.visits_per_subject[tensors.row_subject]).any()):
        raise ValueError("every row must see a visit, and none beyond those of its subject")


def _check_demographics(tensors: Tensors) -> None:
    if tensors.groups.shape != (len(tensors.subject_id), len(KINDS)) or tensors.groups.dtype.kind != "U":
        raise ValueError("groups must be texts with one row per subject and one column per kind")
    has_negative = bool((tensors.static_codes < 0).any() or (tensors.fused_codes < 0).any())
    if has_negative or bool((np.diff(tensors.code_offsets) < tensors.added_codes).any()):
        raise ValueError("every visit must have its fused codes and the static codes of its subject")
