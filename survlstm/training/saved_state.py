"""Check what a checkpoint holds before anything is computed from it: the kind, the shape and the range of each part.

A checkpoint's sum says that nothing has damaged the file; it does not say who wrote it.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.models.weights import is_complete
from survlstm.training.history import History, Progress
from survlstm.utils.errors import CheckpointError
from survlstm.utils.stored_files import parse_fields

ABOUT = ("config", "fitted", "mean_hazard", "data_fingerprint")
# Between epochs and in them, a state has these parts; of the best epoch only the first, the epoch and ABOUT are kept.
PARTS = frozenset(
    {"model", "optimizer", "scheduler", "stopping", "progress", "history", "asked_at_once", "micro_batch_size"}
    | {"random", "place", "epoch", "about"}
)


class CheckpointInfo(NamedTuple):
    """What a checkpoint says of its run; ``config`` is not validated yet."""

    config: Any
    fitted: PreprocessingState
    mean_hazard: tuple[float, ...]
    data_fingerprint: str


@dataclasses.dataclass(frozen=True)
class EarlyStoppingState:
    """Early stopping's own part of a state."""

    best_loss: float
    best_epoch: int
    reference: float
    waited: int


def checkpoint_info(checkpoint: Any) -> CheckpointInfo:
    """Return what a checkpoint says of its run; ValueError where a part is missing or not what it must be."""
    about = checkpoint.get("about") if isinstance(checkpoint, dict) else None
    missing = [name for name in ABOUT if not (isinstance(about, dict) and name in about)]
    if missing or not isinstance(about, dict):
        raise ValueError(f"it does not say {', '.join(missing)} of its run: an older survlstm wrote it")
    fitted = PreprocessingState.from_plain(about["fitted"])
    hazards, steps = about["mean_hazard"], fitted.intervals or 1
    if not (isinstance(hazards, list | tuple) and len(hazards) == steps and all(map(_is_open_share, hazards))):
        raise ValueError(f"mean_hazard must hold {steps} numbers between 0 and 1, one a step")
    if not isinstance(about["data_fingerprint"], str):
        raise ValueError("data_fingerprint must be text")
    return CheckpointInfo(about["config"], fitted, tuple(hazards), about["data_fingerprint"])


@contextmanager
def state_errors(where: str) -> Iterator[None]:
    """CheckpointError, naming ``where`` it stands, for what is checked in the block and is not as it must be."""
    try:
        yield
    except ValueError as error:
        raise CheckpointError(
            f"{where} must hold what a run has saved; {error}. Train again in another folder"
        ) from error


def check_state(state: Any, where: str) -> None:
    """CheckpointError, naming ``where`` it stands, for a state that training can't go on from."""
    with state_errors(where):
        _check_state(state)


def _check_state(state: Any) -> None:
    if not isinstance(state, dict) or state.keys() != PARTS:
        raise ValueError(f"it must have the parts {', '.join(sorted(PARTS))}")
    checkpoint_info(state)
    history, stopped = History.from_plain(state["history"]), parse_fields(EarlyStoppingState, state["stopping"])
    progress, done = parse_fields(Progress, state["progress"]), len(history.epochs)
    if [epoch.epoch for epoch in history.epochs] != list(range(1, done + 1)):
        raise ValueError("its epochs must be numbered from 1 on")
    if not (min(done, 1) <= history.best_epoch <= done and stopped.best_epoch == history.best_epoch):
        raise ValueError("its best epoch must be one of its epochs")
    if stopped.waited < 0:
        raise ValueError("the epochs waited for an improvement must be 0 or more")
    for name in ("asked_at_once", "micro_batch_size"):
        if not (state[name] is None or (_is_whole(state[name]) and state[name] > 0)):
            raise ValueError(f"{name} must be null or a number above 0")
    if not (_is_whole(state["epoch"]) and done <= state["epoch"] <= progress.epoch == done + 1):
        raise ValueError("its epoch must be the last that is done, or the one after it")
    if progress.steps < 0 or not all(math.isfinite(sum_) for sum_ in dataclasses.astuple(progress)):
        raise ValueError("the steps and sums of its epoch must be finite")
    place = state["place"]
    if not (isinstance(place, dict) and all(isinstance(text, str) for item in place.items() for text in item)):
        raise ValueError("its place must be a table of texts")
    _check_random(state["random"])


def _check_random(states: Any) -> None:
    """Set generators that nobody uses to the states: what they refuse is none."""
    if not isinstance(states, dict) or states.keys() != {"python", "numpy", "torch", "cuda"}:
        raise ValueError("its generators must be python, numpy, torch and cuda")
    try:
        version, words, gauss = states["python"]
        random.Random().setstate((version, tuple(words), gauss))
        np.random.RandomState().set_state(states["numpy"])
        torch.Generator().set_state(states["torch"])
        if not all(isinstance(one, Tensor) and one.dtype == torch.uint8 for one in states["cuda"]):
            raise ValueError("cuda")
    # What a generator raises is its own affair.
    except Exception as error:
        raise ValueError(f"the states of its generators can't be used ({type(error).__name__})") from error


def check_optimizer_state(optimizer: Optimizer, found: Any, *, same_torch: bool) -> dict[str, Any]:
    """Return an optimizer's state for ``load_state_dict``; ValueError unless it is one of this optimizer's.

    A setting that another torch did not write stays as it is now.
    """
    own = optimizer.state_dict()["param_groups"]
    if not isinstance(found, dict) or not isinstance(found.get("state"), dict):
        raise ValueError("the optimizer's state must be one of the config's optimizer")
    groups = found.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(own):
        raise ValueError("the optimizer's state must have the groups of the config's optimizer")
    for group, other in zip(own, groups, strict=True):
        _check_settings("optimizer", group, other, same_torch=same_torch)
        if other.get("params") != group["params"]:
            raise ValueError("the optimizer's state must be that of the model's weights")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, moments in found["state"].items():
        is_known = _is_whole(number) and 0 <= number < len(parameters) and isinstance(moments, dict)
        if not is_known or not _are_moments(moments, parameters[number], optimizer):
            raise ValueError("the moments of the optimizer must have the shapes of the model's weights, and be finite")
    return {"state": found["state"], "param_groups": [one | other for one, other in zip(own, groups, strict=True)]}


def check_scheduler_state(own: dict[str, Any], found: Any, *, same_torch: bool) -> dict[str, Any]:
    """Return a scheduler's state for ``load_state_dict``, as ``check_optimizer_state`` does; ``own`` is its "
    "state now."""
    _check_settings("scheduler", own, found, same_torch=same_torch)
    return {name: found.get(name, value) for name, value in own.items()}


def _check_settings(of: str, own: dict[str, Any], found: Any, *, same_torch: bool) -> None:
    if not isinstance(found, dict) or (same_torch and not found.keys() >= own.keys()):
        raise ValueError(f"the {of}'s state must have the settings of the config's {of}")
    for name, value in own.items():
        if name in found and not _is_alike(value, found[name]):
            raise ValueError(f"{name} of the {of} must be as the config's {of} has it")


def _are_moments(moments: dict[Any, Any], parameter: Tensor, optimizer: Optimizer) -> bool:
    if isinstance(optimizer, AdamW) and moments.keys() != {"step", "exp_avg", "exp_avg_sq"}:
        return False
    for value in moments.values():
        if not isinstance(value, Tensor):
            if not _is_number(value):
                return False
        elif not (
            is_complete(value) and value.shape in {parameter.shape, torch.Size()} and bool(value.isfinite().all())
        ):
            return False
    return True


def _is_alike(own: Any, other: Any) -> bool:
    """Whether two settings are of one kind."""
    if isinstance(own, list | tuple):
        if not isinstance(other, list | tuple) or len(own) != len(other):
            return False
        return all(_is_alike(one, two) for one, two in zip(own, other, strict=True))
    if own is None or isinstance(own, bool):
        return other is None or isinstance(other, bool)
    if isinstance(own, int | float):
        return _is_number(other)
    return isinstance(other, type(own)) and other == own


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_open_share(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1
