"""Losses and gradient norms on the device → the sentence for the first that is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from survlstm.training.train_step import StepResult
from survlstm.utils.errors import NotFiniteError

NORMS_TOLD = 5


@dataclass
class FiniteLossCheck:
    """Keeps the losses of the last steps and looks at them once in ``every``: each look makes the host wait."""

    epoch: int
    every: int
    advice: str
    unseen: list[tuple[int, StepResult]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def record(self, number: int, step: StepResult) -> None:
        """Take note of a step; see ``look``."""
        self.unseen.append((number, step))
        if len(self.unseen) >= self.every:
            self.flush()

    def flush(self) -> None:
        """NotFiniteError with the first step whose loss or gradient norm is not finite."""
        if not self.unseen:
            return
        found: Tensor = torch.stack([torch.stack([step.loss, step.norm]) for _, step in self.unseen])
        for (number, step), (loss, norm) in zip(self.unseen, found.tolist(), strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                before = ", ".join(f"{value:.3g}" for value in self.norms) or "none"
                raise NotFiniteError(
                    f"the training loss must be finite; found loss {loss} and gradient norm {norm} in epoch "
                    f"{self.epoch}, step {number}, over {step.subjects} subjects (gradient norms before it: {before}). "
                    f"{self.advice}"
                )
            self.norms = [*self.norms, norm][-NORMS_TOLD:]
        self.unseen.clear()
