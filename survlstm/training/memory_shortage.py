"""An exception → is it for want of memory? And the sentence for it."""

from __future__ import annotations

import torch

from survlstm.data.batches import Batch

# How torch's allocators on the host begin what they say; on a CUDA device there is an exception of its own.
ON_HOST = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator", "could not create a memory object")


def is_shortage(error: BaseException) -> bool:
    """True for what torch and numpy raise where memory runs out, on the host or on a device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ON_HOST)


def needed(error: BaseException) -> str:
    """What the allocator says it could not give."""
    said = str(error) or type(error).__name__
    for line in said.splitlines():
        if "llocate" in line:
            return line.strip().rstrip(".")
    return said.splitlines()[0].strip().rstrip(".")


def described(batch: Batch | None, subjects: int) -> str:
    """What was to be computed at once; without a batch it was not even put together."""
    if batch is None:
        return f"{subjects} subjects"
    longest = sum(length for _, length in batch.slices)
    return (
        f"{subjects} subjects, {len(batch.slot):,} visits (the longest row has {longest:,}), {len(batch.codes):,} codes"
    )
