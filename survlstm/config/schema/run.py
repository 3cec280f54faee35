"""Schema of ``survlstm train``: the whole config of one run."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from survlstm.config.schema.data import DataConfig, SplitConfig, VocabularyConfig
from survlstm.config.schema.evaluation import EvaluationConfig
from survlstm.config.schema.outcome import (
    DeathOutcomeConfig,
    FirstCodeOutcomeConfig,
    LandmarkClockConfig,
    RandomOutcomeConfig,
    SyntheticOutcomeConfig,
    VisitClockConfig,
)
from survlstm.config.schema.section import Section, Seed, Text
from survlstm.config.schema.training import (
    AdamWConfig,
    CosineConfig,
    LSTMConfig,
    MLflowConfig,
    NoLoggerConfig,
    NoSchedulerConfig,
    PlateauConfig,
    TensorBoardConfig,
    TrainerConfig,
)


def _by_kind(section: Any) -> str:
    return f"clock.{section.get('kind') if isinstance(section, dict) else getattr(section, 'kind', None)}"


def _by_target(section: Any) -> Any:
    return section.get("_target_") if isinstance(section, dict) else getattr(section, "target", None)


class RunConfig(Section):
    """One run: cohort, outcome, model, training and evaluation.

    Attributes:
        data: The cohort.
        outcome: The event.
        clock: How time is divided into steps.
        model: The model.
        optimizer: The optimizer.
        scheduler: The schedule of the learning rate.
        trainer: The training loop.
        evaluation: The evaluation after training.
        logger: The service to which the training is logged.
        split: The split of the subjects.
        vocabulary: The codes that the model knows.
        seed: The seed of the initial weights, the order of the batches and dropout.
        cache_dir: The folder of prepared cohorts.
        output_dir: The folder of the run.
        resume: The folder of a stopped run that is resumed; None starts a new run.
        verbose: Whether an error keeps its traceback.
    """

    data: DataConfig
    outcome: Annotated[
        Annotated[SyntheticOutcomeConfig, Tag("survlstm.data.outcomes.synthetic.SyntheticOutcome")]
        | Annotated[RandomOutcomeConfig, Tag("survlstm.data.outcomes.synthetic.RandomOutcome")]
        | Annotated[DeathOutcomeConfig, Tag("survlstm.data.outcomes.clinical.DeathOutcome")]
        | Annotated[FirstCodeOutcomeConfig, Tag("survlstm.data.outcomes.clinical.FirstCodeOutcome")],
        Discriminator(_by_target),
    ]
    clock: Annotated[
        Annotated[VisitClockConfig, Tag("clock.visit")] | Annotated[LandmarkClockConfig, Tag("clock.landmark")],
        Discriminator(_by_kind),
    ]
    model: LSTMConfig
    optimizer: AdamWConfig
    scheduler: Annotated[
        Annotated[PlateauConfig, Tag("torch.optim.lr_scheduler.ReduceLROnPlateau")]
        | Annotated[CosineConfig, Tag("torch.optim.lr_scheduler.CosineAnnealingLR")]
        | Annotated[NoSchedulerConfig, Tag("none")],
        Discriminator(lambda section: _by_target(section) or "none"),
    ]
    trainer: TrainerConfig
    evaluation: EvaluationConfig
    logger: Annotated[
        Annotated[TensorBoardConfig, Tag("survlstm.training.loggers.tensorboard_logger.TensorBoardLogger")]
        | Annotated[MLflowConfig, Tag("survlstm.training.loggers.mlflow_logger.MLflowLogger")]
        | Annotated[NoLoggerConfig, Tag("none")],
        Discriminator(lambda section: _by_target(section) or "none"),
    ]
    split: SplitConfig
    vocabulary: VocabularyConfig
    seed: Seed
    cache_dir: Text
    output_dir: Text
    resume: Text | None
    verbose: bool
