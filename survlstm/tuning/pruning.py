"""Report the validation curve of a trial to the study, and stop the trial when the study prunes it."""

from __future__ import annotations

import datetime
import logging
import math
import time

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from survlstm.training.history import Epoch, History
from survlstm.tuning.storage import STORAGE_ERRORS, storage_message
from survlstm.tuning.trial import TrialOutcome, outcome_of
from survlstm.utils.errors import SurvlstmError

log = logging.getLogger(__name__)

# How often a trial writes a sign of life; other workers wait for hours before they take it for dead.
SECONDS_BETWEEN_SIGNS = 60.0


class Pruned(SurvlstmError):
    """The trial is stopped because others were better at the same epoch."""


class TrialTakenOver(SurvlstmError):
    """Other workers took this worker for dead and run its trial again."""


class PruningCallback:
    """Report every epoch to the study; ``outcome`` is that of the epochs so far, None before the first.

    The metric of each epoch is reported, not a running best: the pruner compares the best of this trial so far with the
    median of other trials at the same epoch.

    Args:
        trial: The trial, to which the epochs are reported.
        metric: ``val_nll`` or ``val_c_td``.
    """

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.trial = trial
        self.metric = metric
        self.outcome: TrialOutcome | None = None
        self._reported = 0
        self._shown = time.monotonic()

    def epoch_ended(self, history: History) -> None:
        """Report the new epochs.

        Args:
            history: All epochs so far, those before a resumption too; the last one has just ended.

        Raises:
            Pruned: If the study ends the trial.
            TrialTakenOver: If another worker runs the trial now.
        """
        self.outcome = outcome_of(history)
        try:
            # Several epochs if the run was resumed from a checkpoint: this attempt has not reported them yet.
            for epoch in history.epochs[self._reported :]:
                self._report(epoch)
            self._show_life()
            is_hopeless = self.trial.should_prune()
        except UpdateFinishedTrialError as error:
            raise TrialTakenOver(
                "other workers took this trial for lost and run it again; see lost_after_hours"
            ) from error
        except STORAGE_ERRORS as error:
            # A gap in the curve is better than a lost trial: the storage is needed again only for the result.
            log.warning("Epoch %d could not be reported: %s", len(history.epochs), storage_message(error))
            return
        if is_hopeless:
            raise Pruned(f"worse after {len(history.epochs)} epochs than half of the complete trials")

    def _report(self, epoch: Epoch) -> None:
        value = epoch.val_loss if self.metric == "val_nll" else epoch.val_c_td
        if math.isfinite(value):
            self.trial.report(value, epoch.epoch)
        self._reported = epoch.epoch

    def _show_life(self) -> None:
        if time.monotonic() - self._shown >= SECONDS_BETWEEN_SIGNS:
            self.trial.set_user_attr("seen", utc_now())
            self._shown = time.monotonic()


def utc_now() -> str:
    """Return the current time in the format of trial attributes."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
