"""SurvivalEnsemble: members train as they would alone, and predict as one model the mean of their hazards."""

import numpy as np
import pytest
import torch

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import build_batches
from survlstm.data.split import Split
from survlstm.explanation.gradients import average_embedding, integrated_gradients
from survlstm.explanation.model_inputs import model_input
from survlstm.explanation.occlusion import occlude
from survlstm.inference.bundle.onnx_export import MOST_DIFFERENCE, write_onnx
from survlstm.models.ensemble import LinearStartEnsemble, SurvivalEnsemble, mean_hazard_logits
from survlstm.models.factory import build_model, build_model_with_weights
from survlstm.models.keyed_dropout import member_keys
from survlstm.models.protocol import LinearStart
from survlstm.training.distributed import SINGLE_PROCESS
from survlstm.training.factory import build_train_step
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.linear_start import start_linear_part
from survlstm.training.model_checks import check_model
from survlstm.training.seeding import seed_everything
from survlstm.utils.errors import ConfigError
from tests.explanation.rows import forward
from tests.learning import CPU, prepared_on

MODELS = ("gru", "transformer", "retain", "mlp_bag", "lstm_small", "nested_lstm")
# Numbers of codes that count as fused codes of values.
FUSED = tuple(range(2, 40, 3))
every_model = pytest.mark.parametrize("name", MODELS)


def built(name, members, *more, clock="visit"):
    sizes = ("model.embedding_dim=6", "model.hidden_dim=8", *(["model.num_heads=2"] if name == "transformer" else []))
    words = ["data=tiny", f"model={name}", *sizes, f"model.ensemble={members}", *more]
    (config,) = check_overrides("train", words, RunConfig)
    prepared = prepared_on(clock)
    seed_everything(0, deterministic=True)
    model = build_model(
        config.model,
        prepared.preprocessing.sizes._replace(fused_codes=FUSED),
        mean_hazard=initial_hazard(prepared.tensors),
    )
    return model, build_batches(config, prepared.tensors, Split.TRAIN), config


@torch.no_grad()
def noisy(model):
    """The model with noise on its weights, so that members differ and no part is 0."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    return model


def test_the_mean_hazard_of_members():
    logits = torch.tensor([[0.0, -3.0, 2.0], [1.0, -1.0, 2.0]], dtype=torch.float64)
    expected = torch.logit(logits.sigmoid().mean(dim=0))
    torch.testing.assert_close(mean_hazard_logits(logits), expected)


def test_hazards_that_round_to_0_or_1_keep_their_logits():
    logits = torch.tensor([[-200.0, 200.0, -300.0], [-200.0, 200.0, -200.0]])
    found = mean_hazard_logits(logits)
    torch.testing.assert_close(found[:2], logits[0, :2])
    assert float(found[2]) == pytest.approx(-200 - np.log(2))


@pytest.mark.parametrize(
    ("name", "clock"),
    [(name, "visit") for name in MODELS] + [(name, clock) for name in MODELS[-2:] for clock in ("landmark", "days")],
)
def test_an_ensemble_predicts_the_mean_hazard_and_fulfils_the_protocol(name, clock):
    model, batches, _ = built(name, 3, clock=clock)
    check_model(model, batches, CPU, vocabulary_size=len(prepared_on(clock).vocabulary))
    inputs = batches.collate(batches.members[:7]).inputs
    noisy(model)
    with torch.no_grad():
        members = torch.stack([member.eval()(inputs) for member in model.members]).sigmoid()
        torch.testing.assert_close(model.eval()(inputs).sigmoid(), members.mean(dim=0))
    assert float(members.std(dim=0).mean()) > 1e-3


@every_model
def test_the_first_member_has_the_weights_of_a_single_model(name):
    (one, _, _), (several, _, _) = built(name, 1), built(name, 2)
    assert not isinstance(one, SurvivalEnsemble)
    first, second = (member.state_dict() for member in several.members)
    assert all(torch.equal(first[key], value) for key, value in one.state_dict().items())
    assert any(not torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["lstm_small", "nested_lstm"])
def test_a_member_is_trained_as_it_would_be_alone(name):
    """With dropout, clipping and weight decay; the first member has the dropout masks of a single model."""
    limit = "model.grad_clip=0.05" if name == "nested_lstm" else "trainer.grad_clip=0.05"
    more = ("model.dropout=0.4", limit, "optimizer.lr=0.02", "trainer.micro_batch_size=5")
    trained = []
    for members in (1, 3):
        model, batches, config = built(name, members, *more)
        step = build_train_step(config, model.train(), CPU, SINGLE_PROCESS)
        results = list(step.steps(batches, [batches.members[:12], batches.members[12:30]], salt=3))
        assert all(float(result.norm) > 0.05 for result in results)
        trained.append((model, results))
    (one, alone), (several, together) = trained
    for key, value in one.state_dict().items():
        torch.testing.assert_close(several.members[0].state_dict()[key], value, rtol=1e-4, atol=1e-6)
    # All begin at nearly the same loss, which is a mean over members and not their sum.
    assert float(together[0].loss) == pytest.approx(float(alone[0].loss), rel=0.1)
    assert float(together[0].norm) == pytest.approx(float(alone[0].norm), rel=0.5)


def test_members_have_different_dropout_masks():
    keys = torch.arange(1000, dtype=torch.int32)
    found = [member_keys(keys, number) for number in range(3)]
    assert torch.equal(found[0], keys)
    assert len({tuple(one.tolist()) for one in found}) == 3
    assert all(len(one.unique()) == len(keys) for one in found)
    model, batches, _ = built("lstm_small", 2, "model.dropout=0.5")
    model.members[1].load_state_dict(model.members[0].state_dict())
    logits = model.train()(batches.collate(batches.members[:9], salt=1).inputs)
    assert logits.shape[0] == 2
    assert float((logits[0] - logits[1]).detach().abs().max()) > 1e-3


@every_model
@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_it_is_exported_to_onnx_as_one_model(name, clock, tmp_path):
    model, _, config = built(name, 2, clock=clock)
    noisy(model)
    features = len(config.model.visit_features)
    assert write_onnx(model, tmp_path / "model.onnx", visit_features=features) <= MOST_DIFFERENCE


@every_model
def test_weights_of_a_file_give_the_same_ensemble(name):
    model, batches, config = built(name, 2)
    sizes = prepared_on("visit").preprocessing.sizes._replace(fused_codes=FUSED)
    again = build_model_with_weights(config.model, sizes, weights=model.state_dict())
    inputs = batches.collate(batches.members[:5]).inputs
    with torch.no_grad():
        assert torch.equal(again(inputs), model.eval()(inputs))
    alone = config.model.model_copy(update={"ensemble": 1})
    with pytest.raises(ValueError, match="the weights must be those of the config's model"):
        build_model_with_weights(alone, sizes, weights=model.state_dict())


@pytest.mark.parametrize("members", [1, 2])
def test_a_limit_of_the_models_own_comes_before_the_trainers(members):
    for name, more, limit in (
        ("nested_lstm", ["model.grad_clip=0.05"], 0.05),
        ("nested_lstm", ["model.grad_clip=null"], None),
        ("lstm_small", [], 4.0),
    ):
        model, _, config = built(name, members, "trainer.grad_clip=4", *more)
        assert build_train_step(config, model, CPU, SINGLE_PROCESS).grad_clip == limit


@pytest.mark.parametrize("name", ["lstm_small", "nested_lstm"])
@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_it_is_explained_as_one_model(name, clock):
    model, batches, _ = built(name, 2, clock=clock)
    noisy(model).eval().requires_grad_(False)
    model.intervals = model.members[0].intervals
    baseline = average_embedding(model, batches.tensors)
    for subject in batches.members[:3].tolist():
        record = model_input(batches, subject)
        found = integrated_gradients(model, record, baseline=baseline, steps=64)
        assert found.attribution.sum() == pytest.approx(found.log_odds - found.baseline_log_odds, abs=0.02)
        assert found.log_odds == pytest.approx(forward(model, record), abs=1e-4)
        effects = occlude(model, batches, subject)
        for code, effect in zip(effects.code, effects.effect, strict=True):
            without = forward(model, record, kept=record.code.numpy() != code)
            assert effect == pytest.approx(effects.log_odds - without, abs=1e-4)


def test_all_members_start_from_the_regression():
    model, batches, config = built("nested_lstm", 3)
    assert isinstance(model, LinearStart)
    prepared = prepared_on("visit")
    start_linear_part(model, batches, vocabulary_size=len(prepared.vocabulary))
    inputs = batches.collate(batches.members[:9]).inputs
    with torch.no_grad():
        of_members = [member.eval()(inputs) for member in model.members]
        torch.testing.assert_close(model.eval()(inputs), of_members[0])
        torch.testing.assert_close(model.linear_logits(inputs), of_members[0])
    assert torch.equal(of_members[0], of_members[2])
    groups = model.parameter_groups()
    assert [len(group["params"]) % 3 for group in groups] == [0, 0]
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert groups[1]["weight_decay"] == config.model.linear_weight_decay


def test_only_members_with_a_linear_part_make_an_ensemble_with_a_start():
    assert isinstance(built("nested_lstm", 2)[0], LinearStartEnsemble)
    assert not isinstance(built("gru", 2)[0], LinearStart)


@pytest.mark.parametrize("members", [0, 65, 1.5])
def test_the_number_of_members_is_checked(members):
    with pytest.raises(ConfigError, match=r"model\.ensemble"):
        built("gru", members)
