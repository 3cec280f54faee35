"""CountedEmbedding: effects of log(1 + count) of the codes of a visit and of the record so far, from any layout."""

import numpy as np
import pytest
import torch

from survlstm.data.packing import pack_rows
from survlstm.models.code_counts import CountedEmbedding, blocked_running_sum, running_sum, shares_of_log_count
from survlstm.models.protocol import ModelInputs

# Repeated codes, an empty visit, fused codes (7 and above) and rows of unequal length.
RECORDS = [
    [[2, 2, 3, 7], [], [2, 8, 8], [4], [3, 2]],
    [[5], [5, 5, 5]],
    [[1, 9], [6, 1, 9]],
]
ONE_SLICE, MANY_SLICES = 10**9, 0


def inputs_of(records, *, slice_cost=ONE_SLICE):
    """The batch of some records without visit features."""
    lengths = np.array([len(record) for record in records])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("survlstm.data.packing.SLICE_COST", slice_cost)
        layout = pack_rows(lengths)
    in_slot = [[] for _ in range(layout.total)]
    for slot, visit in zip(layout.slot, (visit for record in records for visit in record), strict=True):
        in_slot[slot] = visit
    sizes = torch.tensor([len(codes) for codes in in_slot])
    return ModelInputs(
        codes=torch.tensor([code for codes in in_slot for code in codes], dtype=torch.int32),
        code_offsets=(sizes.cumsum(0) - sizes).to(torch.int32),
        visit_features=torch.zeros(layout.total, 0),
        visit_days=torch.zeros(layout.total),
        slices=layout.slices,
        slot=torch.from_numpy(layout.slot),
        visits_per_row=torch.from_numpy(lengths),
    )


def layer_of(*, seed=0):
    torch.manual_seed(seed)
    layer = CountedEmbedding(10, 4, 0)
    layer.set_fused([7, 8, 9])
    with torch.no_grad():
        layer.visit_count.normal_()
        layer.record_count.normal_()
    return layer


def expected_effect(layer, records):
    """The formula, code by code."""
    of_visit, of_record = layer.visit_count.detach().numpy(), layer.record_count.detach().numpy()
    found = []
    for record in records:
        seen = np.zeros(10)
        for visit in record:
            here = np.bincount(np.array(visit, dtype=np.int64), minlength=10)
            seen = seen + here
            found.append(np.log1p(here) @ of_visit + np.log1p(seen) @ of_record)
    return np.array(found)


@pytest.mark.parametrize("slice_cost", [ONE_SLICE, MANY_SLICES])
def test_the_effect_is_that_of_log_counts(slice_cost):
    layer, inputs = layer_of(), inputs_of(RECORDS, slice_cost=slice_cost)
    assert (len(inputs.slices) > 1) == (slice_cost == MANY_SLICES)
    found = layer.count_effect(inputs)[inputs.slot].detach()
    np.testing.assert_allclose(found, expected_effect(layer, RECORDS), rtol=1e-5, atol=1e-6)


def test_a_window_is_a_record_of_its_own():
    layer, record = layer_of(), RECORDS[0]
    inputs = inputs_of([record[:3], record[2:]])
    found = layer.count_effect(inputs)[inputs.slot].detach()
    np.testing.assert_allclose(found, expected_effect(layer, [record[:3], record[2:]]), rtol=1e-5, atol=1e-6)


def test_codes_without_entries_have_no_effect():
    inputs = inputs_of([[[], []]])
    assert layer_of().count_effect(inputs).tolist() == [0.0, 0.0]


def test_rows_weights_and_grid_give_the_same_columns():
    """What explanations and ONNX compute is what the model computes from the codes."""
    layer, record = layer_of(), RECORDS[0]
    visit = torch.tensor([number for number, codes in enumerate(record) for _ in codes])
    code = torch.tensor([code for codes in record for code in codes])
    weighted = layer.rows[code] * layer.entry_weights(code, visit)
    by_entry = weighted.new_zeros(len(record), 6).index_add(0, visit, weighted)
    grid = torch.zeros(1, len(record), 5, dtype=torch.int64)
    for number, codes in enumerate(record):
        # Padding may lie anywhere.
        grid[0, number, 5 - len(codes) :] = torch.tensor(codes)
    torch.testing.assert_close(layer.embed_grid(grid)[0], by_entry)
    inputs = inputs_of([record])
    given = inputs.replace(embedded=by_entry)
    torch.testing.assert_close(layer.count_effect(given), layer.count_effect(inputs))
    torch.testing.assert_close(layer(given), layer(inputs))


def test_the_embedding_of_a_visit_is_the_sum_over_log_counts():
    layer, visits = layer_of(), [visit for record in RECORDS for visit in record]
    inputs = inputs_of(RECORDS)
    counts = np.stack([np.bincount(np.array(visit, dtype=np.int64), minlength=10) for visit in visits])
    found = layer(inputs)[inputs.slot].detach()
    np.testing.assert_allclose(found, np.log1p(counts) @ layer.weight.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_gradients_of_the_effects_are_the_log_counts():
    layer, record = layer_of(), RECORDS[0]
    inputs = inputs_of([record])
    layer.count_effect(inputs)[inputs.slot[-1]].backward()
    counts = np.bincount(np.concatenate([np.array(visit, dtype=np.int64) for visit in record]), minlength=10)
    np.testing.assert_allclose(layer.record_count.grad, np.log1p(counts), rtol=1e-6)
    np.testing.assert_allclose(layer.visit_count.grad, np.log1p(np.bincount(record[-1], minlength=10)), rtol=1e-6)


def test_shares_number_the_entries_of_a_code_in_their_order():
    codes, group = torch.tensor([3, 5, 3, 3, 5]), torch.tensor([0, 0, 0, 1, 1])
    expected = np.log([2 / 1, 2 / 1, 3 / 2, 2 / 1, 2 / 1])
    np.testing.assert_allclose(shares_of_log_count(codes, group), expected, rtol=1e-6)


@pytest.mark.parametrize("visits", [1, 2, 3, 7, 16, 17, 100])
def test_the_blocked_sum_is_the_running_sum(visits):
    values = torch.randn(3, visits, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(blocked_running_sum(values), values.cumsum(dim=1))
    assert torch.equal(running_sum(values), values.cumsum(dim=1))
