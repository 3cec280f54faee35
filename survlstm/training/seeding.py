"""One seed → every generator that training draws from."""

from __future__ import annotations

import os
import random

import numpy as np
import torch


def seed_everything(seed: int, *, deterministic: bool) -> np.random.Generator:
    """Seed Python, NumPy and torch; returns the generator that orders the batches.

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
    return np.random.default_rng(seed)
