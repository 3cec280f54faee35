"""Hazard, survival and cumulative hazard per step from the logits of a model."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def hazard(logits: Float[Tensor, "*subject step"]) -> Float[Tensor, "*subject step"]:
    """Compute the hazard h_j: the probability of the event in step j for a subject at risk at the start of the step.

    Args:
        logits: log-odds of the event in each step, any real number; floating dtype, steps on the last axis.

    Returns:
        The sigmoid of ``logits``, of the same shape and dtype. A NaN stays a NaN.

    Example:
        >>> hazard(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0.2689, 0.5000, 0.7311])
    """
    return torch.sigmoid(logits)


def survival(logits: Float[Tensor, "*subject step"]) -> Float[Tensor, "*subject step"]:
    """Compute the survival S_j = (1 - h_0) ··· (1 - h_j): the probability of no event in steps 0 … j.

    S_j includes step j; before step 0 the survival is 1. The product is a sum of logarithms of 1 - h, computed from the
    logits, because 1 - h in floating point would round small hazards away.

    Args:
        logits: log-odds of the event in each step; floating dtype, steps on the last axis.

    Returns:
        Probabilities of the same shape and dtype as ``logits``, not increasing along the last axis. A NaN makes all
        later steps NaN.

    Example:
        >>> survival(torch.tensor([0.0, 0.0]))
        tensor([0.5000, 0.2500])
    """
    return torch.nn.functional.logsigmoid(-logits).cumsum(dim=-1).exp()


def cumulative_hazard(logits: Float[Tensor, "*subject step"]) -> Float[Tensor, "*subject step"]:
    """Compute the discrete cumulative hazard H_j = h_0 + … + h_j.

    H_j is not -log S_j. In discrete time -log S_j is larger as soon as one hazard is above 0.
    Source: Kalbfleisch & Prentice 2002, The Statistical Analysis of Failure Time Data, section 1.2.3.

    Args:
        logits: log-odds of the event in each step; floating dtype, steps on the last axis.

    Returns:
        Sums of the same shape and dtype as ``logits``, from 0 to the number of steps, not decreasing along the last
        axis.

    Example:
        >>> cumulative_hazard(torch.tensor([0.0, 0.0]))
        tensor([0.5000, 1.0000])
    """
    return hazard(logits).cumsum(dim=-1)
