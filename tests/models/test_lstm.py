"""DiscreteTimeSurvivalLSTM: size, causality, intervals, dropout, and independence of the layout of a batch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from survlstm.data import packing
from survlstm.data.batches import Batches
from survlstm.models.keyed_dropout import KeyedDropout
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.models.protocol import ModelInputs
from survlstm.survival.loss import nll_per_step
from tests.tensors import tensors_from

# Costs of a slice, in visits, that give one slice for every length, a few slices, and a single slice.
SLICE_COSTS = [0, 100, 10**9]
K3 = {"intervals": 3, "mean_hazard": (0.1, 0.2, 0.3)}


def model_of(*, visit_features=0, intervals=None, mean_hazard=(0.1,), **settings):
    torch.manual_seed(0)
    sizes = {"vocabulary_size": 30, "embedding_dim": 8, "hidden_dim": 16, "num_layers": 2, "dropout": 0.3} | settings
    return DiscreteTimeSurvivalLSTM(
        **sizes, visit_features=visit_features, intervals=intervals, mean_hazard=mean_hazard
    ).eval()


def inputs_of(rows, *, dropout_key=None, padding=()):
    """Return the inputs of a list of rows, each a list of visits, each a list of codes.

    ``dropout_key`` holds a key for each visit, row after row; ``padding`` are the codes of the slots without a visit.
    """
    lengths = np.array([len(visits) for visits in rows])
    layout = packing.pack_rows(lengths)
    codes_of = [list(padding)] * layout.total
    for slot, codes in zip(layout.slot.tolist(), [visit for visits in rows for visit in visits], strict=True):
        codes_of[slot] = codes
    sizes = np.array([len(codes) for codes in codes_of])
    keys = None
    if dropout_key is not None:
        keys = torch.zeros(layout.total, dtype=torch.int32)
        keys[torch.from_numpy(layout.slot)] = torch.as_tensor(dropout_key, dtype=torch.int32)
    return ModelInputs(
        codes=torch.tensor([code for codes in codes_of for code in codes], dtype=torch.int32),
        code_offsets=torch.tensor(np.cumsum(sizes) - sizes, dtype=torch.int32),
        visit_features=torch.zeros(layout.total, 0),
        visit_days=torch.zeros(layout.total),
        slices=layout.slices,
        slot=torch.from_numpy(layout.slot),
        visits_per_row=torch.from_numpy(lengths),
        dropout_key=keys,
    )


def logits_of(model, rows, **options):
    """Return the logits of each row's visits."""
    inputs = inputs_of(rows, **options)
    return model(inputs)[inputs.slot].split(inputs.visits_per_row.tolist())


def long_rows():
    """Return rows of random codes, whose lengths give several slices at the default cost."""
    generator = np.random.default_rng(0)
    return [
        [generator.integers(2, 30, size=generator.integers(1, 5)).tolist() for _ in range(length)]
        for length in [3, 200, 1, 61, 3, 2, 60]
    ]


def noise_of(rows):
    """Return a random key for each visit of each row."""
    generator = np.random.default_rng(1)
    return [generator.integers(-(2**31), 2**31, size=len(visits)) for visits in rows]


def test_the_guides_model_has_exactly_its_number_of_parameters():
    model = model_of(vocabulary_size=776, embedding_dim=128, hidden_dim=256)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_086_977


def test_starts_at_the_mean_hazard():
    model = model_of()
    nn.init.zeros_(model.head[-1].weight)
    hazard = torch.sigmoid(model(inputs_of([[[2, 3], [4]]])))
    torch.testing.assert_close(hazard, torch.full((2,), 0.1))


def test_reads_as_torchs_own_lstm_of_two_layers():
    model, rows = model_of(), long_rows()
    stacked = nn.LSTM(8, 16, num_layers=2)
    for number, layer in enumerate(model.lstm):
        for name, weight in layer.named_parameters():
            getattr(stacked, name.replace("_l0", f"_l{number}")).data.copy_(weight)
    visits = [torch.stack([model.embedding.weight[codes].mean(dim=0) for codes in row]) for row in rows]
    states, _ = nn.utils.rnn.pad_packed_sequence(stacked(pack_sequence(visits, enforce_sorted=False))[0])
    hidden, activation, _, logit = model.head
    expected = logit(activation(hidden(states))).squeeze(2)
    for row, logits in enumerate(logits_of(model, rows)):
        torch.testing.assert_close(logits, expected[: len(logits), row], rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_a_later_visit_changes_no_earlier_hazard(training):
    model, dropout_key = model_of().train(training), [7, 8, 9, 10]
    (short,) = logits_of(model, [[[2, 3], [4]]], dropout_key=dropout_key[:2])
    (long,) = logits_of(model, [[[2, 3], [4], [5, 6, 7], [8]]], dropout_key=dropout_key)
    torch.testing.assert_close(long[:2], short)


def test_an_earlier_visit_changes_every_later_hazard():
    model = model_of()
    (one,), (other,) = logits_of(model, [[[2], [4], [5]]]), logits_of(model, [[[3], [4], [5]]])
    assert (one != other).all()


@pytest.mark.parametrize("padding", [[], [11, 12]])
@pytest.mark.parametrize("cost", SLICE_COSTS)
def test_padding_and_neighbours_change_nothing(monkeypatch, cost, padding):
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    model = model_of()
    (alone,) = logits_of(model, [[[2, 3], [4], [5]]])
    _, beside, _ = logits_of(model, [[[9], [10]], [[2, 3], [4], [5]], [[7]] * 5], padding=padding)
    torch.testing.assert_close(beside, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("cost", "slices"), list(zip(SLICE_COSTS, [6, 3, 1], strict=True)))
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", [{}, K3])
def test_logits_and_gradients_do_not_depend_on_the_layout(monkeypatch, cost, slices, training, kind):
    """The reference is each row by itself, which is one slice without padding."""
    model, rows = model_of(**kind).train(training), long_rows()
    dropout_key = noise_of(rows)

    def logits_and_gradients(parts):
        model.zero_grad()
        read = model if kind else (lambda inputs: model(inputs)[inputs.slot])
        found = torch.cat([read(inputs) for inputs in parts])
        (found.flatten() * torch.arange(found.numel()).cos()).mean().backward()
        return found.detach(), [parameter.grad.clone() for parameter in model.parameters()]

    alone = logits_and_gradients(
        [inputs_of([row], dropout_key=keys) for row, keys in zip(rows, dropout_key, strict=True)]
    )
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    inputs = inputs_of(rows, dropout_key=np.concatenate(dropout_key), padding=[11, 12])
    assert len(inputs.slices) == slices
    torch.testing.assert_close(logits_and_gradients([inputs]), alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_another_noise_gives_other_logits_in_training_mode_only(num_layers):
    """With one layer, the only dropout is that of the head."""
    model, rows = model_of(num_layers=num_layers), long_rows()
    one, other = (torch.cat(logits_of(model, rows, dropout_key=torch.arange(330) + start)) for start in (0, 1000))
    assert torch.equal(one, other)
    model.train()
    one, other = (torch.cat(logits_of(model, rows, dropout_key=torch.arange(330) + start)) for start in (0, 1000))
    # A few visits have equal logits by chance: the two masks differ in units that are 0 anyway.
    assert (one != other).float().mean() > 0.9


def test_training_without_noise_is_refused():
    with pytest.raises(ValueError, match="must have the key of every visit in training mode; found none"):
        model_of().train()(inputs_of([[[2]]]))


def test_the_dropout_layers_of_a_model_have_different_keys():
    model = model_of(hidden_dim=256, num_layers=4)
    keys = torch.cat([module.key for module in model.modules() if isinstance(module, KeyedDropout)])
    assert len(keys) == len(keys.unique()) == 4 * 256


def test_the_dropout_of_a_visit_reaches_its_own_and_later_visits_only():
    model, row = model_of(dropout=0.5).train(), [[[2], [3], [4], [5]]]
    (one,), (other,) = (logits_of(model, row, dropout_key=dropout_key) for dropout_key in ([1, 2, 3, 4], [1, 2, 33, 4]))
    assert (one != other).tolist() == [False, False, True, True]


@pytest.mark.parametrize("max_visits", [None, 4])
def test_the_parts_of_a_batch_add_up_to_its_gradient(max_visits):
    """In training mode, too: splitting a batch for memory or for several processes does not change a run."""
    rows = [row[:20] for row in long_rows()]
    step = np.array([len(row) - 1 for row in rows])
    tensors = tensors_from(rows, step=step, event=np.arange(len(rows)) % 2 == 0)
    batches = Batches(tensors, np.arange(len(rows)), len(rows), (0, 1), max_visits)
    model = model_of(visit_features=2).train()

    def gradients(parts):
        model.zero_grad()
        for part in parts:
            batch = batches.collate(np.array(part), salt=3)
            nll = nll_per_step(model(batch.inputs), at_risk=batch.at_risk, event=batch.event)
            (nll.sum() / len(rows)).backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    torch.testing.assert_close(gradients([[4, 0], [6, 5, 1], [2], [3]]), gradients([range(7)]), rtol=0, atol=1e-6)


def test_order_of_codes_in_a_visit_changes_nothing():
    model = model_of()
    torch.testing.assert_close(logits_of(model, [[[2, 3, 4]]]), logits_of(model, [[[4, 2, 3]]]))


@pytest.mark.parametrize("cost", SLICE_COSTS)
def test_predict_survival_is_the_product_and_the_sum_of_hazards(monkeypatch, cost):
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    model, rows = model_of().train(), [[[6]], [[2, 3], [4], [5]], [[7], [8]]]
    curves = model.predict_survival(inputs_of(rows))
    assert curves.survival.shape == curves.cumulative_hazard.shape == (3, 3)
    for row, logits in enumerate(logits_of(model.eval(), rows)):
        hazard, end = torch.sigmoid(logits), len(logits)
        torch.testing.assert_close(curves.survival[row, :end], torch.cumprod(1 - hazard, dim=0))
        torch.testing.assert_close(curves.cumulative_hazard[row, :end], torch.cumsum(hazard, dim=0))
        assert curves.survival[row, end:].isnan().all()
        assert curves.cumulative_hazard[row, end:].isnan().all()


def test_predict_survival_leaves_the_mode_as_it_was():
    model = model_of().train()
    model.predict_survival(inputs_of([[[2]]]))
    assert model.training


def test_intervals_add_one_logit_each_and_start_at_their_own_hazards():
    one, three = model_of(), model_of(**K3)
    added = sum(p.numel() for p in three.parameters()) - sum(p.numel() for p in one.parameters())
    assert added == 2 * (16 + 1)
    nn.init.zeros_(three.head[-1].weight)
    hazard = torch.sigmoid(three(inputs_of([[[2, 3], [4]], [[5]]])))
    torch.testing.assert_close(hazard, torch.tensor([[0.1, 0.2, 0.3]] * 2))


@pytest.mark.parametrize("padding", [[], [11, 12]])
@pytest.mark.parametrize("cost", SLICE_COSTS)
def test_the_logits_of_the_intervals_depend_on_neither_padding_nor_other_rows(monkeypatch, cost, padding):
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    model = model_of(**K3)
    alone = model(inputs_of([[[2, 3], [4], [5]]]))
    beside = model(inputs_of([[[9], [10]], [[2, 3], [4], [5]], [[7]] * 5], padding=padding))
    assert beside.shape == (3, 3)
    torch.testing.assert_close(beside[1], alone[0], rtol=0, atol=1e-6)


def test_the_logits_of_the_intervals_come_from_the_whole_history():
    model = model_of(**K3)
    seen = [[2], [3], [4]]
    for visit in range(3):
        other = [[9] if number == visit else codes for number, codes in enumerate(seen)]
        assert (model(inputs_of([seen])) != model(inputs_of([other]))).all()
    logits = model(inputs_of([seen, [[5]]]))
    for interval in range(3):
        model.zero_grad()
        logits[0, interval].backward(retain_graph=True)
        moved = model.embedding.weight.grad.abs().sum(dim=1) > 0
        assert moved.nonzero().flatten().tolist() == [2, 3, 4]


def test_predict_survival_of_the_intervals():
    model = model_of(**K3)
    inputs = inputs_of([[[2, 3], [4], [5]], [[6]]])
    curves = model.predict_survival(inputs)
    torch.testing.assert_close(curves.survival, torch.cumprod(1 - torch.sigmoid(model(inputs)), dim=1))
