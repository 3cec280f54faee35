"""Checks of weights read from a file, made before a model is built from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def check_weights(own: Mapping[str, Tensor], weights: Any) -> None:
    """Check that weights are finite tensors with exactly the names, shapes and dtypes that a model has.

    Args:
        own: the ``state_dict`` of the model, on any device, the meta device included; its values are not used.
        weights: what a file holds, of any type; valid if it maps every name of ``own`` to a tensor.

    Raises:
        ValueError: a name is missing or unknown, a tensor has another shape or dtype or is incomplete, or a value is
            NaN or infinite.
    """
    if not isinstance(weights, Mapping) or weights.keys() != own.keys():
        is_mapping = isinstance(weights, Mapping)
        names = sorted(map(str, set(own) ^ set(weights))) if is_mapping else [type(weights).__name__]
        raise ValueError(
            f"the weights must be those of the config's model; {len(names)} differ, such as {names[0]:.80}"
        )
    for name, expected in own.items():
        weight = weights[name]
        if not is_complete(weight) or weight.shape != expected.shape or weight.dtype != expected.dtype:
            actual = f"{list(weight.shape)} {weight.dtype}" if isinstance(weight, Tensor) else type(weight).__name__
            raise ValueError(
                f"the weights must be those of the config's model; {name} must be {list(expected.shape)}, is {actual}"
            )
    not_finite = [name for name, weight in weights.items() if not bool(weight.isfinite().all())]
    if not_finite:
        raise ValueError(
            f"the weights must be finite; {len(not_finite)} of {len(weights)} tensors hold NaN or infinite values, "
            f"such as {not_finite[0]}"
        )


def is_complete(tensor: Any) -> bool:
    """Return whether a tensor stores every one of its values, contiguously and on the CPU.

    A tensor in a file may have strides of 0, so that one stored number stands for gigabytes of values as soon as the
    tensor is copied. Such tensors are refused.

    Args:
        tensor: an object of any type.

    Returns:
        True for a dense, contiguous CPU tensor whose storage holds all of its elements.
    """
    if not (isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu"):
        return False
    return tensor.is_contiguous() and tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()
