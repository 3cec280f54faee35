"""Stop training at the first loss or gradient norm that is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from survlstm.training.train_step import StepResult
from survlstm.utils.errors import NotFiniteError

NORMS_REPORTED = 5


@dataclass
class FiniteLossCheck:
    """Collect the results of optimizer steps and check them in groups.

    Reading a value from a CUDA device makes the host wait for it, so ``every`` steps are read together.

    Attributes:
        epoch: The current epoch, for the error message.
        every: Number of steps that are read together.
        advice: What the user should change; the end of the error message.
        unchecked: Numbers and results of the steps that were not read yet.
        norms: The last finite gradient norms, for the error message.
    """

    epoch: int
    every: int
    advice: str
    unchecked: list[tuple[int, StepResult]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def record(self, number: int, step: StepResult) -> None:
        """Add the result of a step, and check all collected ones once there are ``every``.

        Args:
            number: Number of the step in its epoch, counted from 1.
            step: Its loss and gradient norm, still on the device.

        Raises:
            NotFiniteError: See ``flush``.
        """
        self.unchecked.append((number, step))
        if len(self.unchecked) >= self.every:
            self.flush()

    def flush(self) -> None:
        """Check all collected steps.

        Raises:
            NotFiniteError: A loss or a gradient norm is not finite; the message names the first such step.
        """
        if not self.unchecked:
            return
        values: Tensor = torch.stack([torch.stack([step.loss, step.norm]) for _, step in self.unchecked])
        for (number, step), (loss, norm) in zip(self.unchecked, values.tolist(), strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                before = ", ".join(f"{value:.3g}" for value in self.norms) or "none"
                raise NotFiniteError(
                    f"the training loss must be finite; found loss {loss} and gradient norm {norm} in epoch "
                    f"{self.epoch}, step {number}, over {step.subjects} subjects (gradient norms before it: {before}). "
                    f"{self.advice}"
                )
            self.norms = [*self.norms, norm][-NORMS_REPORTED:]
        self.unchecked.clear()
