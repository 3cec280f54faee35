"""States, cached data and bundles of an earlier survlstm, which had five features."""

import json
from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.checksums import write_checksums
from survlstm.data.features import FEATURES
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepared_cache import load_entry, store_prepared
from survlstm.data.preprocessing_state import FIRST_FEATURES, PreprocessingState
from survlstm.data.values.settings import ValueSettings
from tests.prepared import prepared_from
from tests.records import SETTINGS, random_records, with_random_values

RANDOM = RandomOutcome(0.7, 1 / 60, seed=0)


@pytest.fixture(scope="module")
def prepared():
    records = with_random_values(random_records(80, seed=0), seed=0, codes=["X/1", "X/2"])
    settings = replace(SETTINGS, values=ValueSettings("continuous", min_values_per_bin=5))
    return replace(prepared_from(records, RANDOM, settings), fingerprint="f")


def of_before(state):
    """The plain values of a state as they were before."""
    plain = state.as_plain()
    return plain | {name: plain[name][:FIRST_FEATURES] for name in ("feature_mean", "feature_spread")}


def test_the_columns_that_an_earlier_state_lacks_are_zero(prepared):
    state = PreprocessingState.from_plain(of_before(prepared.preprocessing))
    found = prepared_from(random_records(20, seed=1), RANDOM, SETTINGS, preprocessing=state).tensors.features
    assert (found[:, FIRST_FEATURES : len(FEATURES)] == 0).all()
    assert found[:, :FIRST_FEATURES].std(axis=0)[[0, 1, 3, 4]].min() > 0.1
    assert state.sizes == prepared.preprocessing.sizes


def test_the_same_data_give_an_earlier_state_and_others_do_not(prepared):
    state, stored = prepared.preprocessing, of_before(prepared.preprocessing)
    assert state.gives(stored)
    assert state.gives(state.as_plain())
    other = state.feature_mean + np.eye(len(FEATURES))[0]
    assert not replace(state, feature_mean=other).gives(stored)
    # Of a state with all features, all are compared.
    other = state.feature_mean + np.eye(len(FEATURES))[-1]
    assert replace(state, feature_mean=other).gives(stored)
    assert not replace(state, feature_mean=other).gives(state.as_plain())
    assert not state.gives(stored | {"vocabulary": stored["vocabulary"][:-1]})
    assert not replace(state, values=None).gives(stored)


def test_cached_data_of_before_are_read(prepared, tmp_path):
    data = prepared.tensors
    kept = np.delete(data.features, range(FIRST_FEATURES, len(FEATURES)), axis=1)
    store_prepared(replace(prepared, tensors=replace(data, features=kept)), tmp_path / "entry")
    about = json.loads((tmp_path / "entry" / "about.json").read_text())
    (tmp_path / "entry" / "about.json").write_text(json.dumps(about | {"fitted": of_before(prepared.preprocessing)}))
    write_checksums(tmp_path / "entry")
    found = load_entry(tmp_path / "entry", "f").tensors.features
    new = range(FIRST_FEATURES, len(FEATURES))
    np.testing.assert_array_equal(np.delete(found, new, axis=1), kept)
    assert (found[:, new] == 0).all()
    assert found.dtype == np.float32
