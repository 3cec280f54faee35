"""Train a model epoch by epoch, with validation, checkpoints, early stopping and resuming."""

from __future__ import annotations

import dataclasses
import logging
import math
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from tqdm import tqdm

from survlstm.data.batches import Batches
from survlstm.models.protocol import LinearStart
from survlstm.models.weights import check_weights
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.compute_environment import compute_environment, environment_diff
from survlstm.training.distributed import ProcessGroup
from survlstm.training.early_stopping import EarlyStopping, Gain, paired_gain
from survlstm.training.finite_loss_check import FiniteLossCheck
from survlstm.training.history import AuxiliaryEpoch, Epoch, History, Progress, Usage, describe_usage
from survlstm.training.prediction import predict_split
from survlstm.training.saved_state import START, check_scheduler_state, state_errors
from survlstm.training.schedule import Schedule
from survlstm.training.seeding import random_states, restore_random_states
from survlstm.training.signal_handler import SignalHandler
from survlstm.training.telemetry import Telemetry, peak_device_bytes, peak_host_bytes
from survlstm.training.train_step import TrainStep
from survlstm.training.validation import Validation, validate
from survlstm.utils.errors import Interrupted, NotFiniteError, TrainingError
from survlstm.utils.shell import format_command

log = logging.getLogger(__name__)

# Reading a loss makes the host wait for a CUDA device, so losses are checked once in so many steps there.
STEPS_BETWEEN_CHECKS = 25
# What to do after a step. Each rank proposes an action; all take the one with the largest number.
CONTINUE, OUT_OF_BUDGET, SIGNALLED = 0, 1, 2


@runtime_checkable
class Callback(Protocol):
    """An object that is called after every epoch, once it is saved; an exception that it raises ends training."""

    def epoch_ended(self, history: History) -> None:
        """Handle the end of an epoch.

        Args:
            history: All epochs so far; the last one has just ended.
        """


@dataclass
class Trainer:
    """The training loop.

    It reads no config, touches files only through the checkpointer, and never sees the test subjects.

    Attributes:
        train_step: Model, optimizer, device and process group.
        scheduler: Learning-rate schedule, stepped after every epoch.
        early_stopping: Chooses the best epoch and ends training.
        checkpointer: Writes checkpoints and the history, on rank 0 only.
        budget: Time and cost used so far; ends training when its limit is reached.
        seed: Seed of the shuffling and of the dropout masks.
        minutes_between_saves: Longest time between two saves within an epoch, checked after every step.
        callbacks: Called after every epoch.
        history: Figures of the epochs so far.
        progress: How much of the current epoch is done.
        signal_handler: Remembers SIGTERM and SIGINT during ``fit``.
        telemetry: Utilisation of the CUDA device.
        saved_at: Time of the last save, on the monotonic clock.
        requested_micro_batch_size: ``trainer.micro_batch_size`` as configured, before any halving.
    """

    train_step: TrainStep
    scheduler: Schedule
    early_stopping: EarlyStopping
    checkpointer: Checkpointer
    budget: BudgetMeter
    seed: int
    minutes_between_saves: float
    callbacks: tuple[Callback, ...] = ()
    history: History = field(init=False)
    progress: Progress = field(default_factory=Progress, init=False)
    signal_handler: SignalHandler = field(default_factory=SignalHandler, init=False)
    telemetry: Telemetry = field(init=False)
    saved_at: float = field(init=False)
    requested_micro_batch_size: int | None = field(default=None, init=False)
    _start_nll: np.ndarray | None = field(default=None, init=False)

    def fit(self, train: Batches, val: Batches, *, epochs: int, state: dict[str, Any] | None = None) -> History:
        """Train the model, then load the weights of the best epoch.

        Args:
            train: The training subjects.
            val: The validation subjects, for early stopping, the schedule and the choice of the best epoch.
            epochs: Number of epochs, those of an earlier process included; patience or budget may end training sooner.
            state: Training state of a stopped run; None starts from the beginning. The resumed run repeats the
                uninterrupted one bit for bit where the compute environment is the same.

        Returns:
            The figures of all epochs.

        Raises:
            Interrupted: SIGTERM or SIGINT arrived; the state was saved first.
            NotFiniteError: A loss or a gradient norm is not finite.
            OutOfMemoryError: The memory does not suffice for a step.
            TrainingError: The budget was spent before the end of the first epoch.
            CheckpointError: A checkpoint can't be written, or ``state`` does not belong to this model and config.
        """
        self._begin(train)
        if self._is_main:
            self.checkpointer.open()
        if state is not None:
            self._restore(state, val)
        elif isinstance(self.train_step.model, LinearStart) and self.train_step.has_outcome_loss:
            self._validate_start(train, val)
        log.info("Model parameters: %s", f"{self.history.parameters:,}")
        log.info("Parameters per training subject: %.1f", self.history.parameters_per_subject)
        with self.signal_handler.listening():
            while not self._has_ended(epochs):
                self._epoch(train, val, epochs)
        return self._end()

    @property
    def _process_group(self) -> ProcessGroup:
        return self.train_step.process_group

    @property
    def _is_main(self) -> bool:
        return self._process_group.is_main

    def _begin(self, train: Batches) -> None:
        parameters = sum(parameter.numel() for parameter in self.train_step.model.parameters())
        self.history = History(parameters, parameters / len(train.members))
        self.telemetry = Telemetry(self.train_step.device)
        self.requested_micro_batch_size = self.train_step.micro_batch_size
        self.saved_at = time.monotonic()

    def _has_ended(self, epochs: int) -> bool:
        """Return whether training is over, and record why in the history; save and raise where a signal arrived."""
        done, action = len(self.history.epochs), self._agree_on_action()
        if action == SIGNALLED:
            self._update_usage(epochs)
            self._save()
            raise self._interrupted()
        if self.early_stopping.should_stop:
            self.history.stopped = f"early stopping after {done} epochs"
        elif done >= epochs:
            self.history.stopped = f"all {done} epochs done"
        elif action == OUT_OF_BUDGET:
            self.history.stopped = f"{self.budget.spent or 'the budget is spent'}, in epoch {self.progress.epoch}"
            self._update_usage(epochs)
            self._save()
        else:
            return False
        return True

    def _end(self) -> History:
        history = self.history
        self._update_usage(epochs=0)
        self._write_history()
        log.info("\nTraining ended: %s", history.stopped)
        if not history.epochs:
            raise TrainingError(
                f"a model must have been trained for an epoch before its budget is spent; {self.progress.steps} steps "
                "were done and are saved. Raise trainer.budget and resume with survlstm train resume=RUN"
            )
        best = history.best
        before = "before the first epoch: no epoch was better than the regression by the margin"
        log.info("Best validation loss: %.4f (%s)", best.val_loss, f"epoch {best.epoch}" if best.epoch else before)
        if self.train_step.has_outcome_loss:
            log.info("Validation C-index (c_td) there: %.4f", best.val_c_td)
        weights = self._best_weights() if self._is_main else None
        self.train_step.model.load_state_dict(self._process_group.broadcast(weights))
        return history

    def _validate_start(self, train: Batches, val: Batches) -> None:
        """Record the model before its first epoch, which may stay the best one."""
        predictions = predict_split(
            self.train_step.model, train, self.train_step.device, process_group=self._process_group
        )
        train_loss = float(predictions.nll.mean())
        log.info("\nBefore the first epoch\nTrain loss: %.4f", train_loss)
        found = self._validate(val, when="before the first epoch")
        self._start_nll = found.nll
        self.history.start = Epoch(0, train_loss, found.loss, found.c_td, 0.0, 0.0, 0.0, 0.0)
        self.early_stopping.update(found.loss, 0)
        if self._is_main:
            self.checkpointer.save_best(self.train_step.model.state_dict(), epoch=0)

    def _best_weights(self) -> dict[str, Any]:
        with state_errors("best.pt"):
            weights: dict[str, Any] = self.checkpointer.best().get("model", {})
            check_weights(self.train_step.model.state_dict(), weights)
            return weights

    def _epoch(self, train: Batches, val: Batches, epochs: int) -> None:
        number, lr = self.progress.epoch, float(self.train_step.optimizer.param_groups[0]["lr"])
        log.info("\nEpoch %d/%d", number, epochs)
        if not self._train(train, epochs):
            return
        steps, subjects, seconds = len(train), len(train.members), self.progress.seconds
        train_loss, grad_norm = self.progress.loss_sum / subjects, self.progress.norm_sum / steps
        log.info("Train loss: %.4f  (%.2f s, %.0f subjects/s)", train_loss, seconds, subjects / seconds)
        with self.train_step.evaluated_weights():
            found = self._validate(val, when=f"after epoch {number}")
        record = Epoch(number, train_loss, found.loss, found.c_td, lr, grad_norm, seconds, subjects / seconds)
        self.history.epochs.append(record)
        if self.train_step.auxiliary is not None:
            codes, time_to = self.train_step.auxiliary.take_means(subjects)
            val_codes, val_time_to = found.auxiliary
            self.history.auxiliary.append(AuxiliaryEpoch(number, codes, val_codes, time_to, val_time_to))
        is_best = self.early_stopping.update(found.loss, number, self._gain_over_start(found))
        self.history.best_epoch = self.early_stopping.best_epoch
        self.scheduler.step(found.loss)
        self.progress = Progress(epoch=number + 1)
        self._update_usage(epochs)
        if is_best and self._is_main:
            # Before last.pt, which records this epoch as the best: if the process is killed in between, the resumed
            # run repeats the epoch and writes the same best.pt again.
            with self.train_step.evaluated_weights():
                self.checkpointer.save_best(self.train_step.model.state_dict(), epoch=number)
            log.info("Saved best model to %s", self.checkpointer.folder / "best.pt")
        self._save(is_epochs_end=True)
        log.info("%s", describe_usage(self.history.usage))
        for callback in self.callbacks:
            callback.epoch_ended(self.history)

    def _gain_over_start(self, found: Validation) -> Gain | None:
        """Compare the model with its fitted start, if it has one, and record the gain."""
        if self._start_nll is None or found.nll is None or found.subject is None:
            return None
        gain = paired_gain(self._start_nll, found.nll, found.subject)
        self.history.gains.append(gain)
        log.info("Gain over the regression: %+.4f nats (standard error %.4f)", *gain)
        return gain

    def _train(self, train: Batches, epochs: int) -> bool:
        """Take the optimizer steps that are left of the epoch; return False where the budget ended it early."""
        progress, device = self.progress, self.train_step.device
        self.train_step.model.train()
        chosen = train.shuffled(seed=self.seed, epoch=progress.epoch)
        # Seed and epoch both fit in 32 bits, so that every pair gives another salt.
        salt = self.seed << 32 | progress.epoch
        sums = torch.tensor([progress.loss_sum, progress.norm_sum], dtype=torch.float64, device=device)
        loss_check = FiniteLossCheck(
            progress.epoch, 1 if device.type == "cpu" else STEPS_BETWEEN_CHECKS, self._advice()
        )
        started, seconds_before = time.perf_counter(), progress.seconds
        # None: tqdm writes the bar to stderr on a terminal only; a log file gets one line for each epoch instead.
        bar = tqdm(
            total=len(chosen),
            initial=progress.steps,
            desc="Training",
            disable=None if self._is_main else True,
            leave=False,
        )
        with bar, self.telemetry.sampling():
            for step in self.train_step.steps(train, chosen[progress.steps :], salt=salt):
                sums += torch.stack([step.loss * step.subjects, step.norm]).double()
                progress.steps += 1
                loss_check.record(progress.steps, step)
                bar.update()
                action = self._agree_on_action()
                if not (action or self._is_due()) or progress.steps == len(chosen):
                    continue
                loss_check.flush()
                progress.loss_sum, progress.norm_sum = sums.tolist()
                progress.seconds = seconds_before + time.perf_counter() - started
                if action == OUT_OF_BUDGET:
                    return False
                self._update_usage(epochs)
                self._save()
                if action == SIGNALLED:
                    raise self._interrupted()
            loss_check.flush()
            progress.loss_sum, progress.norm_sum = sums.tolist()
        progress.seconds = seconds_before + time.perf_counter() - started
        return True

    def _validate(self, val: Batches, *, when: str) -> Validation:
        found = validate(self.train_step, val)
        if not math.isfinite(found.loss):
            raise NotFiniteError(
                f"the validation loss must be finite; found {found.loss} {when} over "
                f"{len(val.members)} subjects. {self._advice()}"
            )
        return found

    def _agree_on_action(self) -> int:
        """Return the action that all ranks take now."""
        action = CONTINUE
        if self._is_main and self.budget.spent is not None:
            action = OUT_OF_BUDGET
        return self._process_group.all_reduce_max(SIGNALLED if self.signal_handler.signal_number else action)

    def _is_due(self) -> bool:
        return self._is_main and time.monotonic() - self.saved_at > self.minutes_between_saves * 60

    def _save(self, *, is_epochs_end: bool = False) -> None:
        if self._is_main:
            epoch = self.progress.epoch - is_epochs_end
            self.checkpointer.save_last(self._state(), epoch=epoch, is_epochs_end=is_epochs_end)
            self._write_history()
            self.saved_at = time.monotonic()

    def _write_history(self) -> None:
        if self._is_main:
            self.checkpointer.save_history(self.history)

    def _interrupted(self) -> Interrupted:
        progress, folder = self.progress, self.checkpointer.run_folder
        # The signal may have reached another rank only.
        number = self.signal_handler.signal_number or signal.SIGTERM
        return Interrupted(
            f"stopped by signal {number} in epoch {progress.epoch} after {progress.steps} steps; the state is saved. "
            f"Resume with {format_command('train', f'resume={folder}')}",
            signal_number=number,
        )

    def _state(self) -> dict[str, Any]:
        start = {} if self._start_nll is None else {START: torch.from_numpy(self._start_nll)}
        return {
            **self.train_step.state_dict(),
            **start,
            "scheduler": self.scheduler.state_dict(),
            "stopping": self.early_stopping.state_dict(),
            "progress": dataclasses.asdict(self.progress),
            "history": self.history.as_plain(),
            "asked_at_once": self.requested_micro_batch_size,
            "micro_batch_size": self.train_step.micro_batch_size,
            "random": random_states(),
            "place": compute_environment(self.train_step.device, self._process_group),
        }

    def _restore(self, state: dict[str, Any], val: Batches) -> None:
        self._load(state, val)
        self.early_stopping.load_state_dict(state["stopping"])
        self._start_nll = state[START].numpy() if START in state else None
        self.progress = Progress(**state["progress"])
        self.history = History.from_plain(state["history"])
        self.history.stopped = ""
        # A micro-batch size that had to be halved is kept, unless the config now asks for another one.
        if self.requested_micro_batch_size == state["asked_at_once"]:
            self.train_step.micro_batch_size = state["micro_batch_size"]
        self.budget.seconds_before = self.history.usage.seconds
        restore_random_states(state["random"])
        where = f"epoch {self.progress.epoch} after {self.progress.steps} steps"
        changed = environment_diff(state["place"], compute_environment(self.train_step.device, self._process_group))
        if changed:
            log.warning("the compute environment has changed (%s): results may differ by rounding", changed)
        self.history.events.append(f"resumed in {where}" + (f", with {changed}" if changed else ""))
        log.info("Resuming in %s", where)

    def _load(self, state: dict[str, Any], val: Batches) -> None:
        """Load weights, optimizer and schedule, after checking that all of them belong to this model and config."""
        same_torch = state["place"].get("torch") == str(torch.__version__)
        with state_errors("last.pt"):
            schedule = check_scheduler_state(self.scheduler.state_dict(), state["scheduler"], same_torch=same_torch)
            if START in state and len(state[START]) != len(val.rows(val.members)):
                raise ValueError(f"{START} must hold one number for each row of the validation subjects")
            self.train_step.load_state(state, same_torch=same_torch)
        self.scheduler.load_state_dict(schedule)

    def _update_usage(self, epochs: int) -> None:
        done = self.history.epochs
        self.history.events += self.train_step.events
        self.train_step.events.clear()
        seconds, at_most = self.budget.seconds, None
        if done:
            per_epoch = sum(epoch.seconds for epoch in done) / len(done)
            at_most = seconds + max(0, epochs - len(done)) * per_epoch
        self.history.usage = Usage(
            seconds=seconds,
            seconds_at_most=at_most,
            cost=self.budget.cost(seconds),
            cost_at_most=None if at_most is None else self.budget.cost(at_most),
            peak_bytes=peak_host_bytes(),
            peak_device_bytes=peak_device_bytes(self.train_step.device),
            device_busy=self.telemetry.busy,
        )

    def _advice(self) -> str:
        """Return what to try where a loss is not finite, and which epoch is saved."""
        lr = float(self.train_step.optimizer.param_groups[0]["lr"])
        section = "model" if hasattr(self.train_step.model, "grad_clip") else "trainer"
        kept = f"; epoch {self.progress.epoch - 1} is saved in {self.checkpointer.folder}"
        return (
            f"Try optimizer.lr={lr / 10:g} or {section}.grad_clip={(self.train_step.grad_clip or 2.0) / 2:g}"
            f"{kept if self.history.epochs else ''}"
        )
