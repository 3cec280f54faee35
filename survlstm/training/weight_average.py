"""Exponential moving average of a model's weights over the optimizer steps, with which the model is evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from survlstm.models.weights import check_weights


class WeightAverage:
    """The average of the weights, beside a model that is trained on with its own.

    After step t the average is d times the average before plus 1 - d times the weights, where d is the smaller of
    ``decay`` and (1 + t) / (10 + t). The second number, as in TensorFlow's ``ExponentialMovingAverage``, lets the first
    average forget the initial weights. Buffers are not averaged.

    Args:
        model: The model before its first step.
        decay: Weight of the past in each step, between 0 and 1.

    Attributes:
        decay: The same.
        steps: Number of steps so far.
        weights: The average of each parameter by its name.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.restart(model)

    def restart(self, model: nn.Module) -> None:
        """Begin again at the weights of the model.

        Args:
            model: The model.
        """
        self.steps = 0
        self.weights = _weights(model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights after an optimizer step.

        Args:
            model: The model.
        """
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, parameter in model.named_parameters():
            self.weights[name].lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give the model the average for the duration of the block.

        Args:
            model: The model, which gets its own weights back.
        """
        own = _weights(model)
        _set_weights(model, self.weights)
        try:
            yield
        finally:
            _set_weights(model, own)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps and the average, for a checkpoint."""
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: Any) -> None:
        """Restore what ``state_dict`` returned.

        Args:
            state: The state.

        Raises:
            ValueError: The state does not belong to this model.
        """
        if not (isinstance(state, dict) and type(state.get("steps")) is int and state["steps"] >= 0):
            raise ValueError("its average must hold a number of steps")
        check_weights(self.weights, state.get("weights"))
        self.steps = state["steps"]
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@torch.no_grad()
def _set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    # Copied and not exchanged: cuDNN needs the weights of an LSTM where they are.
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
