"""A model and the effects it gave → does the explanation hang on what was learned?"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch

from survlstm.data.batches import Batches
from survlstm.explanation.effects import METHODS, Effects, compute_effects
from survlstm.explanation.ranking import mean_effect, rank_agreement
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM

# Codes of fewer subjects have effects of a few records, which say more about those than about the code.
FEWEST_SUBJECTS = 5
# Of the mean rank correlation with shuffled models; what explains what was learned has lost nearly all of it.
MOST_CORRELATION = 0.3


@dataclass(frozen=True)
class RandomizationCheck:
    """Rank correlations of the codes' mean effects in the model and in each copy of it with shuffled weights.

    By method, one value for each copy; ``codes`` is how many were compared.
    """

    codes: int
    correlations: dict[str, tuple[float, ...]]

    def mean(self, method: str) -> float:
        """The mean over the copies; NaN where no correlation could be computed."""
        return float(np.mean(self.correlations[method]))

    def passes(self, method: str) -> bool:
        """Whether the shuffled copies agree with the model no more than by chance."""
        return bool(abs(self.mean(method)) < MOST_CORRELATION)

    def sentence(self, method: str) -> str:
        """What the check says, for people."""
        values, mean = self.correlations[method], self.mean(method)
        if np.isnan(mean):
            return (
                f"{method}: no check against shuffled weights: {self.codes} codes stand in the records of "
                f"{FEWEST_SUBJECTS} subjects or more"
            )
        counted = f"{len(values)} {'copy' if len(values) == 1 else 'copies'}"
        compared = (
            f"with shuffled weights its effects rank-correlate {mean:+.2f} with those of the model (mean of "
            f"{counted}, {min(values):+.2f} to {max(values):+.2f}; {self.codes} codes)"
        )
        if self.passes(method):
            return f"{method}: {compared}: the explanation hangs on what the model has learned"
        return (
            f"{method}: {compared}, and |mean| must be below {MOST_CORRELATION}: part of the explanation comes from "
            "the records and the shape of the model, whatever it has learned"
        )


def check_randomization(
    model: DiscreteTimeSurvivalLSTM,
    batches: Batches,
    effects: Effects,
    *,
    integration_steps: int,
    shuffles: int,
    seed: int,
) -> RandomizationCheck:
    """Model randomisation (Adebayo et al. 2018): explain copies of the model that know nothing, and compare."""
    compared = effects.present.sum(axis=0) >= FEWEST_SUBJECTS
    generator = torch.Generator().manual_seed(seed)
    correlations: dict[str, list[float]] = {method: [] for method in METHODS}
    for number in range(shuffles):
        shuffled = compute_effects(
            copy_with_shuffled_weights(model, generator),
            batches,
            effects.subject,
            integration_steps=integration_steps,
            what=f"Explaining shuffled copy {number + 1} of {shuffles}",
        )
        for method in METHODS:
            ours, theirs = (mean_effect(each, method)[compared] for each in (effects, shuffled))
            correlations[method].append(rank_agreement(ours, theirs))
    return RandomizationCheck(int(compared.sum()), {method: tuple(values) for method, values in correlations.items()})


def copy_with_shuffled_weights(model: DiscreteTimeSurvivalLSTM, generator: torch.Generator) -> DiscreteTimeSurvivalLSTM:
    """A copy in which the entries of every weight tensor have changed places: the same numbers, and no knowledge."""
    shuffled = copy.deepcopy(model)
    with torch.no_grad():
        for weight in shuffled.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel(), generator=generator)].view_as(weight))
    return shuffled
