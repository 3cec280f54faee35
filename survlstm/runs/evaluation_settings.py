"""Translation of a run's configuration into the settings that survlstm.evaluation takes."""

from __future__ import annotations

from functools import partial
from typing import Any

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.evaluation import EvaluationConfig
from survlstm.config.schema.foreign import ForeignBaselineConfig
from survlstm.config.schema.model import NestedLSTMConfig
from survlstm.config.schema.outcome import DaysClockConfig, LandmarkClockConfig, RandomOutcomeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.evaluation.baselines.protocol import Baseline
from survlstm.evaluation.settings import EvaluationSettings, IntervalSettings, RunSettings
from survlstm.utils.errors import ConfigError


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
        baselines=tuple(_baseline(one) for one in config.baselines),
        seed=seed,
        time_rules=tuple(config.times),
        groups=tuple(config.groups),
        age_groups=tuple(config.age_groups),
    )


def run_settings(config: RunConfig) -> RunSettings:
    """Return the settings that the diagnostics read.

    Args:
        config: Configuration of the run.

    Returns:
        The values; those that an outcome or a clock lacks are None or 0.
    """
    simulated, outcome = config.data.simulated, config.outcome
    model, optimizer = (partial(_number, section.settings()) for section in (config.model, config.optimizer))
    return RunSettings(
        nested_model=isinstance(config.model, NestedLSTMConfig),
        embedding_dim=model("embedding_dim"),
        hidden_dim=model("hidden_dim"),
        num_layers=model("num_layers"),
        dropout=model("dropout"),
        lr=optimizer("lr"),
        weight_decay=optimizer("weight_decay"),
        grad_clip=getattr(config.model, "grad_clip", config.trainer.grad_clip),
        patience=config.trainer.early_stopping.patience,
        epochs=config.trainer.epochs,
        batch_size=config.trainer.batch_size,
        reads_export=config.data.path is not None,
        simulated_patients=None if simulated is None else simulated.patients,
        val_share=config.split.val,
        # Shares of split=hash only; a share of 1 is one that no advice raises.
        test_share=1.0 if config.split.by == "dataset" else config.split.test,
        random_outcome=isinstance(outcome, RandomOutcomeConfig),
        effect=getattr(outcome, "effect", None),
        event_rate=getattr(outcome, "event_rate", 0.0),
        censoring_chance=getattr(outcome, "censoring_chance", 0.0),
        intervals=_interval_settings(config),
    )


def _baseline(config: str | ForeignBaselineConfig) -> str | Baseline:
    """Return the name of a shipped baseline, or make one of the user's own.

    Raises:
        ConfigError: Only a stored file names its class, or it has neither of the two methods.
    """
    if isinstance(config, str):
        return config
    baseline = instantiate(config)
    if not isinstance(baseline, Baseline) or not (hasattr(baseline, "hazards") or hasattr(baseline, "survival")):
        raise ConfigError(
            f"evaluation.baselines must name objects with a name and a method hazards or survival "
            f"({config.protocol}); {config.target} is not one"
        )
    return baseline


def _number(settings: dict[str, Any], name: str) -> Any:
    """Return a setting that is a number; None for another class's setting of the same name, or none."""
    value = settings.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _interval_settings(config: RunConfig) -> IntervalSettings | None:
    clock = config.clock
    if not isinstance(clock, LandmarkClockConfig | DaysClockConfig):
        return None
    if isinstance(clock, DaysClockConfig) and clock.edges_days is not None:
        edges = clock.edges_days
        return IntervalSettings(count=len(edges), edges="given", horizon_days=edges[-1])
    return IntervalSettings(count=clock.intervals, edges=clock.edges, horizon_days=clock.horizon_days)
