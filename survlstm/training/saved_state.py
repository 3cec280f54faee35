"""Check the type, shape and range of everything in a checkpoint before it is used.

The checksum of a checkpoint shows that the file was not damaged; it does not show who wrote it.
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
from torch.optim import Adafactor, AdamW, Optimizer

from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.models.weights import is_complete
from survlstm.training.history import History, Progress
from survlstm.utils.errors import CheckpointError
from survlstm.utils.stored_files import parse_fields

ABOUT = ("config", "fitted", "mean_hazard", "data_fingerprint")
# The parts of a training state (last.pt, previous.pt, epoch_N.pt). best.pt holds only model, epoch and about.
PARTS = frozenset(
    {"model", "optimizer", "scheduler", "stopping", "progress", "history", "asked_at_once", "micro_batch_size"}
    | {"random", "place", "epoch", "about"}
)
# The parts of a run with trainer.average_decay, of one with trainer.auxiliary, and of one that starts from a fit.
AVERAGE, AUXILIARY, START = "average", "auxiliary", "start_nll"


class CheckpointInfo(NamedTuple):
    """What a checkpoint holds about its run.

    Attributes:
        config: The resolved config as plain values, not validated.
        preprocessing: Vocabulary, feature scaling and interval edges, fitted on the training subjects.
        mean_hazard: The hazards that the model started from: one on the visit clock, one for each step on the landmark
            clock.
        data_fingerprint: Checksum of the prepared data.
    """

    config: Any
    preprocessing: PreprocessingState
    mean_hazard: tuple[float, ...]
    data_fingerprint: str


@dataclasses.dataclass(frozen=True)
class EarlyStoppingState:
    """The part ``stopping`` of a training state; see ``EarlyStopping``."""

    best_loss: float
    best_epoch: int
    reference: float
    waited: int


def checkpoint_info(checkpoint: Any) -> CheckpointInfo:
    """Check and return what a checkpoint holds about its run.

    Args:
        checkpoint: Content of a checkpoint of any kind; its part ``about`` is read.

    Returns:
        The checked values. The config is not validated.

    Raises:
        ValueError: A part is missing, or has another type or range.
    """
    about = checkpoint.get("about") if isinstance(checkpoint, dict) else None
    missing = [name for name in ABOUT if not (isinstance(about, dict) and name in about)]
    if missing or not isinstance(about, dict):
        raise ValueError(f"its part about lacks {', '.join(missing)}: an older survlstm wrote it")
    preprocessing = PreprocessingState.from_plain(about["fitted"])
    hazards, steps = about["mean_hazard"], preprocessing.intervals or 1
    if not (isinstance(hazards, list | tuple) and len(hazards) == steps and all(map(_is_probability, hazards))):
        raise ValueError(f"mean_hazard must hold {steps} numbers between 0 and 1, one for each step")
    if not isinstance(about["data_fingerprint"], str):
        raise ValueError("data_fingerprint must be text")
    return CheckpointInfo(about["config"], preprocessing, tuple(hazards), about["data_fingerprint"])


@contextmanager
def state_errors(where: str) -> Iterator[None]:
    """Turn a ValueError of the block into a CheckpointError.

    Args:
        where: Name of the checkpoint, for the message.

    Raises:
        CheckpointError: A check in the block failed.
    """
    try:
        yield
    except ValueError as error:
        raise CheckpointError(
            f"{where} must be a checkpoint of this run; {error}. Train again in another folder"
        ) from error


def check_state(state: Any, where: str) -> None:
    """Check that training can be resumed from a state.

    Args:
        state: Content of a checkpoint.
        where: Name of the checkpoint, for the message.

    Raises:
        CheckpointError: A part is missing, or has another type, shape or range.
    """
    with state_errors(where):
        _check_state(state)


def _check_state(state: Any) -> None:
    if not isinstance(state, dict) or state.keys() - {AVERAGE, AUXILIARY, START} != PARTS:
        raise ValueError(f"it must have the parts {', '.join(sorted(PARTS))}")
    checkpoint_info(state)
    history, stopping = History.from_plain(state["history"]), parse_fields(EarlyStoppingState, state["stopping"])
    progress, done = parse_fields(Progress, state["progress"]), len(history.epochs)
    if [epoch.epoch for epoch in history.epochs] != list(range(1, done + 1)):
        raise ValueError("its epochs must be numbered from 1 on")
    first = 0 if history.start is not None else min(done, 1)
    if not (first <= history.best_epoch <= done and stopping.best_epoch == history.best_epoch):
        raise ValueError("its best epoch must be one of its epochs")
    _check_start(history, state.get(START))
    if stopping.waited < 0:
        raise ValueError("the epochs waited for an improvement must be 0 or more")
    for name in ("asked_at_once", "micro_batch_size"):
        if not (state[name] is None or (_is_integer(state[name]) and state[name] > 0)):
            raise ValueError(f"{name} must be null or a number above 0")
    if not (_is_integer(state["epoch"]) and done <= state["epoch"] <= progress.epoch == done + 1):
        raise ValueError("its epoch must be the last complete one, or the one after it")
    if progress.steps < 0 or not all(math.isfinite(sum_) for sum_ in dataclasses.astuple(progress)):
        raise ValueError("the steps and sums of its epoch must be finite")
    environment = state["place"]
    if not (
        isinstance(environment, dict) and all(isinstance(text, str) for pair in environment.items() for text in pair)
    ):
        raise ValueError("its place must be a dictionary of text")
    _check_random(state["random"])


def _check_start(history: History, nll: Any) -> None:
    if history.start is None:
        if nll is not None:
            raise ValueError(f"{START} belongs to a model that starts from a fit only")
        return
    is_vector = is_complete(nll) and nll.dtype == torch.float64 and nll.ndim == 1
    if not (is_vector and bool(nll.isfinite().all())):
        raise ValueError(f"{START} must be a vector of finite numbers in double precision")


def _check_random(states: Any) -> None:
    """Check generator states by setting unused generators to them."""
    if not isinstance(states, dict) or states.keys() != {"python", "numpy", "torch", "cuda"}:
        raise ValueError("its random states must be those of python, numpy, torch and cuda")
    try:
        version, internal, gauss = states["python"]
        random.Random().setstate((version, tuple(internal), gauss))
        np.random.RandomState().set_state(states["numpy"])
        torch.Generator().set_state(states["torch"])
        if not all(isinstance(one, Tensor) and one.dtype == torch.uint8 for one in states["cuda"]):
            raise ValueError("cuda")
    # Generators raise errors of many types for a state that is not theirs.
    except Exception as error:
        raise ValueError(f"its random states can't be used ({type(error).__name__})") from error


def check_optimizer_state(optimizer: Optimizer, saved: Any, *, same_torch: bool) -> dict[str, Any]:
    """Check that a saved state belongs to an optimizer.

    Args:
        optimizer: The optimizer that the config builds.
        saved: The state to check.
        same_torch: Whether the same version of torch wrote it. Another version may lack settings; these keep their
            current values.

    Returns:
        The state for ``load_state_dict``.

    Raises:
        ValueError: The parameter groups, the settings or the shapes of the moments differ, or a moment is not finite.
    """
    own = optimizer.state_dict()["param_groups"]
    if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
        raise ValueError("the optimizer's state must be one of the config's optimizer")
    groups = saved.get("param_groups")
    if not isinstance(groups, list) or len(groups) != len(own):
        raise ValueError("the optimizer's state must have the groups of the config's optimizer")
    for group, other in zip(own, groups, strict=True):
        _check_settings("optimizer", group, other, same_torch=same_torch)
        if other.get("params") != group["params"]:
            raise ValueError("the optimizer's state must be that of the model's weights")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, moments in saved["state"].items():
        is_known = _is_integer(number) and 0 <= number < len(parameters) and isinstance(moments, dict)
        if not is_known or not _are_moments(moments, parameters[number], optimizer):
            raise ValueError("the moments of the optimizer must have the shapes of the model's weights, and be finite")
    return {"state": saved["state"], "param_groups": [one | other for one, other in zip(own, groups, strict=True)]}


def check_scheduler_state(own: dict[str, Any], saved: Any, *, same_torch: bool) -> dict[str, Any]:
    """Check that a saved state belongs to a scheduler.

    Args:
        own: Current state of the scheduler that the config builds.
        saved: The state to check.
        same_torch: As for ``check_optimizer_state``.

    Returns:
        The state for ``load_state_dict``.

    Raises:
        ValueError: A setting is missing or of another type.
    """
    _check_settings("scheduler", own, saved, same_torch=same_torch)
    return {name: saved.get(name, value) for name, value in own.items()}


def _check_settings(owner: str, own: dict[str, Any], saved: Any, *, same_torch: bool) -> None:
    if not isinstance(saved, dict) or (same_torch and not saved.keys() >= own.keys()):
        raise ValueError(f"the {owner}'s state must have the settings of the config's {owner}")
    for name, value in own.items():
        if name in saved and not _is_alike(value, saved[name]):
            raise ValueError(f"{name} of the {owner} must match the config's {owner}")


def _are_moments(moments: dict[Any, Any], parameter: Tensor, optimizer: Optimizer) -> bool:
    if isinstance(optimizer, AdamW) and moments.keys() != {"step", "exp_avg", "exp_avg_sq"}:
        return False
    shapes: set[tuple[int, ...]] = {tuple(parameter.shape), ()}
    if isinstance(optimizer, Adafactor):
        # It keeps means over rows and over columns.
        shapes |= {(*parameter.shape[:-1], 1), (*parameter.shape[:-2], 1, *parameter.shape[-1:])}
    for value in moments.values():
        if not isinstance(value, Tensor):
            if not _is_number(value):
                return False
        elif not (is_complete(value) and tuple(value.shape) in shapes and bool(value.isfinite().all())):
            return False
    return True


def _is_alike(own: Any, other: Any) -> bool:
    """Return whether two settings have the same type; texts and objects must also be equal."""
    if isinstance(own, list | tuple):
        if not isinstance(other, list | tuple) or len(own) != len(other):
            return False
        return all(_is_alike(one, two) for one, two in zip(own, other, strict=True))
    if own is None or isinstance(own, bool):
        return other is None or isinstance(other, bool)
    if isinstance(own, int | float):
        return _is_number(other)
    return isinstance(other, type(own)) and other == own


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_probability(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1
