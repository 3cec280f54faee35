"""The validation curve of a trial → the study, and Pruned where the study has seen enough of it."""

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

# How often a trial shows others that it lives; they wait for hours before they doubt it.
SECONDS_BETWEEN_SIGNS = 60.0


class Pruned(SurvlstmError):
    """A trial is stopped because others were better at the same epoch."""


class TrialTakenOver(SurvlstmError):
    """Other workers took this one for dead and try its trial again."""


class PruningCallback:
    """Told of every epoch that ends; ``outcome`` is that of the epochs so far, None before the first.

    The values are those of each epoch and no running best: the median of others at an epoch is that of what they had
    there, and a trial is held against it by its best so far.
    """

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.trial = trial
        self.metric = metric
        self.outcome: TrialOutcome | None = None
        self._reported = 0
        self._shown = time.monotonic()

    def epoch_ended(self, history: History) -> None:
        """Report what is new; Pruned where training should end here, GivenUp where nobody waits for it any more."""
        self.outcome = outcome_of(history)
        try:
            # More than one where the run goes on from its checkpoint: the study knows nothing of this trial's past.
            for epoch in history.epochs[self._reported :]:
                self._report(epoch)
            self._show_life()
            is_hopeless = self.trial.should_prune()
        except UpdateFinishedTrialError as error:
            raise TrialTakenOver(
                "other workers have given this trial up and try it again; see lost_after_hours"
            ) from error
        except STORAGE_ERRORS as error:
            # A curve with a gap is better than a trial lost: the storage must be back for its result only.
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
    """The time as trials keep it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
