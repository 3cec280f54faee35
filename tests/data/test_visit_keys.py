"""``visit_keys``: statistical quality, and independence of the other subjects and the layout of a batch."""

import math

import numpy as np
import pytest

from survlstm.data import packing
from survlstm.data.batches import Batches, visit_keys
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from tests.records import LANDMARK_SETTINGS, SETTINGS, RecordsSource, events_of, random_records

VISITS = 100_000


def keys_of(salt, *, start=0, visits=VISITS):
    number = np.arange(visits)
    return visit_keys(number, number, np.full(visits, start), salt)


@pytest.fixture(scope="module", params=[SETTINGS, LANDMARK_SETTINGS], ids=["visit clock", "landmark clock"])
def tensors(request):
    return prepare_uncached(
        RecordsSource(events_of(random_records(60, seed=0))), RandomOutcome(0.7, 1 / 60, seed=0), request.param
    )


def batches_of(tensors, max_visits):
    return Batches(tensors.tensors, tensors.tensors.members(Split.TRAIN), 64, (0,), max_visits)


def keys_by_row(batch):
    return [
        keys.tolist()
        for keys in batch.inputs.dropout_key[batch.inputs.slot].split(batch.inputs.visits_per_row.tolist())
    ]


@pytest.mark.parametrize("salt", [0, 1, 2**40])
def test_hardly_two_visits_share_a_key(salt):
    # Of as many random keys of 32 bits, about one pair is equal on average.
    assert VISITS - len(np.unique(keys_of(salt))) <= 8


@pytest.mark.parametrize(("salt", "other"), [(0, 1), (1, 2), (3, 4), (0, 2**40)])
def test_another_salt_gives_other_keys(salt, other):
    one, two = keys_of(salt), keys_of(other)
    assert not (one == two).any()
    # The second set is not the first one in another order either.
    assert len(np.intersect1d(one, two)) <= 12


def test_another_start_of_the_window_gives_other_keys():
    one, two = keys_of(0), keys_of(0, start=1)
    assert not (one == two).any()
    assert len(np.intersect1d(one, two)) <= 12


def test_every_bit_is_set_in_half_the_keys_and_by_itself():
    bits = (keys_of(5)[:, None] >> np.arange(32)) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / math.sqrt(VISITS)
    correlation = np.corrcoef(bits.T)[np.triu_indices(32, 1)]
    assert np.abs(correlation).max() < 5 / math.sqrt(VISITS)
    neighbours = [np.corrcoef(bits[:-1, bit], bits[1:, bit])[0, 1] for bit in range(32)]
    assert np.abs(neighbours).max() < 5 / math.sqrt(VISITS)


def test_a_visit_in_several_windows_has_as_many_keys(tensors):
    batches = batches_of(tensors, 5)
    batch = batches.collate(batches.members)
    keys = [key for row in keys_by_row(batch) for key in row]
    visits = np.diff(tensors.tensors.visit_offsets)[batches.members].sum()
    assert (len(keys) > visits) == (tensors.tensors.clock == "visit")
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("max_visits", [None, 5])
def test_a_visit_has_its_key_whoever_else_is_in_the_batch(tensors, max_visits):
    batches = batches_of(tensors, max_visits)
    whole = batches.collate(batches.members, salt=7)
    assert keys_by_row(whole) != keys_by_row(batches.collate(batches.members, salt=8))
    parts = [batches.collate(part, salt=7) for part in np.array_split(batches.members, 5)]
    assert keys_by_row(whole) == [row for part in parts for row in keys_by_row(part)]
    turned = batches.collate(batches.members[::-1], salt=7)
    assert sorted(keys_by_row(turned)) == sorted(keys_by_row(whole))


@pytest.mark.parametrize("cost", [0, 10**9])
def test_a_visit_has_its_key_wherever_it_stands(tensors, monkeypatch, cost):
    batches = batches_of(tensors, None)
    expected = keys_by_row(batches.collate(batches.members))
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    assert keys_by_row(batches.collate(batches.members)) == expected
