"""Subjects of one effective batch → one step of the optimizer, in as many parts and processes as it takes."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from survlstm.data.batches import Batch, Batches
from survlstm.survival.loss import nll_per_step
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup
from survlstm.training.out_of_memory import describe_batch, is_out_of_memory, requested_memory
from survlstm.training.prefetch import prefetch
from survlstm.utils.errors import OutOfMemoryError

log = logging.getLogger(__name__)


class StepResult(NamedTuple):
    """Mean loss over the effective batch's subjects, and the gradient norm before clipping; on the device."""

    loss: Tensor
    norm: Tensor
    subjects: int


class StepInput(NamedTuple):
    """One step's work: the effective batch's subjects, and this process's part of them, put together or not yet."""

    subjects: int
    own: np.ndarray
    first: Batch | None


@dataclass
class TrainStep:
    """Everything that one step of the optimizer takes.

    Gradients are sums over subjects, divided by the effective batch's subjects: parts (``micro_batch_size`` subjects
    at once) and processes change the rounding and nothing else, for dropout hangs on the visit. ``events`` tells what
    had to be changed on the way.
    """

    model: nn.Module
    optimizer: Optimizer
    device: torch.device
    grad_clip: float | None
    precision: torch.dtype = torch.float32
    micro_batch_size: int | None = None
    on_oom: Literal["stop", "halve"] = "stop"
    process_group: ProcessGroup = SINGLE_PROCESS
    events: list[str] = field(default_factory=list, init=False)

    def steps(self, batches: Batches, chosen: Sequence[np.ndarray], *, salt: int) -> Iterator[StepResult]:
        """One step for each effective batch, in order."""

        def work(subjects: np.ndarray) -> StepInput:
            return self._work(batches, subjects, salt)

        # On the host's own cores a thread would only be in the way.
        for ready in prefetch(work, chosen) if self.device.type == "cuda" else map(work, chosen):
            yield self._step(batches, ready, salt)

    def _work(self, batches: Batches, subjects: np.ndarray, salt: int) -> StepInput:
        own = subjects[self.process_group.rank :: self.process_group.size]
        in_parts = self.micro_batch_size is not None and self.micro_batch_size < len(own)
        if in_parts or not len(own):
            return StepInput(len(subjects), own, None)
        try:
            batch = batches.collate(own, salt=salt)
            return StepInput(len(subjects), own, batch.pinned() if self.device.type == "cuda" else batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # The step will try again, and tell what fails there.
            return StepInput(len(subjects), own, None)

    def _step(self, batches: Batches, work: StepInput, salt: int) -> StepResult:
        while True:
            try:
                loss = self._gradients(batches, work, salt)
                break
            # Memory errors of torch are RuntimeErrors.
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                shortage, where = requested_memory(error), describe_batch(batches, self._largest_part(batches, work))
            # Behind the except clause, whose traceback holds on to the tensors of the failed part.
            self._halve(work, shortage, where)
            work = work._replace(first=None)
        loss = self.process_group.all_reduce_gradients(self.model.parameters(), loss)
        limit = math.inf if self.grad_clip is None else self.grad_clip
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.optimizer.step()
        return StepResult(loss, norm, work.subjects)

    def _gradients(self, batches: Batches, work: StepInput, salt: int) -> Tensor:
        """The sum of all parts' gradients, left in the parameters, and of their losses."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for batch in self._parts(batches, work, salt):
            on_device = batch.to(self.device)
            lower = self.precision != torch.float32
            with torch.autocast(self.device.type, self.precision) if lower else nullcontext():
                logits = self.model(*on_device.inputs)
            nll = nll_per_step(logits.float(), at_risk=on_device.at_risk, event=on_device.event)
            loss = nll.sum() / work.subjects
            loss.backward()
            total += loss.detach()
        return total

    def _parts(self, batches: Batches, work: StepInput, salt: int) -> Iterator[Batch]:
        if work.first is not None:
            yield work.first
            return
        size = self._at_once(work)
        for begin in range(0, len(work.own), size):
            yield batches.collate(work.own[begin : begin + size], salt=salt)

    def _largest_part(self, batches: Batches, work: StepInput) -> np.ndarray:
        size = self._at_once(work)
        parts = [work.own[begin : begin + size] for begin in range(0, len(work.own), size)]
        return max(parts, key=lambda part: batches.visits(part).sum())

    def _at_once(self, work: StepInput) -> int:
        return max(1, min(len(work.own), self.micro_batch_size or len(work.own)))

    def _halve(self, work: StepInput, shortage: str, where: str) -> None:
        at_once = self._at_once(work)
        said = f"Out of memory with {where} at once on {self.device}: {shortage}."
        if self.on_oom == "stop" or at_once == 1:
            half = f"trainer.micro_batch_size={at_once // 2} (the same result in two parts), trainer.on_oom=halve, "
            raise OutOfMemoryError(f"{said} Try {half if at_once > 1 else ''}model=lstm_small or data.max_visits=50")
        self.micro_batch_size = at_once // 2
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.events.append(f"{said} From there on {self.micro_batch_size} subjects were computed at once")
        log.warning("%s", self.events[-1])
