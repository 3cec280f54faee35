"""Logits and labels → negative log-likelihood of a discrete-time hazard model."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus


def nll_per_step(
    logits: Float[Tensor, "*step"], *, at_risk: Bool[Tensor, "*step"], event: Bool[Tensor, "*step"]
) -> Float[Tensor, "*step"]:
    """Cross-entropy of each hazard in nats, lower = better; 0 where nobody is at risk, whatever the logit there."""
    # Masked before as well as after: a NaN behind the last at-risk step would reach the gradient as 0 · NaN.
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
    """Negative log-likelihood of each subject in nats, lower = better: the cross-entropy summed over its at-risk steps.

    A censored subject contributes its survived steps, so a batch without events has a loss. Same formula as pycox's
    ``nll_logistic_hazard`` (Kvamme & Borgan 2021, eq. 3 with the hazard on the logit scale).
    """
    return nll_per_step(logits, at_risk=at_risk, event=event).sum(dim=-1)
