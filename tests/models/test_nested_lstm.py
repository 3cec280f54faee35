"""NestedSurvivalLSTM: before its first epoch it is the regression, and the LSTM part is exactly 0."""

import numpy as np
import pytest
import torch

from survlstm.data.batches import Batches
from survlstm.data.split import Split
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.models.nested_lstm import NestedSurvivalLSTM
from survlstm.models.protocol import LinearStart
from survlstm.survival.loss import nll_per_step
from survlstm.training.linear_start import start_linear_part
from survlstm.training.prediction import predict_split
from survlstm.training.regression.history_regression import rows_of_labels, rows_of_visits
from survlstm.utils.ragged import flat_positions
from tests.learning import CPU, batches_of, prepared_on
from tests.nested import regression_on, started

every_clock = pytest.mark.parametrize("clock", ["visit", "landmark", "days"])


def regression_hazards(prepared, regression, predictions):
    """The hazards of the regression where the model has some."""
    tensors = prepared.tensors
    found = np.full(predictions.hazard.shape, np.nan)
    if tensors.clock != "visit":
        found[:] = regression.hazard(tensors, rows_of_labels(tensors, predictions.row))
        return found
    number = predictions.step + 1
    visit = flat_positions(tensors.visit_offsets[predictions.subject], number)
    row = np.repeat(np.arange(len(number)), number)
    found[row, flat_positions(np.zeros_like(number), number)] = regression.hazard(tensors, rows_of_visits(visit))[:, 0]
    return found


def lstm_part(model, inputs):
    """The logits of the LSTM part alone."""
    return DiscreteTimeSurvivalLSTM.hazard_logits(model, DiscreteTimeSurvivalLSTM.encode(model, inputs), inputs)


@every_clock
def test_before_its_first_epoch_it_is_the_regression(clock):
    prepared, model = prepared_on(clock), started(clock)
    found = predict_split(model, batches_of(prepared, Split.TEST, batch_size=7), CPU)
    expected = regression_hazards(prepared, regression_on(clock), found)
    np.testing.assert_allclose(found.hazard, expected, rtol=0, atol=1e-5)
    assert np.nanstd(found.hazard) > 1e-3


@every_clock
def test_before_its_first_epoch_the_lstm_part_is_exactly_zero(clock):
    model = started(clock).eval()
    inputs = batches_of(prepared_on(clock)).collate(prepared_on(clock).tensors.members(Split.TRAIN)[:9]).inputs
    with torch.no_grad():
        assert torch.equal(model(inputs), model.linear_logits(inputs))
        assert not lstm_part(model, inputs).any()


def test_the_lstm_part_learns_although_it_starts_at_zero():
    model = started("visit").train()
    batch = batches_of(prepared_on("visit")).collate(prepared_on("visit").tensors.members(Split.TRAIN)[:30], salt=1)
    model.linear_lr = 0.01
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=0.01)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = nll_per_step(model(batch.inputs), at_risk=batch.at_risk, event=batch.event).sum() / batch.subjects
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1
    assert all(bool(parameter.grad.any()) for parameter in model.parameters())


def test_the_linear_part_has_a_weight_decay_of_its_own():
    model = started("days")
    model.linear_lr, model.linear_weight_decay = 0.1, 0.5
    rest, linear = model.parameter_groups()
    assert linear["weight_decay"] == 0.5
    assert "weight_decay" not in rest
    assert len(linear["params"]) == 5
    together = [*rest["params"], *linear["params"]]
    assert sorted(map(id, together)) == sorted(map(id, model.parameters()))
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=0.1, weight_decay=0.0)
    before = [parameter.detach().clone() for parameter in together]
    for parameter in together:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    shrunk = [bool((one != other).any()) for one, other in zip(before, together, strict=True)]
    assert not any(shrunk[: len(rest["params"])])
    assert any(shrunk[len(rest["params"]) :])
    torch.testing.assert_close(model.bias.detach(), 0.95 * torch.from_numpy(regression_on("days").bias).float())


@every_clock
def test_under_autocast_the_linear_part_keeps_its_digits(clock):
    model = started(clock).eval()
    inputs = batches_of(prepared_on(clock)).collate(prepared_on(clock).tensors.members(Split.TRAIN)[:9]).inputs
    with torch.no_grad():
        expected = model.linear_logits(inputs)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(model(inputs), expected)


def test_a_model_without_numbers_can_be_started_and_predict():
    prepared = prepared_on("visit")
    batches = Batches(prepared.tensors, prepared.tensors.members(Split.TRAIN), 32, features=())
    model = NestedSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=6,
        hidden_dim=8,
        num_layers=1,
        dropout=0.0,
        linear_lr=1e-4,
        linear_weight_decay=0.0,
        grad_clip=None,
        visit_features=0,
        intervals=None,
        mean_hazard=[0.1],
    )
    start_linear_part(model, batches, vocabulary_size=len(prepared.vocabulary))
    assert np.isfinite(predict_split(model, batches, CPU).nll).all()


def test_only_a_model_with_a_linear_part_has_a_start():
    assert isinstance(started("visit"), LinearStart)
    lstm = DiscreteTimeSurvivalLSTM(
        vocabulary_size=5,
        embedding_dim=2,
        hidden_dim=2,
        num_layers=1,
        dropout=0.0,
        visit_features=0,
        intervals=None,
        mean_hazard=[0.1],
    )
    assert not isinstance(lstm, LinearStart)


def with_lstm_part(**settings):
    """A model whose LSTM part is not 0, with the batches of the training subjects."""
    model = started("visit", dropout=0.0)
    torch.nn.init.normal_(model.head[-1].weight)
    for name, value in settings.items():
        setattr(model, name, value)
    return model.train(), batches_of(prepared_on("visit"))


def test_codes_are_left_out_of_the_lstm_part_only():
    model, batches = with_lstm_part()
    inputs = batches.collate(batches.members[:9], salt=1).inputs
    with torch.no_grad():
        linear, plain = model.linear_logits(inputs), lstm_part(model, inputs)
        # Without any code a visit has its numbers only.
        bare = lstm_part(model, inputs.replace(codes=torch.zeros_like(inputs.codes)))
        model.code_dropout = 1 - 1e-9
        torch.testing.assert_close(model(inputs), linear + bare)
        model.code_dropout = 0.3
        assert not torch.allclose(model(inputs), linear + plain)
        torch.testing.assert_close(model.eval()(inputs), linear + plain)


def test_which_codes_are_left_out_depends_on_the_visit_and_the_epoch_and_not_on_the_batch():
    model, batches = with_lstm_part(code_dropout=0.4)
    some = batches.members[:6]

    def logits(chosen, salt):
        batch = batches.collate(chosen, salt=salt)
        return model(batch.inputs)[batch.inputs.slot].detach()

    whole = logits(some, 3)
    torch.testing.assert_close(torch.cat([logits(some[:2], 3), logits(some[2:], 3)]), whole)
    assert not torch.allclose(logits(some, 4), whole)


def test_code_dropout_without_the_keys_of_the_visits_is_an_error():
    model, batches = with_lstm_part(code_dropout=0.4)
    inputs = batches.collate(batches.members[:2]).inputs.replace(dropout_key=None)
    with pytest.raises(ValueError, match=r"code_dropout must have the key of every visit .* Call eval\(\)"):
        model(inputs)
