"""Visits and targets → ragged tensors that hold what may be seen for the targets, so nothing behind it can leak."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int32, Int64

from survlstm.data.features import standardise, visit_features
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.ragged import flat_positions
from survlstm.data.split import Split
from survlstm.data.targets import Targets
from survlstm.data.visits import Visits, cut_visits, offsets_from_sizes
from survlstm.data.vocabulary import UNK, fit_vocabulary


@dataclass(frozen=True)
class Tensors:
    """Everything a model may see, and its labels; subjects in the order of their ids.

    Subject s has the visits from ``visit_offsets[s]`` to ``visit_offsets[s+1]``: the first ones of its record, on the
    visit clock visits 0..``step``, on the landmark clock those up to the landmark. Visit v has the codes from
    ``code_offsets[v]`` to ``code_offsets[v+1]``. ``oracle_hazard`` is NaN where the outcome was not drawn, and on the
    landmark clock.

    ``duration_days`` runs from the clock's time zero (the first visit, or the landmark) to the event or the end of
    follow-up; on the landmark clock it may lie behind the last edge, and ``event`` is then false. ``edge_days`` are the
    ends of the landmark clock's steps in days after the landmark, edge 0 = the landmark; none on the visit clock.
    """

    subject_id: np.ndarray
    split: Int8[np.ndarray, " subject"]
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    duration_days: Float64[np.ndarray, " subject"]
    edge_days: Float64[np.ndarray, " edge"]
    visit_offsets: Int64[np.ndarray, " subject_offset"]
    visit_time: np.ndarray
    features: Float32[np.ndarray, "visit feature"]
    oracle_hazard: Float32[np.ndarray, " visit"]
    code_offsets: Int64[np.ndarray, " visit_offset"]
    code: Int32[np.ndarray, " code"]

    @property
    def clock(self) -> Literal["visit", "landmark"]:
        """What ``step`` counts; see survlstm.survival.steps."""
        return "landmark" if len(self.edge_days) else "visit"

    @property
    def steps(self) -> int:
        """How many steps there are: the landmark clock's intervals, or as many as the longest record has."""
        return len(self.edge_days) - 1 if self.clock == "landmark" else int(self.step.max()) + 1

    @property
    def visits_per_subject(self) -> Int64[np.ndarray, " subject"]:
        """How many visits of each subject are held."""
        return np.diff(self.visit_offsets)

    def members(self, split: Split) -> Int64[np.ndarray, " member"]:
        """The numbers of a split's subjects."""
        return np.flatnonzero(self.split == split)


class BuiltTensors(NamedTuple):
    """What ``build_tensors`` makes.

    ``codes_left_out`` counts the entries beyond ``max_codes_per_visit``; ``codes_unknown`` the entries whose code the
    vocabulary does not know, and the codes that those are.
    """

    tensors: Tensors
    fitted: PreprocessingState
    codes_left_out: int
    codes_unknown: dict[str, int]


def build_tensors(
    visits: Visits,
    targets: Targets,
    split: Int8[np.ndarray, " subject"],
    *,
    max_codes_per_visit: int | None,
    min_frequency: int,
    fitted: PreprocessingState | None = None,
) -> BuiltTensors:
    """Cut to what may be seen and to the first codes of each visit, then fit what is fitted on the training subjects.

    ``visits`` and ``split`` are those of the cohort. Codes are left out here, after labelling: a visit keeps its
    outcome however many codes it has. With ``fitted`` nothing is fitted.
    """
    oracle = targets.oracle_hazard
    if oracle is None:
        oracle = np.full(len(visits.visit_time), np.nan, dtype=np.float32)
    oracle = oracle[flat_positions(visits.visit_offsets[targets.subject], targets.visits_seen)]
    split = split[targets.subject]
    visits = cut_visits(visits, targets.subject, stop=targets.visits_seen)
    entries = len(visits.code)
    if max_codes_per_visit is not None:
        visits = _first_codes(visits, max_codes_per_visit)
    features = visit_features(visits)
    if fitted is None:
        fitted = _fit(visits, features, split == Split.TRAIN, targets.edge_days, min_frequency)
    code = fitted.vocabulary.number(visits.codes)[visits.code]
    is_unknown = code == fitted.vocabulary.entries.index(UNK)
    tensors = Tensors(
        subject_id=visits.subjects.subject_id.astype(np.str_),
        split=split,
        step=targets.step,
        event=targets.event,
        duration_days=targets.duration_days,
        edge_days=targets.edge_days,
        visit_offsets=visits.visit_offsets,
        visit_time=visits.visit_time,
        features=standardise(features, mean=fitted.feature_mean, spread=fitted.feature_spread),
        oracle_hazard=oracle,
        code_offsets=visits.code_offsets,
        code=code,
    )
    unknown = {"entries": int(is_unknown.sum()), "codes": len(np.unique(visits.code[is_unknown]))}
    return BuiltTensors(tensors, fitted, entries - len(visits.code), unknown)


def _first_codes(visits: Visits, max_codes_per_visit: int) -> Visits:
    kept = np.minimum(visits.codes_per_visit, max_codes_per_visit)
    code = visits.code[flat_positions(visits.code_offsets[:-1], kept)]
    return replace(visits, code=code, code_offsets=offsets_from_sizes(kept))


def _fit(
    visits: Visits,
    features: Float64[np.ndarray, "visit feature"],
    is_training: Bool[np.ndarray, " subject"],
    edge_days: Float64[np.ndarray, " edge"],
    min_frequency: int,
) -> PreprocessingState:
    of_training = is_training[visits.visit_subject]
    codes = visits.code[np.repeat(of_training, visits.codes_per_visit)]
    return PreprocessingState(
        fit_vocabulary(codes, visits.codes, min_frequency=min_frequency),
        features[of_training].mean(axis=0),
        features[of_training].std(axis=0),
        edge_days,
    )


def check_consistent(tensors: Tensors, fitted: PreprocessingState) -> None:
    """ValueError unless the arrays of a file hang together as those of ``build_tensors`` do."""
    subjects, visits = len(tensors.subject_id), len(tensors.visit_time)
    lengths = {
        "split": (subjects, np.int8),
        "step": (subjects, np.int64),
        "event": (subjects, np.bool_),
        "duration_days": (subjects, np.float64),
        "visit_offsets": (subjects + 1, np.int64),
        "oracle_hazard": (visits, np.float32),
        "code_offsets": (visits + 1, np.int64),
        "code": (len(tensors.code), np.int32),
        "edge_days": (len(fitted.edge_days), np.float64),
    }
    for name, (length, kind) in lengths.items():
        found = getattr(tensors, name)
        if found.shape != (length,) or found.dtype != kind:
            raise ValueError(f"{name} must be {length} of {kind.__name__}; found {found.shape} of {found.dtype}")
    if tensors.features.shape != (visits, len(fitted.feature_mean)) or tensors.features.dtype != np.float32:
        raise ValueError("features must be one row a visit and one column a feature")
    if tensors.subject_id.dtype.kind != "U" or tensors.visit_time.dtype.kind != "M":
        raise ValueError("subjects must have texts as ids, and visits times")
    for offsets, end in ((tensors.visit_offsets, visits), (tensors.code_offsets, len(tensors.code))):
        if offsets[0] != 0 or offsets[-1] != end or bool((np.diff(offsets) < 0).any()):
            raise ValueError("offsets must rise from 0 to the number of what they cut")
    numbers = {"code": (tensors.code, len(fitted.vocabulary)), "split": (tensors.split, len(Split))}
    for name, (found, bound) in numbers.items():
        if len(found) and not 0 <= found.min() <= found.max() < bound:
            raise ValueError(f"{name} must hold numbers from 0 to {bound - 1}")
    if not np.array_equal(tensors.edge_days, fitted.edge_days) or bool((tensors.step < 0).any()):
        raise ValueError("steps must be 0 or more, and the edges those that were fitted")
