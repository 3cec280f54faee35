"""Check the weights of a file against the shapes that the config's model has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def check_weights(shapes: Mapping[str, tuple[int, ...]], found: Any) -> None:
    """ValueError unless ``found`` holds a finite float32 tensor of each name and shape, and no other."""
    if not isinstance(found, Mapping) or found.keys() != shapes.keys():
        names = sorted(map(str, set(shapes) ^ set(found))) if isinstance(found, Mapping) else [type(found).__name__]
        raise ValueError(
            f"the weights must be those of the config's model; {len(names)} differ, such as {names[0]:.80}"
        )
    for name, shape in shapes.items():
        weight = found[name]
        if not is_complete(weight) or tuple(weight.shape) != shape or weight.dtype != torch.float32:
            has = f"{list(weight.shape)} {weight.dtype}" if isinstance(weight, Tensor) else type(weight).__name__
            raise ValueError(f"the weights must be those of the config's model; {name} must be {list(shape)}, is {has}")
    if not all(bool(weight.isfinite().all()) for weight in found.values()):
        raise ValueError("some of its weights are not finite")


def is_complete(tensor: Any) -> bool:
    """Whether all of a tensor's values are there: by its strides, one number can stand for gigabytes."""
    if not (isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"):
        return False
    return tensor.is_contiguous() and tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()
