"""Logits → hazard, survival and cumulative hazard per step."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def hazard(logits: Float[Tensor, "*subject step"]) -> Float[Tensor, "*subject step"]:
    """h_j, the probability of the event in step j for a subject still at risk at its start."""
    return torch.sigmoid(logits)


def survival(logits: Float[Tensor, "*subject step"]) -> Float[Tensor, "*subject step"]:
    """S_j = (1-h_0)···(1-h_j), the probability of no event through step j; summed as logarithms, 1-h never rounds."""
    return torch.nn.functional.logsigmoid(-logits).cumsum(dim=-1).exp()


def cumulative_hazard(logits: Float[Tensor, "*subject step"]) -> Float[Tensor, "*subject step"]:
    """H_j = h_0 + … + h_j, the discrete cumulative hazard (Kalbfleisch & Prentice 2002, section 1.2.3); not -log S."""
    return hazard(logits).cumsum(dim=-1)
