"""Every shipped model: causal, the same in parts of a batch, exportable, and built from its config group."""

import functools

import numpy as np
import pytest
import torch

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import build_batches
from survlstm.data.split import Split
from survlstm.explanation.occlusion import occlude
from survlstm.inference.bundle.onnx_export import MOST_DIFFERENCE, write_onnx
from survlstm.models.factory import build_model, build_model_with_weights
from survlstm.models.transformer import TimeEncoding
from survlstm.survival.loss import nll_per_step
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.model_checks import check_model
from survlstm.training.seeding import seed_everything
from tests.learning import CPU, prepared_on

MODELS = ("gru", "transformer", "retain", "mlp_bag", "lstm_small", "nested_lstm")
# Numbers of codes that count as fused codes of values.
FUSED = tuple(range(2, 40, 3))
every_model = pytest.mark.parametrize("name", MODELS)
both_clocks = pytest.mark.parametrize("clock", ["visit", "landmark"])
every_clock = pytest.mark.parametrize("clock", ["visit", "landmark", "days"])


@functools.cache
def config_of(name, *more):
    sizes = ("model.embedding_dim=6", "model.hidden_dim=8", *(["model.num_heads=2"] if name == "transformer" else []))
    (config,) = check_overrides("train", ["data=tiny", f"model={name}", *sizes, *more], RunConfig)
    return config


def built(name, clock, *more):
    prepared, config = prepared_on(clock), config_of(name, *more)
    seed_everything(0, deterministic=True)
    model = build_model(
        config.model,
        prepared.preprocessing.sizes._replace(fused_codes=FUSED),
        mean_hazard=initial_hazard(prepared.tensors),
    )
    return model, build_batches(config, prepared.tensors, Split.TRAIN), prepared


@torch.no_grad()
def noisy(model):
    """The model with noise on its weights; those that start at 0 hide others."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    return model


@every_model
@every_clock
def test_fulfils_the_protocol(name, clock):
    model, batches, prepared = built(name, clock)
    check_model(model, batches, CPU, vocabulary_size=len(prepared.vocabulary))


@every_model
@every_clock
def test_starts_near_the_mean_hazard(name, clock):
    model, batches, prepared = built(name, clock)
    batch = batches.collate(batches.members)
    with torch.no_grad():
        hazard = model.eval()(batch.inputs).sigmoid()[batch.at_risk]
    assert float(hazard.mean()) == pytest.approx(np.mean(initial_hazard(prepared.tensors)), rel=0.5)


@every_model
@every_clock
def test_parts_of_a_batch_add_up_to_its_gradient(name, clock):
    """In training mode too: dropout masks belong to the visit, so that memory and processes do not change a run."""
    model, batches, _ = built(name, clock, "model.dropout=0.4")
    members = batches.members[:12]
    noisy(model)

    def gradients(parts):
        model.train().zero_grad()
        for part in parts:
            batch = batches.collate(part, salt=3)
            nll = nll_per_step(model(batch.inputs), at_risk=batch.at_risk, event=batch.event)
            nll = nll if batch.weight is None else nll * batch.weight
            (nll.sum() / len(members)).backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    parts = gradients([members[:1], members[1:8], members[8:]])
    torch.testing.assert_close(parts, gradients([members]), rtol=1e-4, atol=1e-6)
    without = {name for name, parameter in model.named_parameters() if not parameter.grad.any()}
    # Predictions at visits all have 0 days since the last visit; a softmax does not depend on a bias.
    assert without <= {"prediction_effect", "visit_attention.bias"}


@every_model
@both_clocks
def test_is_exported_to_onnx(name, clock, tmp_path):
    model, _, _ = built(name, clock)
    visit_features = len(config_of(name).model.visit_features)
    assert write_onnx(model, tmp_path / "model.onnx", visit_features=visit_features) <= MOST_DIFFERENCE


@every_model
def test_weights_of_a_file_give_the_same_model(name):
    model, batches, prepared = built(name, "visit")
    again = build_model_with_weights(
        config_of(name).model,
        prepared.preprocessing.sizes._replace(fused_codes=FUSED),
        weights=model.state_dict(),
    )
    batch = batches.collate(batches.members[:5])
    with torch.no_grad():
        assert torch.equal(again(batch.inputs), model.eval()(batch.inputs))


@every_model
def test_is_explained_by_occlusion(name):
    model, batches, _ = built(name, "visit")
    found = occlude(noisy(model), batches, int(batches.members[0]))
    assert np.isfinite(found.effect).all()
    assert np.abs(found.effect).max() > 0


def test_a_transformer_knows_the_time_between_visits_and_not_only_their_order():
    model, batches, _ = built("transformer", "visit", "model.visit_features=[]")
    inputs = batches.collate(batches.members[:3]).inputs
    with torch.no_grad():
        before, after = (model.eval()(each) for each in (inputs, inputs.replace(visit_days=inputs.visit_days * 2)))
    assert (before != after)[inputs.slot].float().mean() > 0.5


def test_a_bag_knows_no_order_of_the_visits_before():
    model, batches, _ = built("mlp_bag", "visit", "model.visit_features=[]")
    long = batches.members[batches.visits(batches.members).argmax()]
    inputs = batches.collate(np.array([long])).inputs
    embedded = torch.randn(inputs.slots, 6)
    swapped = embedded[[1, 0, *range(2, inputs.slots)]]
    with torch.no_grad():
        one, other = (model.eval()(inputs.replace(embedded=each)) for each in (embedded, swapped))
    assert inputs.slots > 3
    torch.testing.assert_close(one[2:], other[2:])
    assert not torch.allclose(one[:2], other[:2])


def long_record(batches):
    """The inputs of the longest record, alone: its slots are its visits in order."""
    longest = batches.members[batches.visits(batches.members).argmax()]
    return batches.collate(np.array([longest])).inputs


def test_a_bag_of_equal_visits_is_the_visit():
    """A mean, not a sum: the hazard does not grow with the number of visits."""
    model, batches, _ = built("mlp_bag", "visit", "model.visit_features=[]")
    inputs = long_record(batches)
    with torch.no_grad():
        logits = model.eval()(inputs.replace(embedded=torch.randn(6).repeat(inputs.slots, 1)))
    torch.testing.assert_close(logits, logits[:1].expand_as(logits))


def test_retain_is_the_weighted_sum_of_its_formula():
    model, batches, _ = built("retain", "visit")
    inputs = long_record(batches)
    with torch.no_grad():
        visits = model.eval().embedding(inputs)
        score = model.visit_attention(model.visit_gru(visits[None])[0][0])[:, 0].exp()
        beta = torch.tanh(model.value_attention(model.value_gru(visits[None])[0][0]))
        for last in range(inputs.slots):
            weights = score[: last + 1] / score[: last + 1].sum()
            context = sum(weights[visit] * beta[visit] * visits[visit] for visit in range(last + 1))
            torch.testing.assert_close(model(inputs)[last], model.head.logit(context)[0], rtol=1e-4, atol=1e-5)


def test_times_two_days_apart_are_told_apart_and_centuries_are_not_repeated():
    """The shortest wavelength is two days, the longest two centuries."""
    found = TimeEncoding(32)(torch.tensor([[0.0, 1.0, 30.0, 3650.0, 36_500.0]]))[0]
    assert found.shape == (5, 32)
    assert torch.equal(found[0], torch.cat([torch.zeros(16), torch.ones(16)]))
    assert float(torch.pdist(found).min()) > 0.5
