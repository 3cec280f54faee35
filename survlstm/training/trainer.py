"""Model, batches and optimizer → trained weights and their history; a run that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
import logging
import math
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from tqdm import tqdm

from survlstm.data.batches import Batches
from survlstm.models.weights import check_weights
from survlstm.survival.concordance import concordance_td
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.compute_environment import compute_environment, environment_diff
from survlstm.training.early_stopping import EarlyStopping
from survlstm.training.finite_loss_check import FiniteLossCheck
from survlstm.training.history import Epoch, History, Progress, Usage
from survlstm.training.prediction import predict_split
from survlstm.training.saved_state import check_optimizer_state, check_scheduler_state, state_errors
from survlstm.training.schedule import Schedule
from survlstm.training.seeding import random_states, restore_random_states
from survlstm.training.signal_handler import SignalHandler
from survlstm.training.telemetry import Telemetry, peak_device_bytes, peak_host_bytes
from survlstm.training.train_step import TrainStep
from survlstm.utils.errors import Interrupted, NotFiniteError, TrainingError
from survlstm.utils.formatting import format_dollars, format_duration
from survlstm.utils.shell import format_command

log = logging.getLogger(__name__)

# Reading a loss makes the host wait for a CUDA device, so there it is read once in so many steps.
STEPS_BETWEEN_LOOKS = 25
# What the processes agree on after every step; the largest wins.
GO_ON, OUT_OF_BUDGET, SIGNALLED = 0, 1, 2


@runtime_checkable
class Callback(Protocol):
    """Somebody who is told of every epoch, after it was saved; what it raises ends training."""

    def epoch_ended(self, history: History) -> None:
        """``history`` ends with the epoch that has ended."""


@dataclass
class Trainer:
    """The loop; it knows no config, no file but through the checkpointer, and no test set."""

    learner: TrainStep
    scheduler: Schedule
    stopping: EarlyStopping
    checkpointer: Checkpointer
    meter: BudgetMeter
    seed: int
    minutes_between_saves: float
    watchers: tuple[Callback, ...] = ()
    history: History = field(init=False)
    progress: Progress = field(default_factory=Progress, init=False)
    request: SignalHandler = field(default_factory=SignalHandler, init=False)
    telemetry: Telemetry = field(init=False)
    saved: float = field(init=False)
    asked_at_once: int | None = field(default=None, init=False)

    def fit(self, train: Batches, val: Batches, *, epochs: int, state: dict[str, Any] | None = None) -> History:
        """Train until ``epochs``, or until patience or budget runs out, then load the best weights back.

        ``state`` is that of a stopped run, which goes on bit for bit where the place is the same. Interrupted, after
        saving, where a signal asked for it; MemoryShortageError and NotFiniteError where a step is impossible.
        """
        self._begin(train)
        if self.learner.world.is_main:
            self.checkpointer.open()
        if state is not None:
            self._restore(state)
        log.info("Model parameters: %s", f"{self.history.parameters:,}")
        log.info("Parameters per training subject: %.1f", self.history.parameters_per_subject)
        with self.request.listening():
            while not self._has_ended(epochs):
                self._epoch(train, val, epochs)
        return self._end()

    def _begin(self, train: Batches) -> None:
        parameters = sum(parameter.numel() for parameter in self.learner.model.parameters())
        self.history = History(parameters, parameters / len(train.members))
        self.telemetry = Telemetry(self.learner.device)
        self.asked_at_once = self.learner.micro_batch_size
        self.saved = time.monotonic()

    def _has_ended(self, epochs: int) -> bool:
        done, wish = len(self.history.epochs), self._agreed()
        if wish == SIGNALLED:
            self._note_usage(epochs)
            self._save()
            raise self._interrupted()
        if self.stopping.should_stop:
            self.history.stopped = f"early stopping after {done} epochs"
        elif done >= epochs:
            self.history.stopped = f"all {done} epochs done"
        elif wish == OUT_OF_BUDGET:
            self.history.stopped = f"{self.meter.spent or 'the budget is spent'}, in epoch {self.progress.epoch}"
            self._note_usage(epochs)
            self._save()
        else:
            return False
        return True

    def _end(self) -> History:
        history = self.history
        self._note_usage(epochs=0)
        self._write_history()
        log.info("\nTraining ended: %s", history.stopped)
        if not history.epochs:
            raise TrainingError(
                f"a model must have been trained for an epoch before its budget is spent; {self.progress.steps} steps "
                "were done and are kept. Raise trainer.budget and go on with survlstm train resume=RUN"
            )
        best = history.best
        log.info("Best validation loss: %.4f (epoch %d)", best.val_loss, best.epoch)
        log.info("Validation C-index (c_td) there: %.4f", best.val_c_td)
        weights = self._best_weights() if self.learner.world.is_main else None
        self.learner.model.load_state_dict(self.learner.world.shared(weights))
        return history

    def _best_weights(self) -> dict[str, Any]:
        with state_errors("best.pt"):
            weights: dict[str, Any] = self.checkpointer.best().get("model", {})
            check_weights(self._shapes(), weights)
            return weights

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(weight.shape) for name, weight in self.learner.model.state_dict().items()}

    def _epoch(self, train: Batches, val: Batches, epochs: int) -> None:
        number, lr = self.progress.epoch, float(self.learner.optimizer.param_groups[0]["lr"])
        log.info("\nEpoch %d/%d", number, epochs)
        if not self._train(train, epochs):
            return
        steps, subjects, seconds = len(train), len(train.members), self.progress.seconds
        train_loss, grad_norm = self.progress.loss_sum / subjects, self.progress.norm_sum / steps
        log.info("Train loss: %.4f  (%.2f s, %.0f subjects/s)", train_loss, seconds, subjects / seconds)
        val_loss, c_td = self._validate(val)
        record = Epoch(number, train_loss, val_loss, c_td, lr, grad_norm, seconds, subjects / seconds)
        self.history.epochs.append(record)
        is_best = self.stopping.update(val_loss, number)
        self.history.best_epoch = self.stopping.best_epoch
        self.scheduler.step(val_loss)
        self.progress = Progress(epoch=number + 1)
        self._note_usage(epochs)
        if is_best and self.learner.world.is_main:
            # Before the state that says so: what is done twice comes out the same.
            self.checkpointer.save_best(self.learner.model.state_dict(), epoch=number)
            log.info("Saved best model to %s", self.checkpointer.folder / "best.pt")
        self._save(is_epochs_end=True)
        self._tell_usage()
        for watcher in self.watchers:
            watcher.epoch_ended(self.history)

    def _train(self, train: Batches, epochs: int) -> bool:
        """What is left of the epoch; false where the budget ended it."""
        progress, device = self.progress, self.learner.device
        self.learner.model.train()
        chosen = train.shuffled(seed=self.seed, epoch=progress.epoch)
        # Both fit in 32 bits.
        salt = self.seed << 32 | progress.epoch
        sums = torch.tensor([progress.loss_sum, progress.norm_sum], dtype=torch.float64, device=device)
        watch = FiniteLossCheck(progress.epoch, 1 if device.type == "cpu" else STEPS_BETWEEN_LOOKS, self._advice())
        started, seconds_before = time.perf_counter(), progress.seconds
        # Written to stderr, on a terminal only: a log file gets the lines of each epoch instead.
        bar = tqdm(
            total=len(chosen),
            initial=progress.steps,
            desc="Training",
            disable=None if self.learner.world.is_main else True,
            leave=False,
        )
        with bar, self.telemetry.sampling():
            for step in self.learner.steps(train, chosen[progress.steps :], salt=salt):
                sums += torch.stack([step.loss * step.subjects, step.norm]).double()
                progress.steps += 1
                watch.see(progress.steps, step)
                bar.update()
                wish = self._agreed()
                if not (wish or self._is_due()) or progress.steps == len(chosen):
                    continue
                watch.look()
                progress.loss_sum, progress.norm_sum = sums.tolist()
                progress.seconds = seconds_before + time.perf_counter() - started
                if wish == OUT_OF_BUDGET:
                    return False
                self._note_usage(epochs)
                self._save()
                if wish == SIGNALLED:
                    raise self._interrupted()
            watch.look()
            progress.loss_sum, progress.norm_sum = sums.tolist()
        progress.seconds = seconds_before + time.perf_counter() - started
        return True

    def _validate(self, val: Batches) -> tuple[float, float]:
        """Loss and c_td over all validation subjects, each counted once."""
        # One process may have had to halve its parts alone, and all must cut the subjects alike.
        at_once = -self.learner.world.most(-(self.learner.micro_batch_size or val.batch_size))
        val = dataclasses.replace(val, batch_size=min(val.batch_size, at_once))
        found = predict_split(self.learner.model, val, self.learner.device, world=self.learner.world)
        c_td = concordance_td(found.survival, step=found.step, event=found.event).c_td
        val_loss = float(found.nll.mean())
        log.info("Val loss: %.4f, C-index (c_td): %.4f", val_loss, c_td)
        if not math.isfinite(val_loss):
            raise NotFiniteError(
                f"the validation loss must be finite; found {val_loss} after epoch {self.progress.epoch} over "
                f"{len(val.members)} subjects. {self._advice()}"
            )
        return val_loss, c_td

    def _agreed(self) -> int:
        """What all processes do next."""
        wish = GO_ON
        if self.learner.world.is_main and self.meter.spent is not None:
            wish = OUT_OF_BUDGET
        return self.learner.world.most(SIGNALLED if self.request.signal_number else wish)

    def _is_due(self) -> bool:
        return self.learner.world.is_main and time.monotonic() - self.saved > self.minutes_between_saves * 60

    def _save(self, *, is_epochs_end: bool = False) -> None:
        if self.learner.world.is_main:
            epoch = self.progress.epoch - is_epochs_end
            self.checkpointer.save_last(self._state(), epoch=epoch, is_epochs_end=is_epochs_end)
            self._write_history()
            self.saved = time.monotonic()

    def _write_history(self) -> None:
        if self.learner.world.is_main:
            self.checkpointer.save_history(self.history)

    def _interrupted(self) -> Interrupted:
        progress, folder = self.progress, self.checkpointer.run_folder
        # Another process may have been the one that was signalled.
        number = self.request.signal_number or signal.SIGTERM
        return Interrupted(
            f"stopped by signal {number} in epoch {progress.epoch} after {progress.steps} steps; all of it is saved. "
            f"{format_command('train', f'resume={folder}')} goes on there",
            signal_number=number,
        )

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.learner.model.state_dict(),
            "optimizer": self.learner.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "stopping": self.stopping.state_dict(),
            "progress": dataclasses.asdict(self.progress),
            "history": self.history.as_plain(),
            "asked_at_once": self.asked_at_once,
            "micro_batch_size": self.learner.micro_batch_size,
            "random": random_states(),
            "place": compute_environment(self.learner.device, self.learner.world),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._load(state)
        self.stopping.load_state_dict(state["stopping"])
        self.progress = Progress(**state["progress"])
        self.history = History.from_plain(state["history"])
        self.history.stopped = ""
        # What had to be halved stays so, unless something else is asked for now.
        if self.asked_at_once == state["asked_at_once"]:
            self.learner.micro_batch_size = state["micro_batch_size"]
        self.meter.seconds_before = self.history.usage.seconds
        restore_random_states(state["random"])
        where = f"epoch {self.progress.epoch} after {self.progress.steps} steps"
        changed = environment_diff(state["place"], compute_environment(self.learner.device, self.learner.world))
        if changed:
            log.warning("not the same place as before (%s): results may differ by rounding", changed)
        self.history.events.append(f"went on in {where}" + (f", with {changed}" if changed else ""))
        log.info("Going on in %s", where)

    def _load(self, state: dict[str, Any]) -> None:
        """Take over weights, moments and the schedule, once all of them are those of this model and config."""
        optimizer, same_torch = self.learner.optimizer, state["place"].get("torch") == str(torch.__version__)
        with state_errors("last.pt"):
            check_weights(self._shapes(), state["model"])
            moments = check_optimizer_state(optimizer, state["optimizer"], same_torch=same_torch)
            schedule = check_scheduler_state(self.scheduler.state_dict(), state["scheduler"], same_torch=same_torch)
        self.learner.model.load_state_dict(state["model"])
        optimizer.load_state_dict(moments)
        self.scheduler.load_state_dict(schedule)

    def _note_usage(self, epochs: int) -> None:
        done = self.history.epochs
        self.history.events += self.learner.events
        self.learner.events.clear()
        seconds, at_most = self.meter.seconds, None
        if done:
            per_epoch = sum(epoch.seconds for epoch in done) / len(done)
            at_most = seconds + max(0, epochs - len(done)) * per_epoch
        self.history.usage = Usage(
            seconds=seconds,
            seconds_at_most=at_most,
            cost=self.meter.cost(seconds),
            cost_at_most=None if at_most is None else self.meter.cost(at_most),
            peak_bytes=peak_host_bytes(),
            peak_device_bytes=peak_device_bytes(self.learner.device),
            device_busy=self.telemetry.busy,
        )

    def _tell_usage(self) -> None:
        usage = self.history.usage
        left = (usage.seconds_at_most or usage.seconds) - usage.seconds
        said = f"Time: {format_duration(usage.seconds)} so far, at most {format_duration(left)} to go"
        if usage.cost is not None and usage.cost_at_most is not None:
            said += f"; cost: {format_dollars(usage.cost)} so far, at most {format_dollars(usage.cost_at_most)}"
        if usage.device_busy is not None and usage.peak_device_bytes is not None:
            said += f"; GPU {usage.device_busy:.0%} busy, {usage.peak_device_bytes / 2**30:.2f} GiB at most"
        log.info("%s", said)

    def _advice(self) -> str:
        lr = float(self.learner.optimizer.param_groups[0]["lr"])
        kept = f"; epoch {self.progress.epoch - 1} is kept in {self.checkpointer.folder}"
        return (
            f"Try optimizer.lr={lr / 10:g} or trainer.grad_clip={(self.learner.grad_clip or 2.0) / 2:g}"
            f"{kept if self.history.epochs else ''}"
        )
