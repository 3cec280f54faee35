"""Check that an explanation depends on the trained weights, by comparing it with models whose weights are shuffled."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from survlstm.data.batches import Batches
from survlstm.explanation.effects import METHODS, Effects, compute_effects
from survlstm.explanation.ranking import mean_effect, rank_agreement

# The mean effect of a code of fewer subjects says more about their records than about the code.
FEWEST_SUBJECTS = 5
# Largest accepted mean rank correlation with shuffled models. An explanation of learned weights loses nearly all of it.
MOST_CORRELATION = 0.3


@dataclass(frozen=True)
class RandomizationCheck:
    """Rank correlations between the mean effects in the model and in copies with shuffled weights.

    Attributes:
        codes: number of codes that were compared.
        correlations: by method, Spearman's rank correlation for each copy; NaN where it is undefined.
    """

    codes: int
    correlations: dict[str, tuple[float, ...]]

    def mean(self, method: str) -> float:
        """Compute the mean correlation over the copies.

        Args:
            method: one of ``METHODS``.

        Returns:
            The mean, -1 to 1, near 0 if the explanation depends on the trained weights; NaN if a correlation is
            undefined.
        """
        return float(np.mean(self.correlations[method]))

    def passes(self, method: str) -> bool:
        """Return whether the mean correlation is below ``MOST_CORRELATION`` in absolute value.

        Args:
            method: one of ``METHODS``.

        Returns:
            True if it is below; False if it is not, or is NaN.
        """
        return bool(abs(self.mean(method)) < MOST_CORRELATION)

    def sentence(self, method: str) -> str:
        """Return the result of the check as a sentence for the page and the log.

        Args:
            method: one of ``METHODS``.

        Returns:
            One sentence without a full stop, which begins with the name of the method.
        """
        values, mean = self.correlations[method], self.mean(method)
        if np.isnan(mean):
            return (
                f"{method}: no check against shuffled weights, because only {self.codes} codes are in the records of "
                f"{FEWEST_SUBJECTS} subjects or more"
            )
        counted = f"{len(values)} {'copy' if len(values) == 1 else 'copies'}"
        compared = (
            f"rank correlation of the effects with those of models with shuffled weights {mean:+.2f} (mean of "
            f"{counted}, {min(values):+.2f} to {max(values):+.2f}; {self.codes} codes)"
        )
        if self.passes(method):
            return f"{method}: {compared}: the explanation depends on what the model has learned"
        return (
            f"{method}: {compared}, but its absolute value must be below {MOST_CORRELATION}: part of the explanation "
            "comes from the records and the architecture, not from what the model has learned"
        )


def check_randomization(
    model: nn.Module,
    batches: Batches,
    effects: Effects,
    *,
    integration_steps: int,
    shuffles: int,
    seed: int,
) -> RandomizationCheck:
    """Explain copies of the model with shuffled weights and compare their effects with those of the model.

    Source: the model randomisation test of Adebayo et al. 2018, Sanity Checks for Saliency Maps, NeurIPS.

    Args:
        model: the explained model.
        batches: source of the records, as for ``compute_effects``.
        effects: effects of the codes in ``model``. Codes of fewer than ``FEWEST_SUBJECTS`` subjects are not compared.
        integration_steps: number of points on the path of integrated gradients.
        shuffles: number of copies, at least 1.
        seed: seed of the shuffled weights.

    Returns:
        The rank correlation with each copy, by method.

    Raises:
        ConfigError: captum is not installed.
    """
    compared = effects.present.sum(axis=0) >= FEWEST_SUBJECTS
    generator = torch.Generator().manual_seed(seed)
    correlations: dict[str, list[float]] = {method: [] for method in METHODS}
    for number in range(shuffles):
        shuffled = compute_effects(
            copy_with_shuffled_weights(model, generator),
            batches,
            effects.subject,
            integration_steps=integration_steps,
            progress_label=f"Explaining shuffled copy {number + 1} of {shuffles}",
        )
        for method in METHODS:
            original, permuted = (mean_effect(each, method)[compared] for each in (effects, shuffled))
            correlations[method].append(rank_agreement(original, permuted))
    return RandomizationCheck(int(compared.sum()), {method: tuple(values) for method, values in correlations.items()})


def copy_with_shuffled_weights(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Copy a model and permute the entries within each of its weight tensors.

    The copy has the same weight distributions as the model, but nothing that the model has learned.

    Args:
        model: the model to copy; it is not changed.
        generator: source of the permutations; its state advances.

    Returns:
        The copy.
    """
    shuffled = copy.deepcopy(model)
    with torch.no_grad():
        for weight in shuffled.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel(), generator=generator)].view_as(weight))
    return shuffled
