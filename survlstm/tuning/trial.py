"""Train one trial of a search and return its validation metrics."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.training.history import History, read_history
from survlstm.utils.errors import CheckpointError

if TYPE_CHECKING:
    from survlstm.tuning.pruning import PruningCallback


class TrialOutcome(NamedTuple):
    """Validation metrics of a trial at its best epoch.

    Attributes:
        val_nll: Validation loss in nats per subject; lower is better.
        val_c_td: Validation C-index; higher is better.
        best_epoch: The best epoch, from 1; 0 if none is clearly better than a fitted start.
        epochs: Number of epochs trained.
        seconds: Training time over all attempts.
    """

    val_nll: float
    val_c_td: float
    best_epoch: int
    epochs: int
    seconds: float


RunTrial = Callable[[list[str], Path, "PruningCallback"], TrialOutcome]


def train_trial(overrides: list[str], folder: Path, callback: PruningCallback) -> TrialOutcome:
    """Train in ``folder``, or resume the trial there, without use of the test subjects.

    A trial whose training had ended before its worker was killed is not trained again.

    Args:
        overrides: Overrides of ``survlstm train``: those of the base and the trial's values.
        folder: The trial's folder.
        callback: Called after every epoch; an error that it raises ends the training.

    Returns:
        The validation metrics at the best epoch.

    Raises:
        Pruned: If the study ends the trial.
        TrialTakenOver: If another worker runs the trial now.
        SurvlstmError: If the config is not valid, the folder can't be used, or training fails.
    """
    (config,) = check_overrides("train", overrides, RunConfig)
    if not _has_ended(folder):
        try:
            _start(config, folder, callback, overrides)
        finally:
            # The model is part of reference cycles; the next trial needs its memory.
            gc.collect()
    return outcome_of(read_history(folder))


def outcome_of(history: History) -> TrialOutcome:
    """Return the validation metrics at the best epoch of a history.

    Args:
        history: The history; at least one epoch has ended.

    Returns:
        The metrics; NaN where the epoch has none.

    Raises:
        IndexError: If no epoch has ended.
    """
    best = history.best
    return TrialOutcome(best.val_loss, best.val_c_td, best.epoch, len(history.epochs), history.usage.seconds)


def _has_ended(folder: Path) -> bool:
    try:
        history = read_history(folder)
    except CheckpointError:
        return False
    return bool(history.stopped and history.epochs)


def _start(config: RunConfig, folder: Path, callback: PruningCallback, overrides: list[str]) -> None:
    # torch comes with it.
    from survlstm.runs import launch

    launch.start(config, folder, overrides=overrides, callbacks=(callback,), judged=False)
