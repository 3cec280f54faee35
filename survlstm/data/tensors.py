"""Labelled visits → ragged tensors; they end at a subject's last at-risk step, so nothing behind it can leak."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int32, Int64

from survlstm.data.features import visit_features
from survlstm.data.outcomes.labels import Labels
from survlstm.data.ragged import ranges
from survlstm.data.split import Split
from survlstm.data.visits import Visits, cut_visits, offsets_of
from survlstm.data.vocabulary import Vocabulary, fit_vocabulary


@dataclass(frozen=True)
class Tensors:
    """Everything a model may see, and its labels; subjects in the order of their ids.

    Subject s has the visits from ``visit_offsets[s]`` to ``visit_offsets[s+1]``, which are visits 0..``step`` of its
    record and no other; visit v has the codes from ``code_offsets[v]`` to ``code_offsets[v+1]``. ``oracle_hazard`` is
    NaN where the outcome was not drawn.
    """

    subject_id: np.ndarray
    split: Int8[np.ndarray, " subject"]
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    visit_offsets: Int64[np.ndarray, " subject_offset"]
    visit_time: np.ndarray
    features: Float32[np.ndarray, "visit feature"]
    oracle_hazard: Float32[np.ndarray, " visit"]
    code_offsets: Int64[np.ndarray, " visit_offset"]
    code: Int32[np.ndarray, " code"]

    def members(self, split: Split) -> Int64[np.ndarray, " member"]:
        """The numbers of a split's subjects."""
        return np.flatnonzero(self.split == split)


class Built(NamedTuple):
    """What ``build_tensors`` makes; ``codes_left_out`` counts the entries beyond ``max_codes_per_visit``."""

    tensors: Tensors
    vocabulary: Vocabulary
    codes_left_out: int


def build_tensors(
    visits: Visits,
    labels: Labels,
    split: Int8[np.ndarray, " subject"],
    *,
    max_codes_per_visit: int | None,
    min_frequency: int,
) -> Built:
    """Cut to the at-risk steps and to the first codes of each visit, then fit what is fitted on the training subjects.

    Codes are left out here, after labelling: a visit keeps its outcome however many codes it has.
    """
    steps = labels.step + 1
    oracle = labels.oracle_hazard
    if oracle is None:
        oracle = np.full(len(visits.visit_time), np.nan, dtype=np.float32)
    kept_oracle = oracle[ranges(visits.visit_offsets[:-1], steps)]
    visits = cut_visits(visits, np.arange(len(steps)), stop=steps)
    entries = len(visits.code)
    if max_codes_per_visit is not None:
        kept = np.minimum(visits.codes_per_visit, max_codes_per_visit)
        code = visits.code[ranges(visits.code_offsets[:-1], kept)]
        visits = replace(visits, code=code, code_offsets=offsets_of(kept))
    is_training = split == Split.TRAIN
    training_codes = visits.code[np.repeat(is_training[visits.visit_subject], visits.codes_per_visit)]
    vocabulary = fit_vocabulary(training_codes, visits.codes, min_frequency=min_frequency)
    tensors = Tensors(
        subject_id=visits.subjects.subject_id.astype(np.str_),
        split=split,
        step=labels.step,
        event=labels.event,
        visit_offsets=visits.visit_offsets,
        visit_time=visits.visit_time,
        features=visit_features(visits, is_training=is_training),
        oracle_hazard=kept_oracle,
        code_offsets=visits.code_offsets,
        code=vocabulary.number(visits.codes)[visits.code],
    )
    return Built(tensors, vocabulary, entries - len(visits.code))
