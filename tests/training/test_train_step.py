"""TrainStep: micro-batches, slices, fused kernels and prefetching change only the rounding; bfloat16 a little more."""

import numpy as np
import pytest
import torch

from survlstm.data import packing
from survlstm.training.prefetch import prefetch
from tests.learning import batches_of, figures, fit, gradients_of, model_for, prepared_on, train_step_of

CLOCKS = ["visit", "landmark", "days"]
# Measured: gradients of parts differ by at most 3e-7 of their norm, histories of five epochs by 8e-8.
GRADIENT_RTOL = 2e-6
HISTORY_RTOL = 1e-6
# Measured: at most 1.7e-2 of the gradients' norm and 3.4e-3 of the loss.
BFLOAT16_GRADIENT_RTOL = 5e-2
BFLOAT16_LOSS_RTOL = 1e-2


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


def still(prepared, **settings):
    """Build a step that changes neither the weights nor the gradients."""
    return train_step_of(model_for(prepared), lr=0.0, grad_clip=None, **settings)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("max_visits", [None, 4])
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_gradients_of_parts_are_those_of_the_whole_with_dropout_on(clock, max_visits, size):
    prepared = prepared_on(clock)
    batches = batches_of(prepared, max_visits=max_visits)
    chosen = batches.members[:23]
    whole, loss, norm = gradients_of(still(prepared), batches, chosen)
    parts, loss_of_parts, norm_of_parts = gradients_of(still(prepared, micro_batch_size=size), batches, chosen)
    assert relative(parts, whole) < GRADIENT_RTOL
    assert (loss_of_parts, norm_of_parts) == pytest.approx((loss, norm), rel=GRADIENT_RTOL)
    # Were dropout off, the salt would change nothing.
    assert relative(gradients_of(still(prepared), batches, chosen, salt=8)[0], whole) > 0.1


def test_gradients_are_means_over_the_effective_batch():
    prepared = prepared_on("visit")
    batches = batches_of(prepared)
    one, other = batches.members[:4], batches.members[4:15]
    parts = [gradients_of(still(prepared), batches, chosen)[0] * len(chosen) for chosen in (one, other)]
    together = gradients_of(still(prepared), batches, np.concatenate([one, other]))[0]
    assert relative(sum(parts) / 15, together) < GRADIENT_RTOL


@pytest.mark.parametrize("grad_clip", [None, 0.05, 1e6])
def test_the_norm_told_is_that_before_clipping(grad_clip):
    prepared = prepared_on("visit")
    batches = batches_of(prepared)
    whole, _, norm = gradients_of(still(prepared), batches, batches.members)
    assert norm == pytest.approx(float(whole.norm()), rel=1e-6)
    train_step = train_step_of(model_for(prepared), lr=0.0)
    train_step.grad_clip = grad_clip
    clipped, _, told = gradients_of(train_step, batches, batches.members)
    assert told == norm
    assert float(clipped.norm()) == pytest.approx(min(norm, grad_clip or norm), rel=1e-4)


@pytest.fixture(scope="module", params=CLOCKS)
def plain(request, tmp_path_factory):
    """A cohort, and the history that every faster variant must repeat."""
    prepared = prepared_on(request.param)
    history = fit(prepared, tmp_path_factory.mktemp("plain") / "run", train_step_of(model_for(prepared)), epochs=5)
    return prepared, figures(history)


@pytest.mark.parametrize(
    "settings",
    [
        {"micro_batch_size": 1},
        {"micro_batch_size": 3},
        {"micro_batch_size": 1000},
        {"fused": True},
    ],
)
def test_a_whole_history_is_the_same(plain, tmp_path, settings):
    prepared, expected = plain
    history = fit(prepared, tmp_path / "run", train_step_of(model_for(prepared), **settings), epochs=5)
    np.testing.assert_allclose(figures(history), expected, rtol=HISTORY_RTOL)


@pytest.mark.parametrize("cost", [0, 100, 10**9])
def test_a_whole_history_is_the_same_however_time_is_cut(plain, tmp_path, monkeypatch, cost):
    prepared, expected = plain
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    batches = batches_of(prepared)
    batch = batches.collate(batches.members)
    different = len(batch.inputs.visits_per_row.unique())
    # Else the costs would not be told apart.
    assert len(batch.inputs.slices) == different > 4 if cost == 0 else len(batch.inputs.slices) < different
    history = fit(prepared, tmp_path / "run", train_step_of(model_for(prepared)), epochs=5)
    np.testing.assert_allclose(figures(history), expected, rtol=HISTORY_RTOL)


def fields_of(batch):
    return [*vars(batch.inputs).values(), *batch[1:]]


def test_batches_made_ahead_are_the_batches():
    batches = batches_of(prepared_on("visit"))
    chosen = batches.shuffled(seed=0, epoch=1)
    for made, subjects in zip(prefetch(lambda each: batches.collate(each, salt=5), chosen), chosen, strict=True):
        expected = batches.collate(subjects, salt=5)
        for found, same in zip(fields_of(made), fields_of(expected), strict=True):
            assert torch.equal(found, same) if isinstance(found, torch.Tensor) else found == same


@pytest.mark.parametrize("clock", CLOCKS)
def test_bfloat16_is_close(clock):
    prepared = prepared_on(clock)
    batches = batches_of(prepared)
    for chosen in batches.in_order():
        expected, loss, norm = gradients_of(still(prepared), batches, chosen)
        train_step = still(prepared, precision=torch.bfloat16)
        found, loss_found, norm_found = gradients_of(train_step, batches, chosen)
        assert 1e-4 < relative(found, expected) < BFLOAT16_GRADIENT_RTOL
        assert loss_found == pytest.approx(loss, rel=BFLOAT16_LOSS_RTOL)
        assert norm_found == pytest.approx(norm, rel=BFLOAT16_GRADIENT_RTOL)
        assert {weights.dtype for weights in train_step.model.parameters()} == {torch.float32}


def test_it_learns_in_bfloat16(tmp_path):
    prepared = prepared_on("visit")
    train_step = train_step_of(model_for(prepared), precision=torch.bfloat16)
    history = fit(prepared, tmp_path / "run", train_step, epochs=8)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss - 0.1
