"""The padded and the flat view of a batch hold the same visits, whatever the layout."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.data import packing
from survlstm.models.layers import VisitEmbedding
from survlstm.models.protocol import ModelInputs


def inputs_of(lengths, *, codes=None):
    """Inputs whose feature of visit j of row r is 100 r + j."""
    layout = packing.pack_rows(np.array(lengths))
    number = torch.cat([100.0 * row + torch.arange(length) for row, length in enumerate(lengths)])
    slot = torch.from_numpy(layout.slot)
    features = torch.zeros(layout.total, 1).index_copy(0, slot, number[:, None])
    return ModelInputs(
        codes=torch.empty(0, dtype=torch.int64) if codes is None else codes,
        code_offsets=torch.zeros(layout.total, dtype=torch.int64),
        visit_features=features,
        visit_days=features[:, 0] / 2,
        slices=layout.slices,
        slot=slot,
        visits_per_row=torch.tensor(lengths),
        dropout_key=torch.arange(layout.total, dtype=torch.int32),
    )


@pytest.mark.parametrize("cost", [0, 100, 10**9])
def test_the_views_of_a_worked_case(monkeypatch, cost):
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    inputs = inputs_of([2, 1, 3])
    assert (inputs.rows, inputs.longest) == (3, 3)
    assert inputs.is_visit.tolist() == [[True, True, False], [True, False, False], [True, True, True]]
    padded = inputs.pad(inputs.visit_features)
    assert padded[:, :, 0].tolist() == [[0, 1, 0], [100, 0, 0], [200, 201, 202]]
    assert inputs.at_last_visit(padded)[:, 0].tolist() == [1, 100, 202]
    assert inputs.visit_features[inputs.last_slot, 0].tolist() == [1, 100, 202]
    # What stands behind the end of a row does not come back.
    assert torch.equal(inputs.flatten(padded + 7 * ~inputs.is_visit[..., None]), inputs.visit_features)


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.sampled_from([0, 100, 10**9]))
def test_flatten_undoes_pad(lengths, cost):
    before = packing.SLICE_COST
    packing.SLICE_COST = cost
    try:
        inputs = inputs_of(lengths)
    finally:
        packing.SLICE_COST = before
    for values in (inputs.visit_days, inputs.visit_features):
        assert torch.equal(inputs.flatten(inputs.pad(values)), values)
    assert inputs.pad(inputs.visit_days).shape == inputs.is_visit.shape == (len(lengths), max(lengths))
    assert int(inputs.is_visit.sum()) == sum(lengths)
    key = inputs.padded_dropout_key
    assert key.dtype == torch.int32
    assert key[inputs.is_visit].tolist() == inputs.dropout_key[inputs.slot].tolist()


def test_gradients_pass_both_ways():
    inputs = inputs_of([2, 5, 1])
    values = inputs.visit_features.clone().requires_grad_()
    (inputs.flatten(inputs.pad(values) * 3)).sum().backward()
    is_visit = torch.zeros(inputs.slots).index_fill(0, inputs.slot, 1.0)
    assert torch.equal(values.grad[:, 0], 3 * is_visit)


def test_fused_codes_have_a_mean_of_their_own():
    layer = VisitEmbedding(10, 4, 0)
    codes, offsets = torch.tensor([2, 3, 7, 8, 9, 2, 8]), torch.tensor([0, 5, 5, 6])
    inputs = inputs_of([4]).replace(codes=codes, code_offsets=offsets, visit_features=torch.empty(4, 0))
    plain = layer(inputs)
    layer.set_fused([7, 8, 9])
    weight = layer.weight
    expected = [
        (weight[2] + weight[3]) / 2 + (weight[7] + weight[8] + weight[9]) / 3,
        torch.zeros(4),
        weight[2],
        weight[8],
    ]
    torch.testing.assert_close(layer(inputs), torch.stack(expected))
    assert torch.equal(layer(inputs)[2:], plain[2:])
    assert set(layer.state_dict()) == {"weight"}


def test_a_given_embedding_takes_the_place_of_the_codes():
    inputs = inputs_of([2, 1])
    layer = VisitEmbedding(10, 4, 1)
    assert layer.size == 5
    given_ = torch.randn(inputs.slots, 4)
    found = layer(inputs.replace(embedded=given_))
    assert torch.equal(found, torch.cat([given_, inputs.visit_features], dim=1))
    assert torch.equal(layer(inputs)[:, :4], torch.zeros(inputs.slots, 4))
    assert inputs.embedded is None
