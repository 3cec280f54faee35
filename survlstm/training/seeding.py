"""Seed all random generators of a run, and save and restore their states."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed the global generators of Python, NumPy and torch.

    Args:
        seed: The seed of the run.
        deterministic: Make torch raise for kernels whose result depends on timing; slower on CUDA.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        # cuBLAS reads this when its first handle is created, so it must be set before any CUDA call.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # Deterministic mode fills every new tensor with NaN as a debugging aid; that costs a tenth of an epoch here.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010  (a property made at run time)


def random_states() -> dict[str, Any]:
    """Return the states of all generators as plain values and tensors, for a checkpoint."""
    numpy_state = np.random.get_state(legacy=False)
    # Lists instead of arrays, which torch.load refuses with weights_only=True.
    state = {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in numpy_state["state"].items()
    }
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": state},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Restore the generators from what ``random_states`` returned.

    The states of CUDA generators are restored only where the number of devices is the same.

    Args:
        states: States by generator: ``python``, ``numpy``, ``torch`` and ``cuda``.
    """
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
