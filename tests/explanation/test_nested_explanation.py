"""Explanations of a model whose logits also have a linear effect of the counts of codes."""

import numpy as np
import pytest
import torch

from survlstm.data.split import Split
from survlstm.explanation.gradients import average_embedding, integrated_gradients
from survlstm.explanation.model_inputs import log_odds, model_input, visit_embeddings
from survlstm.explanation.occlusion import occlude
from survlstm.explanation.risk_over_time import explain_risk_over_time
from tests.explanation.rows import forward
from tests.explanation.test_model_inputs import CASES, predicted
from tests.learning import batches_of, prepared_on
from tests.nested import nested_for


def case(clock, *, max_visits=None):
    """A model with effects of codes in both parts, fused codes on the landmark clock, and the test subjects."""
    prepared = prepared_on(clock)
    model = nested_for(prepared).eval().requires_grad_(False)
    model.embedding.set_fused(range(2, len(prepared.vocabulary), 3) if clock == "landmark" else ())
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.3)
    return model, batches_of(prepared, Split.TEST, max_visits=max_visits)


@CASES
def test_the_explained_log_odds_are_those_of_the_prediction(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    for subject in batches.members.tolist():
        record = model_input(batches, subject)
        visits = visit_embeddings(model.embedding.rows[record.code], record, model)
        found = float(log_odds(model, visits[None], record))
        assert found == pytest.approx(predicted(model, batches, subject), abs=1e-4)


@CASES
def test_attributions_add_up_to_the_difference_from_the_baseline(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    baseline = average_embedding(model, batches.tensors)
    for subject in batches.members[:4].tolist():
        record = model_input(batches, subject)
        found = integrated_gradients(model, record, baseline=baseline, steps=64)
        assert abs(found.log_odds - found.baseline_log_odds) > 0.01
        assert found.attribution.sum() == pytest.approx(found.log_odds - found.baseline_log_odds, abs=0.02)


@CASES
def test_an_effect_is_the_record_with_the_code_minus_the_record_without_it(clock, max_visits):
    model, batches = case(clock, max_visits=max_visits)
    repeated = 0
    for subject in batches.members[:5].tolist():
        record, found = model_input(batches, subject), occlude(model, batches, subject)
        assert found.log_odds == pytest.approx(forward(model, record), abs=1e-4)
        for code, effect in zip(found.code, found.effect, strict=True):
            without = forward(model, record, kept=record.code.numpy() != code)
            assert effect == pytest.approx(found.log_odds - without, abs=1e-4)
        repeated += int((found.entries > 1).sum())
    assert repeated


@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_the_risk_over_time_ends_at_the_explained_log_odds(clock):
    model, batches = case(clock)
    found = explain_risk_over_time(model, batches, int(batches.members[0]), integration_steps=8)
    assert found.trajectory[-1] == pytest.approx(found.gradients.log_odds, abs=1e-4)
    assert np.std(found.trajectory) > 0.01
