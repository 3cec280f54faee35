"""Sections of a run's config: the model, how it is trained, and where else that is shown."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from survlstm.config.section import (
    LARGEST_INT,
    OpenShare,
    PositiveInt,
    Section,
    Size,
    SwapPoint,
    Text,
    Weight,
    format_override_value,
)


class LSTMConfig(SwapPoint):
    """The LSTM over visits."""

    target: Literal["survlstm.models.lstm.DiscreteTimeSurvivalLSTM"] = Field(alias="_target_")
    embedding_dim: Size
    hidden_dim: Size
    num_layers: Annotated[int, Field(gt=0, le=64)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    visit_features: list[Literal["log_days_since_last", "log_days_since_first", "age", "log_codes", "log_visit_number"]]

    @model_validator(mode="after")
    def _each_feature_once(self) -> LSTMConfig:
        if len(set(self.visit_features)) != len(self.visit_features):
            raise ValueError(f"visit_features must name each feature once; found {self.visit_features}")
        return self


class AdamWConfig(SwapPoint):
    """AdamW."""

    target: Literal["torch.optim.AdamW"] = Field(alias="_target_")
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Weight
    fused: bool


class PlateauConfig(SwapPoint):
    """Lowers the learning rate when the validation loss stands still."""

    target: Literal["torch.optim.lr_scheduler.ReduceLROnPlateau"] = Field(alias="_target_")
    patience: Annotated[int, Field(ge=0, le=LARGEST_INT)]
    factor: OpenShare


class CosineConfig(SwapPoint):
    """Lowers the learning rate along a half cosine."""

    target: Literal["torch.optim.lr_scheduler.CosineAnnealingLR"] = Field(alias="_target_")
    T_max: PositiveInt
    eta_min: Weight


class NoSchedulerConfig(SwapPoint):
    """Keeps the learning rate."""

    target: None = Field(alias="_target_")


class EarlyStoppingConfig(Section):
    """When training ends before its last epoch."""

    patience: PositiveInt | None
    min_delta: Weight


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"must be auto, cpu, cuda or cuda:0, cuda:1, …; found {device!r}")
    return device


Device = Annotated[str, AfterValidator(_known_device)]


class CheckpointConfig(Section):
    """When training is saved, beside the end of every epoch."""

    every_epochs: PositiveInt
    every_minutes: Annotated[float, Field(gt=0)]


class BudgetConfig(Section):
    """What a run may use up before it stops with what it has."""

    hours: Annotated[float, Field(gt=0)] | None
    dollars: Annotated[float, Field(gt=0)] | None


class TrainerConfig(Section):
    """The training loop."""

    device: Device
    distributed: bool
    epochs: PositiveInt
    batch_size: PositiveInt
    micro_batch_size: PositiveInt | None
    on_oom: Literal["stop", "halve"]
    precision: Literal["float32", "bfloat16"]
    grad_clip: Annotated[float, Field(gt=0)] | None
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


Patience = Annotated[float, Field(gt=0, le=3600)]


class NoLoggerConfig(SwapPoint):
    """The run is shown nowhere but in its folder."""

    target: None = Field(alias="_target_")


class TensorBoardConfig(SwapPoint):
    """Event files in the run's folder."""

    target: Literal["survlstm.training.loggers.tensorboard_logger.TensorBoardLogger"] = Field(alias="_target_")
    patience_seconds: Patience


class MLflowConfig(SwapPoint):
    """A run of an MLflow experiment, on a server or in a SQLite file."""

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
                "must be http://HOST:PORT, https://HOST or sqlite:////FILE, or null for logger.folder/mlflow.db; a "
                "password is given in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for config.yaml would "
                f"show it. Found {re.sub(r'//[^@]*@', '//…@', store)!r}"
            )
        return store
