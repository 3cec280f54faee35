"""Take one optimizer step per effective batch, with gradient accumulation and over several processes."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from survlstm.data.batches import Batch, Batches
from survlstm.models.ensemble import separate_models
from survlstm.models.protocol import LinearStart, ModelInputs, VisitEncoder
from survlstm.models.weights import check_weights
from survlstm.survival.loss import nll_per_step
from survlstm.training.auxiliary import AuxiliaryHeads
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup
from survlstm.training.out_of_memory import describe_batch, is_out_of_memory, requested_memory
from survlstm.training.prefetch import prefetch
from survlstm.training.saved_state import AUXILIARY, AVERAGE, check_optimizer_state
from survlstm.training.weight_average import WeightAverage
from survlstm.utils.errors import OutOfMemoryError

log = logging.getLogger(__name__)


class StepResult(NamedTuple):
    """The result of an optimizer step.

    Attributes:
        loss: Mean negative log-likelihood of the effective batch's subjects, in nats; a scalar on the device. Of an
            ensemble it is the mean over its members. Without the loss of the outcome it is the weighted sum of the
            auxiliary losses.
        norm: Norm of the model's gradients before clipping; a scalar on the device. Of an ensemble it is the mean
            likewise.
        subjects: Number of subjects in the effective batch.
    """

    loss: Tensor
    norm: Tensor
    subjects: int


class StepInput(NamedTuple):
    """The input of one optimizer step on this rank.

    Attributes:
        subjects: Number of subjects in the effective batch, over all ranks.
        own: Rows of the subjects that this rank computes.
        batch: These subjects as a batch; None where they are computed in micro-batches, which are collated later.
    """

    subjects: int
    own: np.ndarray
    batch: Batch | None


@dataclass
class TrainStep:
    """A model, its optimizer and the settings of an optimizer step.

    The gradient of an effective batch is the sum of its subjects' gradients divided by their number. Gradient
    accumulation (``micro_batch_size`` subjects at a time) and the number of processes therefore change the result by
    rounding only; dropout masks depend on the visit and not on the batch.

    Attributes:
        model: The model, on ``device``.
        optimizer: Over the model's parameters.
        device: Where the gradients are computed.
        grad_clip: Largest norm of the gradients, of each member in an ensemble; None does not clip.
        precision: Data type of the forward pass under autocast; float32 does not use autocast.
        micro_batch_size: Subjects computed at a time on each rank; None computes all of a rank's subjects at once.
        on_oom: When memory runs out, raise an error (``stop``) or halve ``micro_batch_size`` and repeat the step
            (``halve``).
        process_group: The ranks that share each effective batch.
        average: Average of the weights, updated after each step; None keeps none.
        auxiliary: Heads whose losses are added to that of the outcome, or take its place; their parameters are the
            optimizer's too. None adds none. With heads, the model must be a ``VisitEncoder``.
        events: Messages about every halving, for the history.
    """

    model: nn.Module
    optimizer: Optimizer
    device: torch.device
    grad_clip: float | None
    precision: torch.dtype = torch.float32
    micro_batch_size: int | None = None
    on_oom: Literal["stop", "halve"] = "stop"
    process_group: ProcessGroup = SINGLE_PROCESS
    average: WeightAverage | None = None
    auxiliary: AuxiliaryHeads | None = None
    events: list[str] = field(default_factory=list, init=False)

    def steps(self, batches: Batches, chosen: Sequence[np.ndarray], *, salt: int) -> Iterator[StepResult]:
        """Take an optimizer step for each effective batch, in order.

        Args:
            batches: The training subjects.
            chosen: For each step the rows of its subjects, the same on every rank.
            salt: Seed of the dropout masks, another one in each epoch.

        Yields:
            The result of each step. Its tensors are on the device: reading them makes the host wait.

        Raises:
            OutOfMemoryError: Memory ran out, and ``on_oom`` is ``stop`` or a single subject is too large.
        """

        def prepare(subjects: np.ndarray) -> StepInput:
            return self._prepare(batches, subjects, salt)

        # Prefetching in a thread hides the collation behind the GPU's work; on the CPU it would compete for the cores.
        for inputs in prefetch(prepare, chosen) if self.device.type == "cuda" else map(prepare, chosen):
            yield self._step(batches, inputs, salt)

    def _prepare(self, batches: Batches, subjects: np.ndarray, salt: int) -> StepInput:
        own = subjects[self.process_group.rank :: self.process_group.size]
        accumulates = self.micro_batch_size is not None and self.micro_batch_size < len(own)
        if accumulates or not len(own):
            return StepInput(len(subjects), own, None)
        try:
            batch = batches.collate(own, salt=salt)
            return StepInput(len(subjects), own, batch.pinned() if self.device.type == "cuda" else batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # The step collates the subjects again, and handles the error where it can be reported.
            return StepInput(len(subjects), own, None)

    def _step(self, batches: Batches, inputs: StepInput, salt: int) -> StepResult:
        while True:
            try:
                losses = self._accumulate_gradients(batches, inputs, salt)
                break
            # torch raises RuntimeError where memory runs out on the host.
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                requested = requested_memory(error)
                size = describe_batch(batches, self._largest_micro_batch(batches, inputs))
            # After the except clause: the traceback keeps the tensors of the failed micro-batch alive.
            self._halve(inputs, requested, size)
            inputs = inputs._replace(batch=None)
        heads = [] if self.auxiliary is None else list(self.auxiliary.parameters())
        losses = self.process_group.all_reduce_gradients([*self.model.parameters(), *heads], losses)
        norm = self._clip_gradients()
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        if self.auxiliary is not None:
            self.auxiliary.sums += losses[1:].double() * inputs.subjects
        return StepResult(losses[0], norm, inputs.subjects)

    @property
    def has_outcome_loss(self) -> bool:
        """Whether the loss of the outcome is part of what is minimised."""
        return self.auxiliary is None or not self.auxiliary.only

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights that are validated and kept: the average, if any."""
        return nullcontext() if self.average is None else self.average.applied(self.model)

    def forward(self, inputs: ModelInputs) -> tuple[Tensor | None, Tensor | None]:
        """Compute what a step needs of a batch on the device.

        Args:
            inputs: The visits of the batch.

        Returns:
            The logits, None without the loss of the outcome, and the sums of the auxiliary losses, if there are any.
        """
        if self.auxiliary is None:
            return self.model(inputs), None
        assert isinstance(self.model, VisitEncoder), "checked by build_auxiliary"
        states = self.model.encode(inputs)
        logits = None if self.auxiliary.only else self.model.hazard_logits(states, inputs)
        return logits, self.auxiliary(states, inputs)

    def state_dict(self) -> dict[str, Any]:
        """Return the parts of a checkpoint that hold weights and moments."""
        average, auxiliary = self.average, self.auxiliary
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **({} if average is None else {AVERAGE: average.state_dict()}),
            **({} if auxiliary is None else {AUXILIARY: auxiliary.state_dict()}),
        }

    def load_state(self, state: dict[str, Any], *, same_torch: bool) -> None:
        """Restore what ``state_dict`` returned, after checking that all of it belongs to this model and config.

        Args:
            state: A training state.
            same_torch: Whether the same version of torch wrote it.

        Raises:
            ValueError: A part does not belong to this model and config.
        """
        check_weights(self.model.state_dict(), state["model"])
        moments = check_optimizer_state(self.optimizer, state["optimizer"], same_torch=same_torch)
        if self.auxiliary is not None:
            check_weights(self.auxiliary.state_dict(), state.get(AUXILIARY))
        if self.average is not None and AVERAGE in state:
            self.average.load_state_dict(state[AVERAGE])
        self.model.load_state_dict(state["model"])
        if self.average is not None and AVERAGE not in state:
            # The run had no average so far.
            self.average.restart(self.model)
        if self.auxiliary is not None:
            self.auxiliary.load_state_dict(state[AUXILIARY])
        self.optimizer.load_state_dict(moments)

    def _clip_gradients(self) -> Tensor:
        """Clip the gradients and return the model's norm; the mean over the members of an ensemble.

        Auxiliary heads are clipped by a norm of their own, and so is each member of an ensemble. By the norm of all
        members, one with large gradients would slow the others down, and the limit would get narrower with each member.
        """
        limit = math.inf if self.grad_clip is None else self.grad_clip
        if self.auxiliary is not None:
            torch.nn.utils.clip_grad_norm_(self.auxiliary.parameters(), limit)
        norms = [torch.nn.utils.clip_grad_norm_(_clipped(part), limit) for part in separate_models(self.model)]
        return torch.stack(norms).mean()

    def _accumulate_gradients(self, batches: Batches, inputs: StepInput, salt: int) -> Tensor:
        """Accumulate the gradients of this rank's micro-batches in the parameters, and return the sums of the losses.

        The first one is that of ``StepResult``; those of the auxiliary heads follow, not yet weighted.
        """
        self.optimizer.zero_grad(set_to_none=True)
        totals = torch.zeros(1 if self.auxiliary is None else 3, device=self.device)
        for batch in self._micro_batches(batches, inputs, salt):
            on_device = batch.to(self.device)
            is_mixed = self.precision != torch.float32
            with torch.autocast(self.device.type, self.precision) if is_mixed else nullcontext():
                logits, auxiliary = self.forward(on_device.inputs)
            loss = torch.zeros((), device=self.device)
            reported: list[Tensor] = []
            if logits is not None:
                # The loss is computed in float32 also under autocast: bfloat16 keeps only two to three digits.
                # The logits of an ensemble have one more axis, of its members.
                at_risk, event = on_device.at_risk.expand_as(logits), on_device.event.expand_as(logits)
                nll = nll_per_step(logits.float(), at_risk=at_risk, event=event)
                weighted = nll if on_device.weight is None else nll * on_device.weight
                # The sum over members has the gradients that each member has alone; their mean is reported.
                loss = weighted.sum() / inputs.subjects
                reported.append(loss.detach() * (on_device.at_risk.numel() / at_risk.numel()))
            if self.auxiliary is not None and auxiliary is not None:
                means = auxiliary * (batches.pair_weight / inputs.subjects)
                loss = loss + means @ self.auxiliary.weights
                reported = [*(reported or [loss.detach()]), *means.detach()]
            loss.backward()
            totals += torch.stack(reported)
        return totals

    def _micro_batches(self, batches: Batches, inputs: StepInput, salt: int) -> Iterator[Batch]:
        if inputs.batch is not None:
            yield inputs.batch
            return
        size = self._micro_batch_size(inputs)
        for begin in range(0, len(inputs.own), size):
            yield batches.collate(inputs.own[begin : begin + size], salt=salt)

    def _largest_micro_batch(self, batches: Batches, inputs: StepInput) -> np.ndarray:
        size = self._micro_batch_size(inputs)
        micro_batches = [inputs.own[begin : begin + size] for begin in range(0, len(inputs.own), size)]
        return max(micro_batches, key=lambda subjects: batches.visits(subjects).sum())

    def _micro_batch_size(self, inputs: StepInput) -> int:
        return max(1, min(len(inputs.own), self.micro_batch_size or len(inputs.own)))

    def _halve(self, inputs: StepInput, requested: str, batch_size: str) -> None:
        """Halve the micro-batch size after an out-of-memory error, or raise the error for the user."""
        size = self._micro_batch_size(inputs)
        message = f"Out of memory with {batch_size} at once on {self.device}: {requested}."
        if self.on_oom == "stop" or size == 1:
            half = f"trainer.micro_batch_size={size // 2} (the same result in two parts), trainer.on_oom=halve, "
            raise OutOfMemoryError(f"{message} Try {half if size > 1 else ''}model=lstm_small or data.max_visits=50")
        self.micro_batch_size = size // 2
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.events.append(f"{message} Training continues with trainer.micro_batch_size={self.micro_batch_size}")
        log.warning("%s", self.events[-1])


def _clipped(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters whose gradients are clipped: all but a linear part, if the model has one.

    At the fit from which a linear part starts, the gradients of all batches cancel. Clipping makes the large ones
    smaller and not the others, so that they would cancel no longer and the training loss would rise.
    """
    if not isinstance(model, LinearStart):
        return list(model.parameters())
    parameters: list[nn.Parameter] = model.parameter_groups()[0]["params"]
    return parameters
