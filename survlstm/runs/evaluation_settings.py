"""Translation of a run's configuration into the settings that survlstm.evaluation takes."""

from __future__ import annotations

from survlstm.config.schema.evaluation import EvaluationConfig
from survlstm.config.schema.outcome import LandmarkClockConfig, RandomOutcomeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.evaluation.settings import EvaluationSettings, IntervalSettings, RunSettings


def evaluation_settings(config: EvaluationConfig, *, seed: int) -> EvaluationSettings:
    """Return the settings of an evaluation.

    Args:
        config: The section ``evaluation``.
        seed: Seed of the run.

    Returns:
        The same values without the schema.
    """
    return EvaluationSettings(
        resamples=config.resamples,
        confidence=config.confidence,
        min_events=config.min_events,
        landmark_visits=tuple(config.landmarks.visits),
        landmark_days=tuple(config.landmarks.days),
        horizons=tuple(config.landmarks.horizons),
        baselines=tuple(config.baselines),
        seed=seed,
    )


def run_settings(config: RunConfig) -> RunSettings:
    """Return the settings that the diagnostics read.

    Args:
        config: Configuration of the run.

    Returns:
        The values; those that an outcome or a clock lacks are None or 0.
    """
    simulated, outcome = config.data.simulated, config.outcome
    return RunSettings(
        embedding_dim=config.model.embedding_dim,
        hidden_dim=config.model.hidden_dim,
        num_layers=config.model.num_layers,
        dropout=config.model.dropout,
        lr=config.optimizer.lr,
        weight_decay=config.optimizer.weight_decay,
        grad_clip=config.trainer.grad_clip,
        patience=config.trainer.early_stopping.patience,
        epochs=config.trainer.epochs,
        batch_size=config.trainer.batch_size,
        reads_export=config.data.path is not None,
        simulated_patients=None if simulated is None else simulated.patients,
        val_share=config.split.val,
        test_share=config.split.test,
        random_outcome=isinstance(outcome, RandomOutcomeConfig),
        effect=getattr(outcome, "effect", None),
        event_rate=getattr(outcome, "event_rate", 0.0),
        censoring_chance=getattr(outcome, "censoring_chance", 0.0),
        intervals=_interval_settings(config),
    )


def _interval_settings(config: RunConfig) -> IntervalSettings | None:
    clock = config.clock
    if not isinstance(clock, LandmarkClockConfig):
        return None
    return IntervalSettings(count=clock.intervals, edges=clock.edges, horizon_days=clock.horizon_days)
