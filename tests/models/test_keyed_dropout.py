"""KeyedDropout: its mask has the statistics of an independent random one and depends on the keys alone."""

import math

import numpy as np
import pytest
import torch

from survlstm.data.batches import visit_keys
from survlstm.models.keyed_dropout import KeyedDropout, kept_entries

VISITS = 50_000


def dropout_of(dropout, *, units, index=0):
    return KeyedDropout(dropout, units=units, index=index).train()


def keys_of(visits=VISITS, *, salt=0):
    """Return the keys of visits 0, 1, 2, …, as a batch holds them."""
    number = np.arange(visits)
    return torch.from_numpy(visit_keys(number, number, np.zeros_like(number), salt))


def kept(dropout, dropout_key):
    """Return 1 where a unit of a visit is kept and 0 elsewhere, [visit, unit]."""
    return dropout(torch.ones(len(dropout_key), len(dropout.key)), dropout_key).ne(0).double()


def correlation(one, other):
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


@pytest.mark.parametrize("dropout", [0.01, 0.1, 0.3, 0.5, 0.9])
def test_drops_its_share(dropout):
    found = kept(dropout_of(dropout, units=64), keys_of())
    spread = math.sqrt(dropout * (1 - dropout))
    assert abs(found.mean() - (1 - dropout)) < 4 * spread / math.sqrt(found.numel())
    # The share of every single unit, too.
    assert (found.mean(dim=0) - (1 - dropout)).abs().max() < 4 * spread / math.sqrt(VISITS)
    # If the units of a visit were dropped together, their number would vary more than a binomial number.
    variance = 64 * spread**2
    assert abs(found.sum(dim=1).var() / variance - 1) < 4 * math.sqrt((2 + 1 / variance) / VISITS)


@pytest.mark.parametrize("dropout", [0.1, 0.3, 0.5, 0.9])
def test_what_is_kept_is_scaled_up_to_keep_the_expectation(dropout):
    values = torch.linspace(-2, 3, VISITS)[:, None].expand(-1, 16)
    found = dropout_of(dropout, units=16)(values, keys_of())
    torch.testing.assert_close(found[found != 0], (values / (1 - dropout))[found != 0])
    error = values.square().mean().sqrt() * math.sqrt(dropout / (1 - dropout) / found.numel())
    assert abs(found.mean() - values.mean()) < 4 * error


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_two_units_are_dropped_independently(dropout):
    found = torch.corrcoef(kept(dropout_of(dropout, units=16), keys_of()).T)
    assert (found - torch.eye(16)).abs().max() < 4 / math.sqrt(VISITS)


@pytest.mark.parametrize("dropout", [0.1, 0.5])
@pytest.mark.parametrize("apart", [1, 2, 3, 7, 64])
def test_two_visits_are_dropped_independently(dropout, apart):
    """Visits whose numbers differ by little would show serial patterns."""
    found = kept(dropout_of(dropout, units=16), keys_of())
    assert abs(correlation(found[apart:], found[:-apart])) < 4 / math.sqrt(found[apart:].numel())


@pytest.mark.parametrize("dropout", [0.1, 0.5])
@pytest.mark.parametrize("key", [0, 12345, -2_000_000_000])
def test_visits_with_neighbouring_keys_are_dropped_independently(dropout, key):
    units = 2**16
    near = [key, *(key + step for step in (1, 2, 3, 4)), *(key ^ (1 << bit) for bit in range(3, 16))]
    found = kept(dropout_of(dropout, units=units), torch.tensor(near, dtype=torch.int32))
    assert torch.corrcoef(found)[0, 1:].abs().max() < 4 / math.sqrt(units)
    # Neither mask is the other one shifted by a unit.
    for one, other in ((found[0, 1:], found[1, :-1]), (found[0, :-1], found[1, 1:])):
        assert abs(correlation(one, other)) < 4 / math.sqrt(units)


def test_two_dropout_layers_drop_independently():
    one, other = (kept(dropout_of(0.3, units=16, index=index), keys_of()) for index in (0, 1))
    assert abs(correlation(one, other)) < 4 / math.sqrt(one.numel())


def test_two_salts_drop_independently():
    dropout = dropout_of(0.3, units=16)
    one, other = (kept(dropout, keys_of(salt=salt)) for salt in (1, 2))
    assert abs(correlation(one, other)) < 4 / math.sqrt(one.numel())


@pytest.mark.parametrize("dropout_key", [None, torch.arange(3, dtype=torch.int32)])
def test_changes_nothing_in_evaluation_mode_or_without_dropout(dropout_key):
    values = torch.randn(3, 4)
    assert torch.equal(dropout_of(0.5, units=4).eval()(values, dropout_key), values)
    assert torch.equal(dropout_of(0.0, units=4)(values, dropout_key), values)


def test_training_without_keys_is_refused():
    with pytest.raises(ValueError, match=r"must have the key of every visit in training mode; found none\. Call eval"):
        dropout_of(0.5, units=4)(torch.ones(3, 4), None)


def test_the_mask_of_a_visit_does_not_depend_on_its_position_or_on_other_visits():
    dropout, values, dropout_key = dropout_of(0.5, units=32), torch.randn(100, 32), keys_of(100)
    found = dropout(values, dropout_key)
    order = torch.from_numpy(np.random.default_rng(0).permutation(100))
    assert torch.equal(dropout(values[order], dropout_key[order]), found[order])
    assert torch.equal(dropout(values[40:41], dropout_key[40:41]), found[40:41])
    assert torch.equal(dropout(values, dropout_key), found)


def test_the_mask_does_not_depend_on_a_random_generator():
    dropout, dropout_key = dropout_of(0.5, units=32), keys_of(100)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = kept(dropout, dropout_key)
        state = torch.get_rng_state()
        torch.manual_seed(2)
        assert torch.equal(kept(dropout_of(0.5, units=32), dropout_key), one)
        torch.manual_seed(1)
        assert torch.equal(torch.get_rng_state(), state)


def test_the_gradient_flows_through_what_is_kept():
    values = torch.ones(50, 32, requires_grad=True)
    found = dropout_of(0.2, units=32)(values, keys_of(50))
    found.sum().backward()
    assert torch.equal(values.grad, found.detach())
    assert 0 < values.grad.eq(0).sum() < values.numel()
    torch.testing.assert_close(values.grad.unique(), torch.tensor([0.0, 1.25]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_mask_does_not_depend_on_the_precision(dtype):
    dropout, dropout_key = dropout_of(0.3, units=32), keys_of(100)
    found = dropout(torch.ones(100, 32, dtype=dtype), dropout_key)
    assert found.dtype == dtype
    assert torch.equal(found != 0, kept(dropout, dropout_key) != 0)


def test_a_checkpoint_holds_no_state_of_it():
    dropout = dropout_of(0.5, units=8)
    assert dropout.state_dict() == {}
    assert list(dropout.parameters()) == []


def test_one_thread_and_two_give_the_same():
    before = torch.get_num_threads()
    values = torch.randn(2000, 256)
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(dropout_of(0.3, units=256)(values, keys_of(2000)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 0.9])
def test_a_share_of_the_codes_of_visits_is_left_out(dropout):
    key = keys_of().repeat_interleave(4)
    codes = torch.tensor([2, 3, 700, 3]).repeat(VISITS)
    found = kept_entries(codes, key, dropout).double().view(VISITS, 4)
    spread = math.sqrt(dropout * (1 - dropout) / VISITS)
    assert ((found.mean(dim=0) - (1 - dropout)).abs() <= 4 * spread).all()
    # Both entries of a code; codes of a visit independently of each other and of the units of its dropout.
    assert torch.equal(found[:, 1], found[:, 3])
    if dropout:
        units = kept(dropout_of(dropout, units=4), keys_of())
        for other in (found[:, 1], found[:, 2], units[:, 0], units[:, 2], units[:, 3]):
            assert abs(correlation(found[:, 0], other)) < 4 / math.sqrt(VISITS)
