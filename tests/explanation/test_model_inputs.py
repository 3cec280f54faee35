"""Tests that the explained visits are those that the model reads for a prediction."""

import math

import numpy as np
import pytest
import torch

from survlstm.explanation.model_inputs import log_odds, model_input, score_from_logits, visit_embeddings
from tests.explanation.rows import case, forward

CASES = pytest.mark.parametrize(
    ("clock", "max_visits"), [("visit", None), ("visit", 6), ("landmark", None), ("landmark", 3)]
)


def predicted(model, batches, subject):
    """Compute the log-odds from the batch of a prediction; on the visit clock those of the last counted visit."""
    batch = batches.collate(np.array([subject]))
    logits = model(batch.inputs)
    if model.intervals is None:
        return float(logits[batch.inputs.slot][batch.at_risk[batch.inputs.slot]][-1])
    return float(score_from_logits(logits))


@CASES
def test_the_explained_log_odds_are_those_of_the_prediction(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    cut = 0
    for subject in batches.members:
        record = model_input(batches, int(subject))
        means = visit_embeddings(model.embedding.weight[record.code], record, model)
        found = float(log_odds(model, means[None], record))
        assert found == pytest.approx(predicted(model, batches, int(subject)), abs=1e-5)
        assert found == pytest.approx(forward(model, record), abs=1e-5)
        assert record.first_visit + record.visits == batches.visits(np.array([subject]))[0]
        cut += record.first_visit > 0
    assert bool(cut) == (max_visits is not None)


@CASES
def test_variants_of_a_record_do_not_touch_each_other(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    record = model_input(batches, int(batches.members[0]))
    means = torch.randn(4, record.visits, 8, generator=torch.Generator().manual_seed(0))
    together = log_odds(model, means, record)
    alone = torch.cat([log_odds(model, one[None], record) for one in means])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert len(set(together.tolist())) == 4


def test_log_odds_of_intervals_worked_by_hand():
    logits = torch.tensor([[0.0, math.log(1 / 3)], [-40.0, -41.0], [30.0, 30.0]])
    # S = 1/2 · 3/4; S = 1 - (e^-40 + e^-41), which rounds to 1; S = e^-60.
    expected = [math.log((1 - 3 / 8) / (3 / 8)), math.log(math.exp(-40) + math.exp(-41)), 60.0]
    np.testing.assert_allclose(score_from_logits(logits), expected, rtol=1e-5)
