"""Processes that train one model together, as torchrun starts them → who adds up what; one process is a world too."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from survlstm.training.torchrun import launched_processes
from survlstm.utils.errors import ConfigError, ProcessLostError

# A process may wait that long for another one that prepares data; one that dies is noticed by torchrun at once.
PATIENCE = datetime.timedelta(days=1)

# What gloo says where the other end of a connection is gone.
GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused")


@dataclass(frozen=True)
class ProcessGroup:
    """One of ``size`` processes. Numbers and decisions travel over gloo, gradients on CUDA over NCCL."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    gradients: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """The one process that writes and logs."""
        return self.rank == 0

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor on the host over all processes, in each of them."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def all_reduce_max(self, number: int) -> int:
        """The largest of the processes' numbers."""
        if self.size == 1:
            return number
        found = torch.tensor(number)
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
        return int(found)

    def broadcast(self, value: Any) -> Any:
        """What the main process has, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def all_reduce_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Add every process's gradients, in place, and its loss, which is returned; one exchange for all.

        Nothing is gained by exchanging while gradients are computed, as DistributedDataParallel does: those of an LSTM
        are all complete at its first visit only.
        """
        if self.size == 1:
            return loss
        held = [(parameter, parameter.grad) for parameter in parameters]
        # A process without a subject in this batch has none yet.
        gradients = [torch.zeros_like(parameter) if grad is None else grad for parameter, grad in held]
        together = torch.cat([loss.reshape(1), *(gradient.flatten() for gradient in gradients)])
        dist.all_reduce(together, group=self.gradients)
        loss, *sums = together.split([1, *(gradient.numel() for gradient in gradients)])
        for (parameter, _), gradient, added in zip(held, gradients, sums, strict=True):
            parameter.grad = gradient.copy_(added.view_as(gradient))
        return loss.squeeze(0)

    @contextmanager
    def report_lost_process(self) -> Iterator[None]:
        """What an exchange says where another process has gone, as a sentence."""
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and any(words in str(error) for words in GONE):
                raise ProcessLostError(
                    f"another of the {self.size} processes has ended, and says itself why; nothing goes on without it"
                ) from error
            raise

    @contextmanager
    def local_main_first(self) -> Iterator[None]:
        """Each host's first process goes through the block before its others: what it caches they find."""
        if self.size > 1 and self.local_rank:
            dist.barrier()
        yield
        if self.size > 1 and not self.local_rank:
            dist.barrier()


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def join_process_group(device_type: str) -> Iterator[ProcessGroup]:
    """The process_group of this process, joined until the block ends."""
    if launched_processes() == 1:
        yield SINGLE_PROCESS
        return
    try:
        rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"several processes must be started by torchrun, which sets RANK and LOCAL_RANK; found WORLD_SIZE="
            f"{launched_processes()} alone. Start torchrun --nproc-per-node={launched_processes()} -m survlstm "
            f"train trainer=ddp"
        ) from error
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        group = dist.new_group(backend="nccl", timeout=PATIENCE) if device_type == "cuda" else None
        yield ProcessGroup(rank, dist.get_world_size(), local_rank, group)
    finally:
        dist.destroy_process_group()
