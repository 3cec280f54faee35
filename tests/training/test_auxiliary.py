"""Auxiliary losses: the next visit of a row, from the visits of the batch, without a change to the model."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import bernoulli

from survlstm.config.schema.training import AuxiliaryConfig
from survlstm.data.split import Split
from survlstm.models.ensemble import join_members
from survlstm.training.auxiliary import auxiliary_losses, describe_next_visits
from survlstm.training.checkpoint import Checkpointer, load_checkpoint
from survlstm.training.distributed import SINGLE_PROCESS
from survlstm.training.factory import build_auxiliary, build_train_step
from survlstm.training.history import History
from survlstm.utils.errors import CheckpointError, ConfigError
from tests.bundles import config_on
from tests.learning import CPU, batches_of, gradients_of, model_for, prepared_on, trainer_of
from tests.nested import nested_for
from tests.states import trained, written_out
from tests.training.checkpoints import EveryState

BOTH = {"next_codes_weight": 0.02, "next_visit_weight": 0.3}


def heads_for(model, prepared, *, max_visits=None, **settings):
    torch.manual_seed(5)
    batches = batches_of(prepared, max_visits=max_visits)
    config = AuxiliaryConfig(**(settings or BOTH))
    return build_auxiliary(config, model, batches, vocabulary_size=len(prepared.vocabulary))


def step_for(clock="visit", *, lr=0.02, seed=0, dropout=0.3, of=model_for, settings=BOTH, **fields):
    prepared = prepared_on(clock)
    model = of(prepared, dropout=dropout, seed=seed).train()
    heads = heads_for(model, prepared, **settings)
    step = build_train_step(config_on(clock), model, CPU, SINGLE_PROCESS, auxiliary=heads)
    for group in step.optimizer.param_groups:
        group["lr"] = lr
    return replace(step, **fields)


def fit(folder, step, *, clock="visit", state=None, epochs=2, saves=Checkpointer, minutes=math.inf):
    folder.mkdir(exist_ok=True)
    trainer = trainer_of(step, saves(folder, 10, {}), minutes_between_saves=minutes)
    train, val = (batches_of(prepared_on(clock), part) for part in (Split.TRAIN, Split.VAL))
    return trainer.fit(train, val, epochs=epochs, state=state)


def expected_losses(model, heads, batches):
    """Both losses of every pair of visits of whole records, one subject and one code at a time; [pair]."""
    data, codes, times = batches.tensors, [], []
    targets = [int(number) for number in torch.argsort(heads._column) if heads._column[number] < len(heads._column)]
    targets = targets[: heads.next_codes.out_features]
    for subject in batches.members:
        inputs = batches.collate(np.array([subject])).inputs
        states = model.encode(inputs)[inputs.slot]
        logits, log_days = heads.next_codes(states).detach().numpy(), heads.next_visit(states).detach().numpy()
        first = data.visit_offsets[subject]
        for number in range(int(batches.visits(np.array([subject]))[0]) - 1):
            following = first + number + 1
            held = set(data.code[data.code_offsets[following] : data.code_offsets[following + 1]].tolist())
            is_held = [code in held for code in targets]
            codes.append(-bernoulli.logpmf(is_held, expit(logits[number].astype(np.float64))).sum())
            days = (data.visit_time[following] - data.visit_time[following - 1]) / np.timedelta64(1, "D")
            times.append((float(log_days[number, 0]) - math.log(1 + days)) ** 2)
    return codes, times


@pytest.mark.parametrize("clock", ["visit", "landmark", "days"])
def test_the_losses_are_those_of_every_pair_of_visits(clock):
    prepared = prepared_on(clock)
    model = model_for(prepared).eval()
    heads, batches = heads_for(model, prepared), batches_of(prepared, Split.VAL)
    codes, times = expected_losses(model, heads, batches)
    assert len(codes) > 20
    found = auxiliary_losses(model, heads, batches, CPU)
    np.testing.assert_allclose(found, [np.mean(codes), np.mean(times)], rtol=1e-5)


def test_only_codes_that_most_visits_have_are_predicted_and_start_at_their_share(monkeypatch):
    monkeypatch.setattr("survlstm.training.auxiliary.MOST_CODES", 3)
    prepared = prepared_on("visit")
    heads = heads_for(model_for(prepared), prepared)
    found = describe_next_visits(batches_of(prepared), vocabulary_size=len(prepared.vocabulary))
    assert heads.next_codes.out_features == 3
    chosen = [int((heads._column == column).nonzero()) for column in range(3)]
    assert min(chosen) > 1
    others = np.delete(found.codes, [0, 1, *chosen])
    assert found.codes[chosen].min() >= others.max()
    shares = torch.sigmoid(heads.next_codes.bias.detach()) * (found.pairs + 1) - 0.5
    np.testing.assert_allclose(shares, found.codes[chosen], rtol=1e-4)


def test_a_code_that_a_visit_holds_twice_counts_once():
    batches = batches_of(prepared_on("visit"))
    tensors = replace(batches.tensors, code=np.full_like(batches.tensors.code, 2))
    found = describe_next_visits(replace(batches, tensors=tensors), vocabulary_size=5)
    assert found.codes.tolist() == [0, 0, found.pairs, 0, 0]


@pytest.mark.parametrize("clock", ["visit", "landmark", "days"])
@pytest.mark.parametrize("max_visits", [None, 4])
def test_gradients_of_parts_are_those_of_the_whole(clock, max_visits):
    batches = batches_of(prepared_on(clock), max_visits=max_visits)
    still = {"lr": 0.0, "grad_clip": None}
    whole, *figures = gradients_of(step_for(clock, **still), batches, batches.members[:23])
    parts, *others = gradients_of(step_for(clock, micro_batch_size=3, **still), batches, batches.members[:23])
    assert float((parts - whole).norm() / whole.norm()) < 2e-6
    assert others == pytest.approx(figures, rel=2e-6)
    mixed, *_ = gradients_of(step_for(clock, precision=torch.bfloat16, **still), batches, batches.members[:23])
    assert 1e-4 < float((mixed - whole).norm() / whole.norm()) < 5e-2


@pytest.mark.parametrize("of", [model_for, nested_for])
def test_the_gradient_is_the_weighted_sum_of_those_of_all_losses(of):
    batches = batches_of(prepared_on("visit"))

    def gradient(settings):
        step = step_for(of=of, lr=0.0, grad_clip=None, settings=settings)
        chosen = batches.members[:9]
        # The initial weights of a head depend on whether the other one exists.
        for weight in [] if step.auxiliary is None else step.auxiliary.parameters():
            weight.data = torch.linspace(-0.3, 0.3, weight.numel()).view_as(weight)
        next(step.steps(batches, [chosen], salt=3))
        weights = step.model.encoder_weights().values()
        return torch.cat([weight.grad.flatten() for weight in weights])

    none, codes, more_codes, time, both = (
        gradient({"next_codes_weight": codes, "next_visit_weight": time})
        for codes, time in ((0.0, 0.0), (0.02, 0.0), (0.06, 0.0), (0.0, 0.3), (0.02, 0.3))
    )
    torch.testing.assert_close(both, codes + time - none, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(more_codes - none, 3 * (codes - none), rtol=1e-3, atol=1e-6)
    alone = gradient(BOTH | {"only": True})
    torch.testing.assert_close(alone, both - none, rtol=1e-3, atol=1e-6)
    assert float(alone.norm()) > 1e-4


def test_the_history_holds_the_mean_losses_of_an_epoch(tmp_path):
    step = step_for(lr=0.0, dropout=0.0)
    history = fit(tmp_path / "run", step, epochs=2)
    for found, part in zip(("train", "val"), (Split.TRAIN, Split.VAL), strict=True):
        codes, time = auxiliary_losses(step.model, step.auxiliary, batches_of(prepared_on("visit"), part), CPU)
        # In the second epoch the sums begin again.
        for epoch in history.auxiliary:
            assert getattr(epoch, f"{found}_next_codes") == pytest.approx(float(codes), rel=1e-5)
            assert getattr(epoch, f"{found}_next_visit") == pytest.approx(float(time), rel=1e-5)
    assert History.from_plain(history.as_plain()) == history
    assert [epoch.epoch for epoch in history.auxiliary] == [1, 2]


def test_without_them_files_and_weights_are_as_before(tmp_path):
    history = fit(tmp_path / "run", step_for(settings={"next_codes_weight": 0.0}), epochs=1)
    assert "auxiliary" not in history.as_plain()
    assert "auxiliary" not in load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")


@pytest.mark.parametrize("of", [model_for, nested_for])
def test_alone_they_train_the_encoder_and_nothing_else(tmp_path, of):
    step = step_for(of=of, settings=BOTH | {"only": True})
    before = written_out(step.model.state_dict())
    history = fit(tmp_path / "run", step, epochs=3)
    after, encoder = written_out(step.model.state_dict()), step.model.encoder_weights()
    assert {name for name in before if before[name] != after[name]} == set(encoder)
    assert history.start is None
    losses = [0.02 * each.val_next_codes + 0.3 * each.val_next_visit for each in history.auxiliary]
    assert [each.val_loss for each in history.epochs] == pytest.approx(losses, rel=1e-5)
    assert [math.isnan(each.val_c_td) for each in history.epochs] == [True] * 3
    losses_of_training = [0.02 * each.train_next_codes + 0.3 * each.train_next_visit for each in history.auxiliary]
    assert [each.train_loss for each in history.epochs] == pytest.approx(losses_of_training, rel=1e-5)
    assert losses_of_training[-1] < losses_of_training[0]
    assert history.best_epoch == 1 + int(np.argmin(losses))


@pytest.mark.parametrize("only", [False, True])
def test_from_every_step_on_it_ends_at_the_same_place(tmp_path, only):
    settings = BOTH | {"only": only}
    fit(tmp_path / "run", step_for(settings=settings), saves=EveryState, minutes=0.0)
    # Compared as JSON text, because NaN is not equal to NaN.
    expected = json.dumps(trained(tmp_path / "run", without={"python"}))
    stops = sorted((tmp_path / "run").glob("at_*"))
    assert len(stops) > 4
    for stop in stops[:4]:
        state = load_checkpoint(stop / "checkpoints" / "last.pt")
        assert "next_codes.weight" in state["auxiliary"]
        fit(stop, step_for(settings=settings, seed=99), state=state)
        assert json.dumps(trained(stop, without={"python"})) == expected


def test_a_state_without_the_heads_is_refused(tmp_path):
    fit(tmp_path / "run", step_for(settings={"next_codes_weight": 0.0}), epochs=1)
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    with pytest.raises(CheckpointError, match="must be a checkpoint of this run"):
        fit(tmp_path / "other", step_for(), state=state)


def test_an_ensemble_is_refused():
    prepared = prepared_on("visit")
    ensemble = join_members([model_for(prepared), model_for(prepared, seed=1)])
    with pytest.raises(ConfigError, match="needs a single model with an LSTM over visits; found SurvivalEnsemble"):
        heads_for(ensemble, prepared)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="only=true needs a loss to train on"):
        config_on("visit", "trainer.auxiliary.only=true")
    with pytest.raises(ConfigError, match=r"average_decay must be null with trainer\.auxiliary"):
        config_on("visit", "trainer.auxiliary.next_codes_weight=1", "trainer.average_decay=0.9")
