"""hazard, survival, cumulative_hazard and the step masks: agreement with their definitions."""

import torch

from survlstm.survival.hazard import cumulative_hazard, hazard, survival
from survlstm.survival.steps import at_risk_mask, event_mask


def test_against_the_definitions():
    values = torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]], dtype=torch.float64)
    logits = torch.logit(values)
    torch.testing.assert_close(hazard(logits), values)
    torch.testing.assert_close(survival(logits), torch.cumprod(1 - values, dim=1))
    torch.testing.assert_close(cumulative_hazard(logits), torch.cumsum(values, dim=1))


def test_survival_keeps_tiny_hazards():
    logits = torch.full((1, 1000), -40.0, dtype=torch.float64)
    expected = torch.exp(-1000 * torch.sigmoid(logits[0, 0]))
    assert 0 < 1 - expected.item() < 1e-13
    torch.testing.assert_close(survival(logits)[0, -1], expected, rtol=0, atol=1e-16)


def test_masks_of_an_event_and_a_censored_subject():
    step, event = torch.tensor([2, 0]), torch.tensor([True, False])
    assert at_risk_mask(step, steps=4).tolist() == [[True, True, True, False], [True, False, False, False]]
    assert event_mask(step, event, steps=4).tolist() == [[False, False, True, False], [False] * 4]
