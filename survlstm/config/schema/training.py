"""Schemas of the training and the loggers."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from survlstm.config.schema.section import (
    LARGEST_INT,
    OpenShare,
    PositiveInt,
    Section,
    SwapPoint,
    Text,
    Weight,
    format_override_value,
)


class AdamWConfig(SwapPoint):
    """The optimizer AdamW.

    Attributes:
        target: The class of the optimizer.
        lr: The learning rate.
        weight_decay: The decoupled weight decay.
        fused: Whether one kernel updates all parameters.
    """

    target: Literal["torch.optim.AdamW"] = Field(alias="_target_")
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Weight
    fused: bool


class PlateauConfig(SwapPoint):
    """Reduction of the learning rate when the validation loss stops improving.

    Attributes:
        target: The class of the scheduler.
        patience: The epochs without improvement before a reduction.
        factor: The factor of a reduction.
    """

    target: Literal["torch.optim.lr_scheduler.ReduceLROnPlateau"] = Field(alias="_target_")
    patience: Annotated[int, Field(ge=0, le=LARGEST_INT)]
    factor: OpenShare


class CosineConfig(SwapPoint):
    """Reduction of the learning rate along a half cosine.

    Attributes:
        target: The class of the scheduler.
        T_max: The epochs until the lowest learning rate.
        eta_min: The lowest learning rate.
    """

    target: Literal["torch.optim.lr_scheduler.CosineAnnealingLR"] = Field(alias="_target_")
    T_max: PositiveInt
    eta_min: Weight


class NoSchedulerConfig(SwapPoint):
    """A constant learning rate.

    Attributes:
        target: None.
    """

    target: None = Field(alias="_target_")


class EarlyStoppingConfig(Section):
    """The rule that ends training before its last epoch.

    Attributes:
        patience: The epochs without improvement of the validation loss before training ends; None never ends it early.
        min_delta: A decrease of the validation loss counts as an improvement only if it is larger.
        start_margin: An epoch of a model that starts from a fit is kept only if its gain over the fit exceeds so many
            standard errors.
    """

    patience: PositiveInt | None
    min_delta: Weight
    start_margin: Weight = 2.0


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"must be auto, cpu, cuda or cuda:0, cuda:1, …; found {device!r}")
    return device


Device = Annotated[str, AfterValidator(_known_device)]


class CheckpointConfig(Section):
    """The checkpoints beside the one after every epoch.

    Attributes:
        every_epochs: The epochs between two checkpoints that are kept.
        every_minutes: The minutes between two checkpoints within an epoch.
    """

    every_epochs: PositiveInt
    every_minutes: Annotated[float, Field(gt=0)]


class BudgetConfig(Section):
    """The limits at which a run stops with its best weights so far.

    Attributes:
        hours: The limit in hours; None is none.
        dollars: The limit in dollars; None is none.
    """

    hours: Annotated[float, Field(gt=0)] | None
    dollars: Annotated[float, Field(gt=0)] | None


class AuxiliaryConfig(Section):
    """The losses beside that of the outcome, from the state of the encoder at each visit.

    Attributes:
        next_codes_weight: The weight of the loss of the codes of the next visit; 0 leaves it out.
        next_visit_weight: The weight of the loss of the time to the next visit; 0 leaves it out.
        only: Whether the encoder is trained on these losses alone, without the outcome, for ``pretrain``.
    """

    next_codes_weight: Weight = 0.0
    next_visit_weight: Weight = 0.0
    only: bool = False

    @property
    def is_on(self) -> bool:
        """Whether at least one auxiliary loss has a weight above 0."""
        return self.next_codes_weight > 0 or self.next_visit_weight > 0


class TrainerConfig(Section):
    """The training loop and its hardware.

    Attributes:
        device: The device: auto, cpu, cuda or cuda:N.
        distributed: Whether this process is one of several that torchrun has started.
        epochs: The largest number of epochs.
        batch_size: Subjects per optimizer step, over all processes.
        micro_batch_size: Subjects computed at once; None computes a whole batch.
        on_oom: If a batch does not fit into memory, ``stop`` ends the run and ``halve`` computes half as many subjects
            at once.
        precision: The type of the forward pass; bfloat16 uses autocast.
        grad_clip: The largest norm of the gradient; None does not clip.
        average_decay: The decay of the average of the weights over the optimizer steps, with which the model is
            validated and kept; None uses the weights themselves.
        auxiliary: The losses beside that of the outcome.
        early_stopping: The rule that ends training early.
        checkpoint: The additional checkpoints.
        cost_per_hour: The price of the machine in dollars; None if unknown.
        budget: The limits of time and cost.
        deterministic: Whether torch uses deterministic algorithms only.
        dry_run: Whether time, memory and cost are estimated instead of training.
    """

    device: Device
    distributed: bool
    epochs: PositiveInt
    batch_size: PositiveInt
    micro_batch_size: PositiveInt | None
    on_oom: Literal["stop", "halve"]
    precision: Literal["float32", "bfloat16"]
    grad_clip: Annotated[float, Field(gt=0)] | None
    average_decay: OpenShare | None = None
    auxiliary: AuxiliaryConfig = Field(default=AuxiliaryConfig())
    early_stopping: EarlyStoppingConfig
    checkpoint: CheckpointConfig
    cost_per_hour: Weight | None
    budget: BudgetConfig
    deterministic: bool
    dry_run: bool

    @model_validator(mode="after")
    def _dollars_need_a_price(self) -> TrainerConfig:
        if self.budget.dollars is not None and not self.cost_per_hour:
            raise ValueError(
                f"trainer.budget.dollars={self.budget.dollars:g} needs trainer.cost_per_hour above 0; "
                f"found {format_override_value(self.cost_per_hour)}"
            )
        return self

    @model_validator(mode="after")
    def _auxiliary_losses_fit(self) -> TrainerConfig:
        if self.auxiliary.only and not self.auxiliary.is_on:
            raise ValueError(
                "trainer.auxiliary.only=true needs a loss to train on; found next_codes_weight=0 and "
                "next_visit_weight=0. Set one of them, such as trainer.auxiliary.next_codes_weight=0.01"
            )
        if self.auxiliary.is_on and self.average_decay is not None:
            raise ValueError(
                "trainer.average_decay must be null with trainer.auxiliary: the auxiliary heads have no average; found "
                f"{self.average_decay:g}. Set trainer.average_decay=null, or both auxiliary weights to 0"
            )
        return self


Patience = Annotated[float, Field(gt=0, le=3600)]


class NoLoggerConfig(SwapPoint):
    """No logger: the run folder holds everything.

    Attributes:
        target: None.
    """

    target: None = Field(alias="_target_")


class TensorBoardConfig(SwapPoint):
    """Event files of TensorBoard in the run folder.

    Attributes:
        target: The class of the logger.
        patience_seconds: How long a run waits for the logger at its start and at its end.
    """

    target: Literal["survlstm.training.loggers.tensorboard_logger.TensorBoardLogger"] = Field(alias="_target_")
    patience_seconds: Patience


class MLflowConfig(SwapPoint):
    """A run of an MLflow experiment, on a server or in a SQLite file.

    Attributes:
        target: The class of the logger.
        store: The address of the tracking server or the SQLite file; None means ``mlflow.db`` in ``folder``.
        folder: The folder of the SQLite file and the artifacts.
        experiment: The name of the experiment.
        log_checkpoint: Whether the best weights become an artifact.
        patience_seconds: How long a run waits for the logger at its start and at its end.
    """

    target: Literal["survlstm.training.loggers.mlflow_logger.MLflowLogger"] = Field(alias="_target_")
    store: Text | None
    folder: Text
    experiment: Annotated[str, Field(min_length=1, max_length=500)]
    log_checkpoint: bool
    patience_seconds: Patience

    @field_validator("store")
    @classmethod
    def _address_without_a_password(cls, store: str | None) -> str | None:
        if store is not None and not re.fullmatch(r"https?://[^@/\s]+(/[^@\s]*)?|sqlite:////.+", store):
            raise ValueError(
                "must be http://HOST:PORT, https://HOST or sqlite:////FILE, or null for logger.folder/mlflow.db. Set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for a password, since config.yaml would show "
                f"it; found {re.sub(r'//[^@]*@', '//…@', store)!r}"
            )
        return store
