"""One seed → every generator that a run may draw from; their states, to go on from."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed Python, NumPy and torch.

    ``deterministic`` makes torch refuse kernels whose result depends on timing, at some cost on CUDA.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if deterministic:
        # cuBLAS reads this when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # Filling every new tensor with NaN is a debugging aid, a tenth of an epoch here.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010  (a property made at run time)


def random_states() -> dict[str, Any]:
    """The states of all generators, as a checkpoint holds them."""
    numpy_state = np.random.get_state(legacy=False)
    words = {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in numpy_state["state"].items()
    }
    return {
        "python": random.getstate(),
        "numpy": {**numpy_state, "state": words},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put all generators where ``random_states`` found them; CUDA's where there are as many devices as then."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
