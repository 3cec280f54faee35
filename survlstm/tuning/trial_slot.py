"""Claim the next trial of a study for this worker, and put back the trials of workers that died."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from survlstm.tuning.config import TuneConfig
from survlstm.tuning.pruning import utc_now
from survlstm.tuning.study import make_sampler
from survlstm.tuning.trial_table import TrialSlot, opened_slot, slot_index, trial_folder, trial_slots
from survlstm.utils.files import file_lock, is_locked, write_text

log = logging.getLogger(__name__)

# The token has a file of its own: on Windows a locked file can't be read by others.
LOCK, TOKEN = ".worker", ".worker-token"
# A trial is signed milliseconds after it was requested; one that stays unsigned for this long has lost its worker.
UNSIGNED_SECONDS = 60.0


@dataclass
class ClaimedTrial:
    """A trial that this process has claimed; its lock is released when the process ends, however it ends."""

    trial: optuna.Trial
    slot: int
    folder: Path
    values: dict[str, Any]
    lock: ExitStack

    def release(self) -> None:
        """Release the lock."""
        self.lock.close()


def claim_trial(study: optuna.Study, config: TuneConfig) -> ClaimedTrial | None:
    """Claim the next trial for this process and draw its values.

    Trials that dead workers have left come first. The folder's lock ``.claims`` is held meanwhile.

    Args:
        study: The study; its sampler is replaced by that of the trial.
        config: The config of the search.

    Returns:
        The trial, whose lock is held until ``release``; None if every trial is taken.
    """
    with file_lock(config.folder / ".claims"):
        requeue_dead_trials(study, config)
        while _has_room(study, config):
            found = _signed(study, study.ask(), config)
            if found is not None:
                return found
    return None


def _has_room(study: optuna.Study, config: TuneConfig) -> bool:
    trials = study.get_trials(deepcopy=False)
    return any(trial.state == TrialState.WAITING for trial in trials) or sum(map(opened_slot, trials)) < config.trials


def _signed(study: optuna.Study, trial: optuna.Trial, config: TuneConfig) -> ClaimedTrial | None:
    trials = study.get_trials(deepcopy=False)
    slot = slot_index(next(other for other in trials if other.number == trial.number), trials)
    folder = trial_folder(config.folder, slot)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _taken(folder)
    # Workers that share the storage but not the folder may both have seen the last index free.
    if lock is None or (slot >= config.trials and "retry" not in trial.user_attrs):
        trial.set_user_attr("surplus", True)
        study.tell(trial, state=TrialState.FAIL)
        if lock is not None:
            lock.close()
        return None
    try:
        return ClaimedTrial(trial, slot, folder, _drawn(study, trial, slot, folder, config), lock)
    except BaseException:
        # Without its lock the trial counts as lost and is put back.
        lock.close()
        raise


def _drawn(study: optuna.Study, trial: optuna.Trial, slot: int, folder: Path, config: TuneConfig) -> dict[str, Any]:
    """Claim the trial, then draw its values."""
    token = uuid.uuid4().hex
    write_text(folder / TOKEN, token)
    for name, value in {"slot": slot, "seen": utc_now(), "token": token}.items():
        trial.set_user_attr(name, value)
    # Seeded by the index and drawn late, so that the values do not depend on what became of earlier attempts.
    study.sampler = make_sampler(config, slot)
    return {key: dimension.suggest(key, trial) for key, dimension in config.space.items()}


def _taken(folder: Path) -> ExitStack | None:
    lock = ExitStack()
    try:
        lock.enter_context(file_lock(folder / LOCK, timeout=0, required=True))
    except TimeoutError:
        return None
    return lock


def requeue_dead_trials(study: optuna.Study, config: TuneConfig) -> None:
    """End the attempts of dead workers and queue another attempt for each lost trial.

    A worker of this folder is dead if its lock is free, one of another machine if it has shown no sign of life for
    ``lost_after_hours``, and one that has not signed its attempt after ``UNSIGNED_SECONDS``. Only the process that
    holds the lock ``.claims`` may call this.

    Args:
        study: The study.
        config: The config of the search.
    """
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state == TrialState.RUNNING and _is_dead(trial, trials, config):
            # Another machine may have ended it already.
            with suppress(ValueError):
                study.tell(trial.number, state=TrialState.FAIL)
    for place in trial_slots(study.get_trials(deepcopy=False)):
        if place.state == "lost":
            _queue_again(study, place)


def _queue_again(study: optuna.Study, place: TrialSlot) -> None:
    log.info("Trial %d was left by its worker; it is resumed", place.slot)
    study.enqueue_trial(place.params, user_attrs={"slot": place.slot, "retry": len(place.attempts)})


def _is_dead(trial: FrozenTrial, trials: Sequence[FrozenTrial], config: TuneConfig) -> bool:
    token = trial.user_attrs.get("token")
    if token is None:
        begun = trial.datetime_start or datetime.datetime.now()
        return (datetime.datetime.now() - begun).total_seconds() > UNSIGNED_SECONDS
    folder = trial_folder(config.folder, slot_index(trial, trials))
    with suppress(OSError):
        if (folder / TOKEN).read_text(encoding="utf-8") == token:
            return not is_locked(folder / LOCK)
    # The worker's folder is on another machine.
    seen = datetime.datetime.fromisoformat(trial.user_attrs["seen"])
    hours = (datetime.datetime.now(datetime.UTC) - seen).total_seconds() / 3600
    return hours > config.lost_after_hours
