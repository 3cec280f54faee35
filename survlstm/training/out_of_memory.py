"""An exception → is it for want of memory? And the sentence for it."""

from __future__ import annotations

import re

import numpy as np
import torch

from survlstm.data.batches import Batches

# How torch's allocators on the host begin what they say; on a CUDA device there is an exception of its own.
ON_HOST = (
    "can't allocate memory",
    "not enough memory",
    "DefaultCPUAllocator",
    "could not create a memory object",
    "could not create a primitive",
    "could not execute a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """True for what torch and numpy raise where memory runs out, on the host or on a device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ON_HOST)


def requested_memory(error: BaseException) -> str:
    """What the allocator says it could not give."""
    said = str(error) or type(error).__name__
    lines = [line for line in said.splitlines() if "llocate" in line] or said.splitlines()
    # Behind where in torch's sources it was noticed.
    return re.sub(r"^\[.*?\] (err == 0)?[. ]*", "", lines[0]).strip().rstrip(".")


def describe_batch(batches: Batches, subjects: np.ndarray) -> str:
    """What was to be computed at once."""
    visits = batches.visits(subjects)
    many = f"{len(subjects)} subject{'s' if len(subjects) > 1 else ''}"
    return f"{many} with {visits.sum():,} visits (the longest record has {visits.max():,})"
