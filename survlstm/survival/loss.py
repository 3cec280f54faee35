"""Negative log-likelihood of a discrete-time hazard model."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus


def nll_per_step(
    logits: Float[Tensor, "*step"], *, at_risk: Bool[Tensor, "*step"], event: Bool[Tensor, "*step"]
) -> Float[Tensor, "*step"]:
    """Compute the cross-entropy between "event in this step" and the hazard, in nats; lower is better.

    Args:
        logits: log-odds of the event in each step; any shape, floating dtype. Where ``at_risk`` is False the value is
            ignored and may be NaN.
        at_risk: True at the steps that count (``steps.at_risk_mask``); shape of ``logits``.
        event: True at the step in which the event happened (``steps.event_mask``); shape of ``logits``.

    Returns:
        Values >= 0 of the shape and dtype of ``logits``: -log h at an event, -log(1 - h) at a survived step, and 0
        where the subject is not at risk. The gradient there is 0 as well.

    Example:
        >>> at_risk, event = torch.tensor([True, False]), torch.tensor([True, False])
        >>> nll_per_step(torch.tensor([0.0, torch.nan]), at_risk=at_risk, event=event)
        tensor([0.6931, 0.0000])
    """
    # Masked before as well as after: the gradient of a NaN that is masked afterwards only is 0 · NaN = NaN.
    logits = logits.where(at_risk, 0.0)
    # -[y log h + (1-y) log(1-h)] = softplus(logit) - y·logit
    cross_entropy = softplus(logits) - logits * event
    return cross_entropy.where(at_risk, 0.0)


def nll_per_subject(
    logits: Float[Tensor, "subject step"],
    *,
    at_risk: Bool[Tensor, "subject step"],
    event: Bool[Tensor, "subject step"],
) -> Float[Tensor, " subject"]:
    """Compute the negative log-likelihood of each subject in nats: the sum of ``nll_per_step`` over its steps at risk.

    A censored subject contributes the steps that it survived, so that a batch without events has a loss, too. The mean
    over subjects is the loss of a batch, of an epoch and of a split (``docs/conventions.md``, section Loss).

    Source: Kvamme & Borgan 2021, Lifetime Data Analysis 27:710, equation 3, with the hazard on the logit scale;
    ``nll_logistic_hazard`` of pycox computes the same values.

    Args:
        logits: log-odds of the event in each step; shape (subject, step), floating dtype. Ignored where ``at_risk`` is
            False.
        at_risk: True at the steps at risk (``steps.at_risk_mask``); shape (subject, step).
        event: True at the step of the event (``steps.event_mask``); shape (subject, step).

    Returns:
        Values >= 0 of shape (subject,), lower is better; 0 for a subject without a step at risk.

    Example:
        >>> at_risk, event = torch.tensor([[True, True]]), torch.tensor([[False, True]])
        >>> nll_per_subject(torch.zeros(1, 2), at_risk=at_risk, event=event)
        tensor([1.3863])
    """
    return nll_per_step(logits, at_risk=at_risk, event=event).sum(dim=-1)
