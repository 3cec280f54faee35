"""Survival curves of two models of pycox, fitted on the CPU without a change of the global random state."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor, nn

from survlstm.survival.hazard import survival

CPU = torch.device("cpu")
NODES = (32, 32)
DROPOUT = 0.5
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
BATCH_SIZE = 64
EPOCHS = 200
PATIENCE = 15
# Weight of the likelihood against the ranking loss, and the scale of the ranking loss. With pycox's defaults of 0.2 and
# 0.1 validation subjects are ranked no better and their negative log-likelihood is higher.
DEEPHIT_ALPHA = 0.5
DEEPHIT_SIGMA = 0.25


class DesignMatrices(NamedTuple):
    """Covariates of the training, validation and test subjects."""

    train: Float32[np.ndarray, "train column"]
    val: Float32[np.ndarray, "val column"]
    test: Float32[np.ndarray, "test column"]


class GridLabels(NamedTuple):
    """Labels on a grid of steps, by the convention of survlstm.survival.steps and of pycox.

    A subject censored in a step has survived this step.

    Attributes:
        step: Last step at risk.
        event: Whether the event happens in that step.
        steps: Number of steps of the grid.
    """

    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    steps: int

    @property
    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """Step and event in the types that pycox takes."""
        return self.step.astype(np.int64), self.event.astype(np.float32)


def logistic_hazard_survival(
    designs: DesignMatrices, train: GridLabels, val: GridLabels, *, seed: int
) -> Float64[np.ndarray, "subject horizon"]:
    """Fit pycox's LogisticHazard.

    Args:
        designs: Covariates.
        train: Labels of the training subjects.
        val: Labels of the validation subjects, for early stopping.
        seed: Seed of weights, batches and dropout.

    Returns:
        Survival of the test subjects at the end of each step.
    """
    from pycox.models import LogisticHazard

    hazard = _life_table(train)
    logits = _fit_network(LogisticHazard, designs, train, val, start=np.log(hazard / (1 - hazard)), seed=seed)
    # pycox's own survival adds 1e-7 to 1 - h, which raises the survival of a rare event above 1.
    return survival(logits).numpy()


def deephit_survival(
    designs: DesignMatrices, train: GridLabels, val: GridLabels, *, seed: int
) -> Float64[np.ndarray, "subject horizon"]:
    """Fit pycox's DeepHitSingle.

    Args:
        designs: Covariates.
        train: Labels of the training subjects.
        val: Labels of the validation subjects, for early stopping.
        seed: Seed of weights, batches and dropout.

    Returns:
        Survival of the test subjects at the end of each step.
    """
    from pycox.models import DeepHitSingle

    alive = np.cumprod(1 - _life_table(train))
    start = np.log(-np.diff(alive, prepend=1.0) / alive[-1])
    model = partial(DeepHitSingle, alpha=DEEPHIT_ALPHA, sigma=DEEPHIT_SIGMA)
    logits = _fit_network(model, designs, train, val, start=start, seed=seed)
    # Survival of the whole grid is one more class, with logit 0. As a sum of the later probabilities, survival never
    # falls below 0.
    probability = nn.functional.pad(logits, (0, 1)).softmax(dim=1)
    return probability.flip(1).cumsum(dim=1).flip(1)[:, 1:].clamp(max=1.0).numpy()


def _fit_network(
    model: Callable[..., Any],
    designs: DesignMatrices,
    train: GridLabels,
    val: GridLabels,
    *,
    start: Float64[np.ndarray, " horizon"],
    seed: int,
) -> Float64[Tensor, "subject horizon"]:
    """Train a small network until the loss on ``val`` stops falling; return its outputs for the test subjects.

    The bias of the last layer starts at ``start``, so that the network need not first learn how rare the event is.
    """
    import torchtuples as tt

    with _own_random_state(seed), tempfile.TemporaryDirectory() as folder:
        net = tt.practical.MLPVanilla(designs.train.shape[1], NODES, train.steps, dropout=DROPOUT)
        nn.init.zeros_(net.net[-1].weight)
        net.net[-1].bias.data = torch.from_numpy(start).float()
        optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        fitted = model(net, optimizer=optimizer, device=CPU)
        fitted.fit(
            designs.train,
            train.target,
            _batch_size(len(designs.train)),
            EPOCHS,
            # Without a path the callback writes its weights into the working directory.
            [tt.callbacks.EarlyStopping(patience=PATIENCE, file_path=str(Path(folder) / "best.pt"))],
            verbose=False,
            val_data=(designs.val, val.target),
            val_batch_size=len(designs.val),
        )
        return torch.from_numpy(fitted.predict(designs.test)).double()


def _batch_size(subjects: int) -> int:
    """Return a size near ``BATCH_SIZE`` that leaves no last batch of one subject, which batch normalisation rejects."""
    return next(size for size in range(BATCH_SIZE, 2 * BATCH_SIZE) if subjects % size != 1)


def _life_table(labels: GridLabels) -> Float64[np.ndarray, " horizon"]:
    """Return the hazard of each step with half an event added, so that none is 0."""
    at_risk = (np.arange(labels.steps) <= labels.step[:, None]).sum(axis=0)
    return (np.bincount(labels.step[labels.event], minlength=labels.steps) + 0.5) / (at_risk + 1)


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the GPUs, whose state fork_rng does not restore here.
        torch.default_generator.manual_seed(seed)
        yield
