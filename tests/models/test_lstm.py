"""DiscreteTimeSurvivalLSTM: size, causality, intervals; nothing hangs on padding or on the rest of the batch."""

import numpy as np
import pytest
import torch

from survlstm.models.lstm import DiscreteTimeSurvivalLSTM


def model_of(*, visit_features=0, intervals=None, mean_hazard=(0.1,), **settings):
    torch.manual_seed(0)
    sizes = {"vocabulary_size": 30, "embedding_dim": 8, "hidden_dim": 16, "num_layers": 2, "dropout": 0.3} | settings
    return DiscreteTimeSurvivalLSTM(
        **sizes, visit_features=visit_features, intervals=intervals, mean_hazard=mean_hazard
    ).eval()


def inputs_of(visits_of_subjects, *, steps=None):
    """Inputs from a list of subjects, each a list of visits, each a list of codes."""
    lengths = [len(visits) for visits in visits_of_subjects]
    steps = steps or max(lengths)
    visits = [visit for subject in visits_of_subjects for visit in subject]
    sizes = np.array([len(visit) for visit in visits])
    position = np.concatenate([row * steps + np.arange(length) for row, length in enumerate(lengths)])
    return (
        torch.tensor([code for visit in visits for code in visit], dtype=torch.int32),
        torch.tensor(np.cumsum(sizes) - sizes, dtype=torch.int32),
        torch.zeros(len(visits), 0),
        torch.tensor(position),
        len(lengths),
        steps,
    )


def test_the_guides_model_has_exactly_its_number_of_parameters():
    model = model_of(vocabulary_size=776, embedding_dim=128, hidden_dim=256)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_086_977


def test_starts_at_the_mean_hazard():
    model = model_of()
    torch.nn.init.zeros_(model.head[-1].weight)
    hazard = torch.sigmoid(model(*inputs_of([[[2, 3], [4]]])))
    torch.testing.assert_close(hazard, torch.full((1, 2), 0.1))


def test_a_later_visit_changes_no_earlier_hazard():
    model = model_of()
    short = model(*inputs_of([[[2, 3], [4]]]))
    long = model(*inputs_of([[[2, 3], [4], [5, 6, 7], [8]]]))
    torch.testing.assert_close(long[:, :2], short)


def test_an_earlier_visit_changes_every_later_hazard():
    model = model_of()
    one, other = model(*inputs_of([[[2], [4], [5]]])), model(*inputs_of([[[3], [4], [5]]]))
    assert (one != other).all()


@pytest.mark.parametrize("steps", [3, 11])
def test_padding_and_neighbours_change_nothing(steps):
    model = model_of()
    alone = model(*inputs_of([[[2, 3], [4], [5]]]))
    beside = model(*inputs_of([[[9], [10]], [[2, 3], [4], [5]]], steps=steps))
    torch.testing.assert_close(beside[1, :3], alone[0], rtol=0, atol=1e-6)
    assert beside[0, 2:].eq(0).all()


def test_order_of_codes_in_a_visit_changes_nothing():
    model = model_of()
    torch.testing.assert_close(model(*inputs_of([[[2, 3, 4]]])), model(*inputs_of([[[4, 2, 3]]])))


def test_predict_survival_is_the_product_and_the_sum_of_hazards():
    model = model_of().train()
    inputs = inputs_of([[[2, 3], [4], [5]]])
    curves = model.predict_survival(*inputs)
    hazard = torch.sigmoid(model.eval()(*inputs))
    torch.testing.assert_close(curves.survival, torch.cumprod(1 - hazard, dim=1))
    torch.testing.assert_close(curves.cumulative_hazard, torch.cumsum(hazard, dim=1))


def test_predict_survival_leaves_the_mode_as_it_was():
    model = model_of().train()
    model.predict_survival(*inputs_of([[[2]]]))
    assert model.training


K3 = {"intervals": 3, "mean_hazard": (0.1, 0.2, 0.3)}


def test_intervals_add_one_logit_each_and_start_at_their_own_hazards():
    one, three = model_of(), model_of(**K3)
    added = sum(p.numel() for p in three.parameters()) - sum(p.numel() for p in one.parameters())
    assert added == 2 * (16 + 1)
    torch.nn.init.zeros_(three.head[-1].weight)
    hazard = torch.sigmoid(three(*inputs_of([[[2, 3], [4]], [[5]]])))
    torch.testing.assert_close(hazard, torch.tensor([[0.1, 0.2, 0.3]] * 2))


@pytest.mark.parametrize("steps", [3, 11])
def test_the_logits_of_the_intervals_hang_on_neither_padding_nor_neighbours(steps):
    model = model_of(**K3)
    alone = model(*inputs_of([[[2, 3], [4], [5]]]))
    beside = model(*inputs_of([[[9], [10]], [[2, 3], [4], [5]], [[7]]], steps=steps))
    assert beside.shape == (3, 3)
    torch.testing.assert_close(beside[1], alone[0], rtol=0, atol=1e-6)


def test_the_logits_of_the_intervals_come_from_the_whole_history():
    model = model_of(**K3)
    seen = [[2], [3], [4]]
    for visit in range(3):
        other = [[9] if number == visit else codes for number, codes in enumerate(seen)]
        assert (model(*inputs_of([seen])) != model(*inputs_of([other]))).all()
    logits = model(*inputs_of([seen, [[5]]]))
    for interval in range(3):
        model.zero_grad()
        logits[0, interval].backward(retain_graph=True)
        moved = model.embedding.weight.grad.abs().sum(dim=1) > 0
        assert moved.nonzero().flatten().tolist() == [2, 3, 4]


def test_predict_survival_of_the_intervals():
    model = model_of(**K3)
    inputs = inputs_of([[[2, 3], [4], [5]], [[6]]])
    curves = model.predict_survival(*inputs)
    torch.testing.assert_close(curves.survival, torch.cumprod(1 - torch.sigmoid(model(*inputs)), dim=1))
