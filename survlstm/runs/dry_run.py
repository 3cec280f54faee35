"""Estimate what training would take, without training: subjects, parameters, memory, time and cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from survlstm.config.schema.foreign import ForeignModelConfig
from survlstm.config.schema.run import RunConfig
from survlstm.data.batches import Batches
from survlstm.data.factory import build_batches, build_prepared
from survlstm.data.split import Split
from survlstm.models.factory import build_model
from survlstm.report.console_summary import log_preparation, log_task
from survlstm.report.task import describe_task
from survlstm.training.budget import BudgetMeter
from survlstm.training.device import choose_device
from survlstm.training.distributed import SINGLE_PROCESS
from survlstm.training.factory import build_auxiliary, build_train_step
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.model_checks import check_model
from survlstm.training.seeding import seed_everything
from survlstm.training.telemetry import peak_device_bytes, peak_host_bytes
from survlstm.training.train_step import TrainStep
from survlstm.utils.formatting import format_dollars, format_duration

log = logging.getLogger(__name__)

# Steps made before and during the measurement; the first step of a process is slower than all others.
WARM_UP, TIMED = 1, 5


@dataclass(frozen=True)
class EpochEstimate:
    """Estimates for one epoch.

    Attributes:
        seconds_per_epoch: Training time of an epoch, in seconds.
        model_bytes: Bytes of weights, gradients and optimizer state.
        batch_bytes: Bytes that the forward pass of the largest batch keeps for its backward pass.
        largest: Subjects and visits of that batch, as text.
    """

    seconds_per_epoch: float
    model_bytes: int
    batch_bytes: int
    largest: str


def dry_run(config: RunConfig) -> EpochEstimate:
    """Prepare the data, make a few steps with a model that is discarded, and log what a run would take.

    Args:
        config: The validated config of ``survlstm train``.

    Returns:
        The estimates for one epoch.

    Raises:
        SurvlstmError: If the device does not exist, the data can't be prepared, or memory runs out.
    """
    budget = BudgetMeter(config.trainer.cost_per_hour)
    device, taken = choose_device(config.trainer.device)
    log_task(describe_task(config))
    log.info("Dry run: nothing is trained and no folder is made\nDevice: %s", taken)
    seed_everything(config.seed, deterministic=config.trainer.deterministic)
    prepared = build_prepared(config)
    log_preparation(prepared)
    train = build_batches(config, prepared.tensors, Split.TRAIN)
    model = build_model(
        config.model,
        prepared.preprocessing.sizes,
        mean_hazard=initial_hazard(prepared.tensors),
    ).to(device)
    if isinstance(config.model, ForeignModelConfig):
        check_model(model, train, device, vocabulary_size=len(prepared.vocabulary))
    auxiliary = build_auxiliary(config.trainer.auxiliary, model, train, vocabulary_size=len(prepared.vocabulary))
    step = build_train_step(config, model.train(), device, SINGLE_PROCESS, auxiliary=auxiliary)
    found = estimate_epoch(step, train)
    _tell(config, found, model=model, train=train, device=device, budget=budget)
    return found


def estimate_epoch(train_step: TrainStep, train: Batches) -> EpochEstimate:
    """Estimate an epoch from a few of its steps, evenly spread from the shortest to the longest records.

    Args:
        train_step: The training step; the steps change the weights of its model.
        train: Batches of the training subjects.

    Returns:
        The estimates. The time is that of the measured steps, scaled by the slots that their batches have and the
        batches of a whole epoch have.

    Raises:
        OutOfMemoryError: If memory runs out in a step, and ``on_oom`` is ``stop`` or a single subject is too large.
    """
    chosen = train.in_order()
    slots = np.array([train.collate(subjects).inputs.slots for subjects in chosen])
    places = np.unique(np.linspace(0, len(chosen) - 1, TIMED).astype(np.int64))
    steps = train_step.steps(train, [chosen[place] for place in [*places[:1].repeat(WARM_UP), *places]], salt=0)
    for _ in range(WARM_UP):
        float(next(steps).loss)
    started = time.perf_counter()
    for step in steps:
        float(step.loss)
    seconds = (time.perf_counter() - started) * slots.sum() / slots[places].sum()
    largest = chosen[int(slots.argmax())][: train_step.micro_batch_size]
    batch = train.collate(largest).to(train_step.device)
    kept = saved_bytes(train_step.model, lambda: train_step.forward(batch.inputs))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in train_step.model.parameters())
    moments = sum(
        value.numel() * value.element_size()
        for state in train_step.optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    )
    said = f"{len(largest)} subjects, {len(batch.inputs.slot):,} visits"
    if train.tensors.clock == "days":
        said += f", {len(train.rows(largest)):,} prediction times"
    return EpochEstimate(seconds, 2 * weights + moments, kept, said)


def saved_bytes(model: nn.Module, forward: Callable[[], object]) -> int:
    """Return the bytes that a forward pass keeps for its backward pass.

    Each storage counts once; parameters are left out.

    Args:
        model: The model whose parameters are left out.
        forward: Runs the forward pass and returns its result.

    Returns:
        The number of bytes.
    """
    held: dict[int, int] = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    # Kept alive until here: the address of a freed storage could be reused by another and not be counted.
    del result
    return sum(held.values())


def _tell(
    config: RunConfig,
    found: EpochEstimate,
    *,
    model: nn.Module,
    train: Batches,
    device: torch.device,
    budget: BudgetMeter,
) -> None:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    per_subject = parameters / len(train.members)
    log.info("\nModel parameters: %s (%.1f for each training subject)", f"{parameters:,}", per_subject)
    peak = peak_device_bytes(device)
    reached = f"; the steps made so far reached {_mebibytes(peak)} there" if peak is not None else ""
    log.info(
        "Memory on %s: about %s (weights, gradients and optimizer %s; largest batch, %s, %s)%s",
        device,
        _mebibytes(found.model_bytes + found.batch_bytes),
        _mebibytes(found.model_bytes),
        found.largest,
        _mebibytes(found.batch_bytes),
        reached,
    )
    log.info("Memory of this process so far, data and libraries included: %s", _mebibytes(peak_host_bytes()))
    whole = budget.seconds + config.trainer.epochs * found.seconds_per_epoch
    log.info(
        "Time: about %s an epoch, at most %s for %d epochs (validation and evaluation come on top)",
        format_duration(found.seconds_per_epoch),
        format_duration(whole),
        config.trainer.epochs,
    )
    cost = budget.cost(whole)
    if cost is not None:
        log.info("Cost: at most %s at $%g an hour", format_dollars(cost), budget.cost_per_hour)


def _mebibytes(number: int) -> str:
    return f"{number / 2**20:,.0f} MiB"
