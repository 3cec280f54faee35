"""Exchange tensors and values between the processes that train one model under torchrun."""

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

# How long a collective call waits for the other ranks: one of them may be preparing data. torchrun itself notices a
# process that dies at once.
COLLECTIVE_TIMEOUT = datetime.timedelta(days=1)

# Gloo's error texts for a connection whose other end has exited.
LOST_CONNECTION = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train one model together, as one of them sees them; a single process is a group of size 1.

    Numbers and decisions are exchanged over gloo, gradients on CUDA over NCCL. Every method that communicates must be
    called by all ranks, in the same order.

    Attributes:
        rank: Rank of this process in the group.
        size: Number of processes in the group (torch's world size).
        local_rank: Rank of this process among those of its host.
        gradients: The NCCL group for gradients; None to exchange them over gloo.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    gradients: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the only one that writes files and logs."""
        return self.rank == 0

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over all ranks, in place.

        Args:
            values: A tensor on the CPU, of the same shape on every rank.

        Returns:
            The same tensor, which holds the sum on every rank.
        """
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def all_reduce_max(self, number: int) -> int:
        """Compute the largest of all ranks' numbers.

        Args:
            number: This rank's number.

        Returns:
            The largest number, on every rank.
        """
        if self.size == 1:
            return number
        largest = torch.tensor(number)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return int(largest)

    def broadcast(self, value: Any) -> Any:
        """Send rank 0's value to all ranks.

        Args:
            value: On rank 0 the value, which must be picklable; on the other ranks it is ignored.

        Returns:
            Rank 0's value, on every rank.
        """
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def all_reduce_gradients(self, parameters: Iterable[nn.Parameter], losses: Tensor) -> Tensor:
        """Sum the gradients and the losses over all ranks, in a single collective call.

        Exchanging gradients while the backward pass still runs, as DistributedDataParallel does, would gain nothing:
        all gradients of an LSTM are complete only when backpropagation reaches the first visit.

        Args:
            parameters: Their ``grad`` is replaced by the sum; None on a rank counts as zeros. Those without
                ``requires_grad`` are left out.
            losses: This rank's losses, of any shape, on the parameters' device.

        Returns:
            The losses summed over all ranks.
        """
        if self.size == 1:
            return losses
        held = [(parameter, parameter.grad) for parameter in parameters if parameter.requires_grad]
        # A rank that holds no subject of this batch has no gradients.
        gradients = [torch.zeros_like(parameter) if grad is None else grad for parameter, grad in held]
        together = torch.cat([losses.flatten(), *(gradient.flatten() for gradient in gradients)])
        dist.all_reduce(together, group=self.gradients)
        summed, *sums = together.split([losses.numel(), *(gradient.numel() for gradient in gradients)])
        for (parameter, _), gradient, added in zip(held, gradients, sums, strict=True):
            parameter.grad = gradient.copy_(added.view_as(gradient))
        return summed.view_as(losses)

    @contextmanager
    def report_lost_process(self) -> Iterator[None]:
        """Translate gloo's error about a closed connection.

        Raises:
            ProcessLostError: Another process of the group has exited while the block ran.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and any(text in str(error) for text in LOST_CONNECTION):
                raise ProcessLostError(
                    f"another of the {self.size} processes has ended, and training can't continue without it; its own "
                    "output gives the reason"
                ) from error
            raise

    @contextmanager
    def local_main_first(self) -> Iterator[None]:
        """Run the block on each host's local rank 0 before its other ranks, which then find what it cached."""
        if self.size > 1 and self.local_rank:
            dist.barrier()
        yield
        if self.size > 1 and not self.local_rank:
            dist.barrier()


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def join_process_group(device_type: str) -> Iterator[ProcessGroup]:
    """Join the process group that torchrun describes in the environment, and leave it when the block ends.

    Args:
        device_type: ``cuda`` or ``cpu``, the type of the device that holds the gradients.

    Yields:
        The group; ``SINGLE_PROCESS`` where torchrun has started one process or did not start this one.

    Raises:
        ConfigError: ``WORLD_SIZE`` is above 1, and ``RANK`` or ``LOCAL_RANK`` is not set.
    """
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
    dist.init_process_group("gloo", timeout=COLLECTIVE_TIMEOUT)
    try:
        group = dist.new_group(backend="nccl", timeout=COLLECTIVE_TIMEOUT) if device_type == "cuda" else None
        yield ProcessGroup(rank, dist.get_world_size(), local_rank, group)
    finally:
        dist.destroy_process_group()
