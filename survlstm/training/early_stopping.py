"""Decide from the validation losses which epoch is the best and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64


class Gain(NamedTuple):
    """How much a model is better than its fitted start on the validation subjects.

    Attributes:
        nats: Mean decrease of the negative log-likelihood, per subject or prediction time; above 0 is better.
        standard_error: Standard error of that mean.
    """

    nats: float
    standard_error: float


def paired_gain(
    start: Float[np.ndarray, " row"], nll: Float[np.ndarray, " row"], subject: Int64[np.ndarray, " row"]
) -> Gain:
    """Compare a model with its start on the same rows.

    The standard error treats the rows of a subject as one observation (Liang and Zeger 1986, Biometrika).

    Args:
        start: Negative log-likelihood of each row before the first epoch.
        nll: The same after an epoch.
        subject: Number of the subject of each row.

    Returns:
        The gain.
    """
    difference = start - nll
    mean = difference.mean()
    of_subject = np.bincount(np.unique(subject, return_inverse=True)[1], difference - mean)
    return Gain(float(mean), float(np.sqrt((of_subject**2).sum()) / len(difference)))


@dataclass
class EarlyStopping:
    """Stop after ``patience`` epochs in a row that improve the loss by no more than ``min_delta``.

    The best epoch is the one with the lowest loss; ``min_delta`` only decides which epochs count as an improvement. A
    model that starts from a fit stays at it unless an epoch is better by more than ``start_margin`` standard errors:
    the best of many epochs is often better by chance, the more so with few validation subjects. With 1 it is the
    one-standard-error rule (Breiman et al. 1984, Classification and Regression Trees).

    Attributes:
        patience: Epochs without improvement before training stops; None never stops.
        min_delta: Decrease of the loss, in nats per subject, that an improvement must exceed.
        start_margin: Standard errors that the gain over a fitted start must exceed.
        best_loss: Loss of the best epoch so far.
        best_epoch: Its number, counted from 1; 0 before the first one, or for a fitted start.
        reference: Loss of the last epoch that counted as an improvement.
        waited: Epochs since then.
    """

    patience: int | None
    min_delta: float
    start_margin: float
    best_loss: float = math.inf
    best_epoch: int = 0
    reference: float = math.inf
    waited: int = 0

    def update(self, loss: float, epoch: int, gain: Gain | None = None) -> bool:
        """Record the validation loss of an epoch.

        Args:
            loss: Validation loss, in nats per subject.
            epoch: Number of the epoch, counted from 1; 0 for a model that starts from a fit, before it is trained.
            gain: Gain over the fitted start; None for models without one.

        Returns:
            Whether this epoch is the best so far.
        """
        if loss < self.reference - self.min_delta:
            self.reference, self.waited = loss, 0
        else:
            self.waited += 1
        is_best = loss < self.best_loss and (gain is None or gain.nats > self.start_margin * gain.standard_error)
        if is_best:
            self.best_loss, self.best_epoch = loss, epoch
        return is_best

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded; the settings come from the config and are left out."""
        names = ("best_loss", "best_epoch", "reference", "waited")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Args:
            state: Values of the attributes by name; the others keep their values.
        """
        for name, value in state.items():
            setattr(self, name, value)
