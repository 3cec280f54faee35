"""Composed configs of the commands beside ``train`` → validated, typed, frozen values, as in survlstm.config."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from survlstm.config import DataConfig, JudgementConfig, SimulatedConfig
from survlstm.section import Section, Seed, Text
from survlstm.training_config import Device


class EvaluateConfig(Section):
    """``survlstm evaluate``; without ``data`` or ``judgement`` those of the run hold."""

    run: Text
    data: DataConfig | None = None
    judgement: JudgementConfig | None = None
    split: Literal["train", "val", "test"]
    device: Device
    cache_dir: Text
    output_dir: Text
    verbose: bool

    @model_validator(mode="after")
    def _another_cohort_is_test(self) -> EvaluateConfig:
        if self.data is not None and self.split != "test":
            raise ValueError(f"split must be test where data names another cohort; found {self.split}")
        return self


class CompareConfig(Section):
    """``survlstm compare``: of the judgement, what makes intervals."""

    judgement: JudgementConfig
    output: Text | None
    seed: Seed
    verbose: bool


class RerunConfig(Section):
    """``survlstm rerun``: where the run is made again."""

    cache_dir: Text
    output_dir: Text
    verbose: bool


class SimulateConfig(SimulatedConfig):
    """``survlstm simulate``."""

    output: Text
    verbose: bool
