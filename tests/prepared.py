"""Prepare records that a test has made, and compare what the tensors of two preparations hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from survlstm.data.features import FEATURES
from survlstm.data.outcomes.protocol import Outcome
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.prepare import prepare_uncached
from survlstm.data.prepared_data import PreparedData
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.tensors import Tensors
from survlstm.data.vocabulary import Vocabulary
from tests.records import SETTINGS, Records, RecordsSource, events_of


def prepared_from(
    records: Records,
    outcome: Outcome,
    settings: PreparationSettings = SETTINGS,
    *,
    deaths: dict[str, str] | None = None,
    preprocessing: PreprocessingState | None = None,
) -> PreparedData:
    """Prepare records without a cache."""
    source = RecordsSource(events_of(records, deaths=deaths))
    return prepare_uncached(source, outcome, settings, preprocessing=preprocessing)


def unscaled_state(entries: Sequence[str], *, edges: Sequence[float] = (), **parts: Any) -> PreprocessingState:
    """Return a state with a vocabulary and edges, which leaves the features as they are."""
    number = len(FEATURES)
    return PreprocessingState(
        Vocabulary(tuple(entries)), np.zeros(number), np.ones(number), np.array(edges, dtype=np.float64), **parts
    )


def by_subject(prepared: PreparedData) -> dict[str, tuple[Any, ...]]:
    """Return everything that the tensors hold of each subject, by its id; codes are given as texts.

    The features are the element 6, and the elements before it are exact in any order of the subjects.
    """
    tensors, entries = prepared.tensors, np.array(prepared.vocabulary.entries)
    found = {}
    for number, name in enumerate(tensors.subject_id):
        visits = slice(*tensors.visit_offsets[number : number + 2])
        codes = slice(tensors.code_offsets[visits.start], tensors.code_offsets[visits.stop])
        found[str(name)] = (
            int(tensors.split[number]),
            int(tensors.step[number]),
            bool(tensors.event[number]),
            np.diff(tensors.code_offsets[visits.start : visits.stop + 1]).tolist(),
            entries[tensors.code[codes]].tolist(),
            tensors.visit_time[visits].tolist(),
            tensors.features[visits].tolist(),
            np.nan_to_num(tensors.oracle_hazard[visits], nan=-1).tolist(),
            float(tensors.duration_days[number]),
            tensors.fused_codes[visits].tolist(),
        )
    return found


def assert_same_tensors(one: Tensors, other: Tensors) -> None:
    """Assert that all arrays are equal."""
    for field in fields(Tensors):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)
