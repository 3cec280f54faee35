"""nll_per_subject and nll_per_step: the worked table of docs/conventions.md, agreement with pycox, and edge cases."""

import numpy as np
import pytest
import torch
from pycox.models.loss import nll_logistic_hazard

from survlstm.survival.loss import nll_per_step, nll_per_subject
from survlstm.survival.steps import at_risk_mask, event_mask


def loss(logits, step, event):
    step, event = torch.tensor(step), torch.tensor(event, dtype=torch.bool)
    steps = logits.shape[1]
    return nll_per_subject(logits, at_risk=at_risk_mask(step, steps=steps), event=event_mask(step, event, steps=steps))


def test_worked_table():
    hazard = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.2, 0.2, 0.2, 0.2], [0.5, 0.1, 0.1, 0.1]], dtype=torch.float64)
    found = loss(torch.logit(hazard), [2, 1, 0], [1, 0, 1])
    np.testing.assert_allclose(found, [1.532477, 0.446287, 0.693147], atol=5e-7)


def test_pinned_pycox_example():
    logits = torch.tensor([[0.1, -0.2, 0.3, 0.5], [-1, 0, 1, 2], [0.5, 0.5, -0.5, 0]], dtype=torch.float64)
    found = loss(logits, [2, 1, 3], [1, 0, 1])
    np.testing.assert_allclose(found, [1.89689077, 1.00640887, 3.11537813], atol=5e-9)
    # The published mean is 2.006225926; in double precision both pycox and survlstm give 2.006225925.
    assert found.mean().item() == pytest.approx(2.006225925, abs=5e-10)


def test_agrees_with_pycox():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 9, generator=generator, dtype=torch.float64) * 3
    step = torch.randint(0, 9, (200,), generator=generator)
    event = torch.rand(200, generator=generator) < 0.4
    theirs = nll_logistic_hazard(logits, step, event.double(), reduction="none")
    ours = loss(logits, step.tolist(), event.tolist())
    # pycox sums the steps in the order of a cumsum, so that the results differ by rounding.
    torch.testing.assert_close(ours, theirs.view(-1), rtol=0, atol=1e-11)


def test_an_all_censored_batch_keeps_its_likelihood():
    found = loss(torch.zeros(2, 3, dtype=torch.float64), [0, 2], [0, 0])
    np.testing.assert_allclose(found, [np.log(2), 3 * np.log(2)])


def test_batch_of_one():
    assert loss(torch.zeros(1, 1), [0], [1]).item() == pytest.approx(np.log(2))


def test_gradient_is_that_of_finite_differences():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: loss(value, [2, 1, 3], [1, 0, 0]), (logits,))


def test_steps_after_the_last_at_risk_step_have_no_value_and_no_gradient():
    logits = torch.tensor([[0.3, float("inf"), float("nan")]], requires_grad=True)
    total = loss(logits, [0], [1]).sum()
    total.backward()
    assert total.item() == pytest.approx(np.log1p(np.exp(0.3)) - 0.3)
    assert logits.grad[0, 1:].tolist() == [0.0, 0.0]


def test_extreme_logits_stay_finite():
    assert torch.isfinite(loss(torch.tensor([[80.0], [-80.0]]), [0, 0], [0, 1])).all()


def test_each_step_of_the_worked_table():
    """The tensors are one-dimensional, as the slots of a batch are."""
    logits = torch.logit(torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64))
    found = nll_per_step(
        logits,
        at_risk=torch.tensor([True, True, True, False]),
        event=torch.tensor([False, False, True, False]),
    )
    np.testing.assert_allclose(found, [0.105361, 0.223144, 1.203973, 0.0], atol=5e-7)


@pytest.mark.parametrize("shape", [(60,), (12, 5), (3, 4, 5)])
def test_steps_that_are_not_at_risk_are_0_whatever_their_logit(shape):
    generator = torch.Generator().manual_seed(0)
    logits, at_risk, event = torch.randn(60, generator=generator), torch.arange(60) % 3 > 0, torch.arange(60) % 5 == 0
    expected = nll_per_step(logits, at_risk=at_risk, event=event)
    assert (expected[at_risk] > 0).all()
    assert not expected[~at_risk].any()
    # NaN, infinity and minus infinity at steps that are not at risk, with and without an event flag there.
    logits[~at_risk] = torch.tensor([torch.nan, torch.inf, -torch.inf]).repeat(7)[:20]
    logits.requires_grad_()
    found = nll_per_step(logits.view(shape), at_risk=at_risk.view(shape), event=event.view(shape))
    assert torch.equal(found, expected.view(shape))
    found.sum().backward()
    assert not logits.grad[~at_risk].any()
    assert logits.grad[at_risk].isfinite().all()
    assert logits.grad[at_risk].all()


def test_the_steps_of_a_row_add_up_to_its_subject():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 9, generator=generator, dtype=torch.float64) * 3
    step = torch.randint(0, 9, (50,), generator=generator)
    labels = {
        "at_risk": at_risk_mask(step, steps=9),
        "event": event_mask(step, torch.rand(50, generator=generator) < 0.4, steps=9),
    }
    torch.testing.assert_close(nll_per_step(logits, **labels).sum(dim=1), nll_per_subject(logits, **labels))
