"""Build the trainer and its parts from a validated config."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.config.schema.training import AuxiliaryConfig
from survlstm.data.batches import Batches
from survlstm.models.protocol import LinearStart, VisitEncoder
from survlstm.training.auxiliary import AuxiliaryHeads, describe_next_visits
from survlstm.training.budget import BudgetMeter
from survlstm.training.checkpoint import Checkpointer
from survlstm.training.distributed import ProcessGroup
from survlstm.training.early_stopping import EarlyStopping
from survlstm.training.loggers.background import BackgroundLogger
from survlstm.training.loggers.logger import Logger, NoLogger
from survlstm.training.schedule import Schedule
from survlstm.training.train_step import TrainStep
from survlstm.training.trainer import Callback, Trainer
from survlstm.training.weight_average import WeightAverage
from survlstm.utils.errors import ConfigError


def build_optimizer(config: SwapPoint, model: nn.Module, auxiliary: AuxiliaryHeads | None = None) -> Optimizer:
    """Build the optimizer over all of the model's parameters, and those of auxiliary heads.

    Args:
        config: Config of the optimizer.
        model: The model, already on the device on which it is trained.
        auxiliary: The heads on the same device; None if there are none.

    Returns:
        The optimizer that the config names, with one parameter group, or with those of a model that has a linear part.
        The heads are in the first group.
    """
    heads = [] if auxiliary is None else list(auxiliary.parameters())
    if not isinstance(model, LinearStart):
        return instantiate(config, params=[*model.parameters(), *heads])
    first, *others = model.parameter_groups()
    return instantiate(config, params=[first | {"params": [*first["params"], *heads]}, *others])


def build_auxiliary(
    config: AuxiliaryConfig, model: nn.Module, train: Batches, *, vocabulary_size: int
) -> AuxiliaryHeads | None:
    """Build the heads of the auxiliary losses.

    If these losses are trained on alone, the parameters of the model outside its encoder are frozen.

    Args:
        config: Section ``trainer.auxiliary`` of the config.
        model: The model, already on the device on which it is trained.
        train: The training subjects, whose next visits give the codes to predict and the initial biases.
        vocabulary_size: Number of codes that the model knows.

    Returns:
        The heads, on the device of the model; None if both weights are 0.

    Raises:
        ConfigError: The model has no state at each visit, or no record has two visits.
    """
    if not config.is_on:
        return None
    if not isinstance(model, VisitEncoder):
        raise ConfigError(
            "trainer.auxiliary needs a single model with an LSTM over visits; found "
            f"{type(model).__name__}. Set model=nested_lstm or another LSTM and model.ensemble=1, or both weights to 0"
        )
    heads = AuxiliaryHeads(
        model.state_size,
        describe_next_visits(train, vocabulary_size=vocabulary_size),
        next_codes_weight=config.next_codes_weight,
        next_visit_weight=config.next_visit_weight,
        only=config.only,
    )
    encoder = model.encoder_weights()
    if config.only:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in encoder)
    return heads.to(next(iter(encoder.values())).device)


def build_train_step(
    config: RunConfig,
    model: nn.Module,
    device: torch.device,
    process_group: ProcessGroup,
    *,
    auxiliary: AuxiliaryHeads | None = None,
) -> TrainStep:
    """Build the optimizer and the step that uses it.

    Args:
        config: Config of the run; its sections ``optimizer`` and ``trainer`` are used.
        model: The model, already on ``device``.
        device: Where the gradients are computed.
        process_group: The processes that share each effective batch.
        auxiliary: Heads of the auxiliary losses; None if there are none.

    Returns:
        The step, with the settings of the section ``trainer``. A limit ``grad_clip`` of the model comes first.
        An average of the weights begins at the present ones.
    """
    decay = config.trainer.average_decay
    return TrainStep(
        model,
        build_optimizer(config.optimizer, model, auxiliary),
        device,
        getattr(model, "grad_clip", config.trainer.grad_clip),
        precision=getattr(torch, config.trainer.precision),
        micro_batch_size=config.trainer.micro_batch_size,
        on_oom=config.trainer.on_oom,
        process_group=process_group,
        average=None if decay is None else WeightAverage(model, decay),
        auxiliary=auxiliary,
    )


def build_trainer(
    config: RunConfig,
    train_step: TrainStep,
    checkpointer: Checkpointer,
    budget: BudgetMeter,
    callbacks: tuple[Callback, ...],
) -> Trainer:
    """Build the training loop.

    Args:
        config: Config of the run; its sections ``trainer`` and ``scheduler`` and its seed are used.
        train_step: Model and optimizer.
        checkpointer: Writes the run's checkpoints and history.
        budget: Started when the command began, so that it counts preparation too.
        callbacks: Called after every epoch, on rank 0 only.

    Returns:
        The training loop, before its first epoch.
    """
    settings = config.trainer
    return Trainer(
        train_step=train_step,
        scheduler=build_schedule(config.scheduler, train_step.optimizer),
        early_stopping=EarlyStopping(**settings.early_stopping.model_dump()),
        checkpointer=checkpointer,
        budget=budget,
        seed=config.seed,
        minutes_between_saves=settings.checkpoint.every_minutes,
        callbacks=callbacks if train_step.process_group.is_main else (),
    )


def build_logger(config: SwapPoint) -> Logger:
    """Build the logger, wrapped so that its errors and delays can't stop the run.

    Args:
        config: Config of the logger; a ``_target_`` of None is ``logger=none``.

    Returns:
        A ``BackgroundLogger`` around the logger; a ``NoLogger`` with ``logger=none``.

    Raises:
        ConfigError: The logger's package is not installed.
    """
    if config.settings()["_target_"] is None:
        return NoLogger()
    return BackgroundLogger(instantiate(config))


def build_schedule(config: SwapPoint, optimizer: Optimizer) -> Schedule:
    """Build the learning-rate schedule; with ``scheduler=none`` the learning rate is constant.

    Args:
        config: Config of the scheduler; a ``_target_`` of None is ``scheduler=none``.
        optimizer: The optimizer whose learning rate the schedule sets.

    Returns:
        The schedule, at its first epoch.
    """
    if config.settings()["_target_"] is None:
        return Schedule(None)
    return Schedule(instantiate(config, optimizer=optimizer))
