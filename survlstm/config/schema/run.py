"""Schema of ``survlstm train``: the whole config of one run."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationInfo, model_validator

from survlstm.config.schema.cohort import CohortConfig, HistoryRuleConfig, VisitsRuleConfig
from survlstm.config.schema.data import DataConfig, SplitConfig, VocabularyConfig
from survlstm.config.schema.evaluation import EvaluationConfig
from survlstm.config.schema.foreign import (
    FOREIGN,
    ForeignConfig,
    ForeignLoggerConfig,
    ForeignModelConfig,
    ForeignOptimizerConfig,
    ForeignOutcomeConfig,
    ForeignSchedulerConfig,
    by_target,
)
from survlstm.config.schema.model import (
    GRUConfig,
    LSTMConfig,
    MLPBagConfig,
    NestedLSTMConfig,
    RetainConfig,
    TransformerConfig,
)
from survlstm.config.schema.outcome import (
    DaysClockConfig,
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
    MLflowConfig,
    NoLoggerConfig,
    NoSchedulerConfig,
    PlateauConfig,
    TensorBoardConfig,
    TrainerConfig,
)
from survlstm.utils.errors import ConfigError


def _by_kind(section: Any) -> str:
    return f"clock.{section.get('kind') if isinstance(section, dict) else getattr(section, 'kind', None)}"


ModelConfig = Annotated[
    Annotated[LSTMConfig, Tag("survlstm.models.lstm.DiscreteTimeSurvivalLSTM")]
    | Annotated[NestedLSTMConfig, Tag("survlstm.models.nested_lstm.NestedSurvivalLSTM")]
    | Annotated[GRUConfig, Tag("survlstm.models.gru.SurvivalGRU")]
    | Annotated[TransformerConfig, Tag("survlstm.models.transformer.SurvivalTransformer")]
    | Annotated[RetainConfig, Tag("survlstm.models.retain.SurvivalRetain")]
    | Annotated[MLPBagConfig, Tag("survlstm.models.mlp_bag.SurvivalMLPBag")]
    | Annotated[ForeignModelConfig, Tag(FOREIGN)],
    by_target(LSTMConfig, NestedLSTMConfig, GRUConfig, TransformerConfig, RetainConfig, MLPBagConfig),
]


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
        cohort: The subjects that take part.
        seed: The seed of the initial weights, the order of the batches and dropout.
        cache_dir: The folder of prepared cohorts.
        output_dir: The folder of the run.
        pretrain: The folder of a run or the bundle whose encoder the model starts with; None starts with new weights.
        resume: The folder of a stopped run that is resumed; None starts a new run.
        allow: Classes that are not part of survlstm and may be imported although only the files of the resumed run name
            them. Not stored with a run.
        verbose: Whether an error keeps its traceback.
    """

    data: DataConfig
    outcome: Annotated[
        Annotated[SyntheticOutcomeConfig, Tag("survlstm.data.outcomes.synthetic.SyntheticOutcome")]
        | Annotated[RandomOutcomeConfig, Tag("survlstm.data.outcomes.synthetic.RandomOutcome")]
        | Annotated[DeathOutcomeConfig, Tag("survlstm.data.outcomes.clinical.DeathOutcome")]
        | Annotated[FirstCodeOutcomeConfig, Tag("survlstm.data.outcomes.clinical.FirstCodeOutcome")]
        | Annotated[ForeignOutcomeConfig, Tag(FOREIGN)],
        by_target(SyntheticOutcomeConfig, RandomOutcomeConfig, DeathOutcomeConfig, FirstCodeOutcomeConfig),
    ]
    clock: Annotated[
        Annotated[VisitClockConfig, Tag("clock.visit")]
        | Annotated[LandmarkClockConfig, Tag("clock.landmark")]
        | Annotated[DaysClockConfig, Tag("clock.days")],
        Discriminator(_by_kind),
    ]
    model: ModelConfig
    optimizer: Annotated[
        Annotated[AdamWConfig, Tag("torch.optim.AdamW")] | Annotated[ForeignOptimizerConfig, Tag(FOREIGN)],
        by_target(AdamWConfig),
    ]
    scheduler: Annotated[
        Annotated[PlateauConfig, Tag("torch.optim.lr_scheduler.ReduceLROnPlateau")]
        | Annotated[CosineConfig, Tag("torch.optim.lr_scheduler.CosineAnnealingLR")]
        | Annotated[NoSchedulerConfig, Tag("none")]
        | Annotated[ForeignSchedulerConfig, Tag(FOREIGN)],
        by_target(PlateauConfig, CosineConfig),
    ]
    trainer: TrainerConfig
    evaluation: EvaluationConfig
    logger: Annotated[
        Annotated[TensorBoardConfig, Tag("survlstm.training.loggers.tensorboard_logger.TensorBoardLogger")]
        | Annotated[MLflowConfig, Tag("survlstm.training.loggers.mlflow_logger.MLflowLogger")]
        | Annotated[NoLoggerConfig, Tag("none")]
        | Annotated[ForeignLoggerConfig, Tag(FOREIGN)],
        by_target(TensorBoardConfig, MLflowConfig),
    ]
    split: SplitConfig
    vocabulary: VocabularyConfig
    # Configs of earlier versions have no such section.
    cohort: CohortConfig = Field(default=CohortConfig())
    seed: Seed
    cache_dir: Text
    output_dir: Text
    pretrain: Text | None = None
    resume: Text | None
    allow: list[Text] = Field(default=[], exclude=True)
    verbose: bool

    def load_classes(self) -> None:
        """Import the classes that are not part of survlstm, before anything starts that needs them all.

        Raises:
            ClosedClassError: Only a stored file names a class.
            ConfigError: A class can't be imported, or a setting is not one of its constructor's.
        """
        sections = (self.model, self.outcome, self.data.source, self.optimizer, self.scheduler, self.logger)
        for section in (*sections, *self.evaluation.baselines):
            if isinstance(section, ForeignConfig):
                section.load()
        if isinstance(self.model, ForeignModelConfig) and self.clock.kind == "days":
            fault = self.model.fault_on_days()
            if fault is not None:
                raise ConfigError(fault)

    def training_code(self) -> dict[str, str]:
        """Return a digest of the code of each class outside survlstm that training uses, by the name of the class.

        Those of the outcome and of the source are part of the fingerprint of the data.
        """
        sections = (self.model, self.optimizer, self.scheduler)
        return {one.target: one.code_digest() for one in sections if isinstance(one, ForeignConfig)}

    @model_validator(mode="after")
    def _whole_record_needs_a_landmark(self) -> RunConfig:
        if isinstance(self.model, ForeignModelConfig) and self.model.whole_record and self.clock.kind != "landmark":
            raise ValueError(
                "model.whole_record=true needs clock=landmark: on the other clocks a hazard must not depend on later "
                "visits, which exist only because the event has not happened yet"
            )
        return self

    @model_validator(mode="after")
    def _model_fits_the_days_clock(self, info: ValidationInfo) -> RunConfig:
        # What only a stored file names is imported where it is used, by ``load_classes``.
        is_own = (info.context or {}).get("allow", ()) is None
        if is_own and isinstance(self.model, ForeignModelConfig) and self.clock.kind == "days":
            fault = self.model.fault_on_days()
            if fault is not None:
                raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _evaluation_times_need_days(self) -> RunConfig:
        if self.evaluation.times and self.clock.kind != "days":
            raise ValueError(
                f"evaluation.times needs clock=days, whose prediction times can be chosen freely; found "
                f"clock={self.clock.kind}. Set clock=days, or evaluation.landmarks on the visit clock"
            )
        both = set(self.evaluation.times) & set(self.clock.times if self.clock.kind == "days" else ())
        if both:
            raise ValueError(f"evaluation.times must differ from clock.times; found {', '.join(sorted(both))} in both")
        return self

    @model_validator(mode="after")
    def _something_places_the_landmark(self) -> RunConfig:
        clock = self.clock
        if clock.kind == "landmark" and not clock.placed_by and self.cohort.file is None:
            raise ValueError(
                "clock.day, clock.visit, clock.first_code or the column prediction_time of cohort.file must place the "
                "landmark; found clock.day=null, clock.visit=null, clock.first_code=null and cohort.file=null"
            )
        events = set(self.outcome.codes) if isinstance(self.outcome, FirstCodeOutcomeConfig) else set()
        if clock.kind == "landmark" and clock.first_code is not None and set(clock.first_code) <= events:
            raise ValueError(
                "clock.first_code must hold a code that is not one of outcome.codes, because the event must come after "
                f"the landmark; found {', '.join(clock.first_code)} in both"
            )
        return self

    @model_validator(mode="after")
    def _rules_of_the_visit_clock(self) -> RunConfig:
        if self.clock.kind == "visit":
            for name, rules in (("include", self.cohort.include), ("exclude", self.cohort.exclude)):
                for number, rule in enumerate(rules, start=1):
                    if isinstance(rule, VisitsRuleConfig | HistoryRuleConfig):
                        kind = next(iter(type(rule).model_fields))
                        raise ValueError(
                            f"cohort.{name} {number}: a rule on {kind} needs clock=landmark or clock=days: on the "
                            "visit clock the prediction time of a rule is the first visit, at which it is the same for "
                            "everybody. Set one of these clocks, or data.min_visits for the number of observed visits"
                        )
        return self
