"""Model, batches and optimizer → trained weights and their history, epoch by epoch."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from survlstm.data.batches import Batch, Batches
from survlstm.errors import TrainingError
from survlstm.survival.concordance import concordance_td
from survlstm.survival.loss import nll_per_subject
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.history import Epoch, History
from survlstm.training.prediction import predict
from survlstm.training.schedule import Schedule
from survlstm.training.stopping import EarlyStopping

log = logging.getLogger(__name__)


@dataclass
class Trainer:
    """The loop; it knows no config, no file but through the checkpointer, and no test set."""

    model: nn.Module
    optimizer: Optimizer
    scheduler: Schedule
    stopping: EarlyStopping
    checkpointer: Checkpointer
    device: torch.device
    grad_clip: float | None
    generator: np.random.Generator
    history: History | None = field(default=None, init=False)

    def fit(self, train: Batches, val: Batches, *, epochs: int) -> History:
        """Train until ``epochs`` or until patience runs out, then load the best weights back."""
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.history = history = History(parameters, parameters / len(train.members))
        log.info("Model parameters: %s", f"{parameters:,}")
        log.info("Parameters per training subject: %.1f", history.parameters_per_subject)
        for epoch in range(1, epochs + 1):
            log.info("\nEpoch %d/%d", epoch, epochs)
            record = self._epoch(epoch, train, val)
            history.epochs.append(record)
            is_best = self.stopping.update(record.val_loss, epoch)
            history.best_epoch = self.stopping.best_epoch
            self.scheduler.step(record.val_loss)
            self.checkpointer.save(self._state(), history, is_best=is_best)
            if is_best:
                log.info("Saved best model to %s", self.checkpointer.folder / "best.pt")
            if self.stopping.should_stop:
                history.stopped = f"early stopping after {epoch} epochs"
                break
        else:
            history.stopped = f"all {epochs} epochs done"
        self.checkpointer.save_history(history)
        best = history.best
        log.info("\nTraining ended: %s", history.stopped)
        log.info("Best validation loss: %.4f (epoch %d)", best.val_loss, best.epoch)
        log.info("Validation C-index (c_td) there: %.4f", best.val_c_td)
        self.model.load_state_dict(self.checkpointer.load("best")["model"])
        return history

    def _epoch(self, epoch: int, train: Batches, val: Batches) -> Epoch:
        lr = float(self.optimizer.param_groups[0]["lr"])
        started = time.perf_counter()
        train_loss, grad_norm = self._train(train, epoch)
        seconds = time.perf_counter() - started
        subjects = len(train.members)
        log.info("Train loss: %.4f  (%.2f s, %.0f subjects/s)", train_loss, seconds, subjects / seconds)
        predictions = predict(self.model, val, self.device)
        c_td = concordance_td(predictions.survival, step=predictions.step, event=predictions.event).c_td
        val_loss = float(predictions.nll.mean())
        log.info("Val loss: %.4f, C-index (c_td): %.4f", val_loss, c_td)
        if not math.isfinite(val_loss):
            raise self._not_finite("validation loss", val_loss, epoch, len(val.members))
        return Epoch(epoch, train_loss, val_loss, c_td, lr, grad_norm, seconds, subjects / seconds)

    def _train(self, train: Batches, epoch: int) -> tuple[float, float]:
        """Mean loss over all subjects and mean gradient norm before clipping, of one pass."""
        self.model.train()
        loss_sum, norm_sum = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        # Written to stderr, on a terminal only: a log file gets the lines of each epoch instead.
        progress = tqdm(train.shuffled(self.generator), total=len(train), desc="Training", disable=None, leave=False)
        for batch in progress:
            loss, norm = self._step(batch.to(self.device))
            loss_sum += loss * batch.subjects
            norm_sum += norm
        mean_loss = float(loss_sum) / len(train.members)
        if not math.isfinite(mean_loss):
            raise self._not_finite("training loss", mean_loss, epoch, len(train.members))
        return mean_loss, float(norm_sum) / len(train)

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(*batch.inputs)
        loss = nll_per_subject(logits, at_risk=batch.at_risk, event=batch.event).sum() / batch.subjects
        loss.backward()
        limit = math.inf if self.grad_clip is None else self.grad_clip
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.optimizer.step()
        return loss.detach(), norm

    def _state(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def _not_finite(self, what: str, found: float, epoch: int, subjects: int) -> TrainingError:
        lr = float(self.optimizer.param_groups[0]["lr"])
        kept = f"; epoch {epoch - 1} is kept in {self.checkpointer.folder}" if epoch > 1 else ""
        return TrainingError(
            f"the {what} must be finite; found {found} in epoch {epoch} over {subjects} subjects at learning rate "
            f"{lr:g}. Try optimizer.lr={lr / 10:g} or trainer.grad_clip={(self.grad_clip or 2.0) / 2:g}{kept}"
        )
