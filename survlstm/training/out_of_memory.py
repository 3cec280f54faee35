"""Recognise out-of-memory errors of torch and numpy, and describe them."""

from __future__ import annotations

import re

import numpy as np
import torch

from survlstm.data.batches import Batches

# Error texts of torch's allocators on the CPU; for CUDA devices torch has an exception class of its own.
CPU_MESSAGES = (
    "can't allocate memory",
    "not enough memory",
    "DefaultCPUAllocator",
    "could not create a memory object",
    "could not create a primitive",
    "could not execute a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch or numpy raised the error because memory ran out, on the host or on a device.

    Args:
        error: Any exception.

    Returns:
        True for ``MemoryError``, torch's ``OutOfMemoryError`` and a ``RuntimeError`` with one of ``CPU_MESSAGES``.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in CPU_MESSAGES)


def requested_memory(error: BaseException) -> str:
    """Extract the line of an error that says how much memory was requested.

    Args:
        error: An error for which ``is_out_of_memory`` is true.

    Returns:
        The line without the prefix that names torch's sources; the first line of the message if no line names an
        allocation, and the name of the error's type if the message is empty.
    """
    message = str(error) or type(error).__name__
    lines = [line for line in message.splitlines() if "llocate" in line] or message.splitlines()
    # Without the prefix that names the line of torch's sources.
    return re.sub(r"^\[.*?\] (err == 0)?[. ]*", "", lines[0]).strip().rstrip(".")


def describe_batch(batches: Batches, subjects: np.ndarray) -> str:
    """Describe the size of a batch, such as ``2 subjects with 31 visits (the longest record has 20)``.

    On the days clock the number of prediction times is added.

    Args:
        batches: Source of the records.
        subjects: Rows of the subjects in ``batches.tensors``; shape (subject,), at least one.

    Returns:
        The numbers of subjects and visits as text.
    """
    visits = batches.visits(subjects)
    count = f"{len(subjects)} subject{'s' if len(subjects) > 1 else ''}"
    said = f"{count} with {visits.sum():,} visits (the longest record has {visits.max():,})"
    if batches.tensors.clock != "days":
        return said
    return f"{said} and {len(batches.rows(subjects)):,} prediction times"
