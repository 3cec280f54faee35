"""Construction of the data pipeline's objects from a validated config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from survlstm.config.instantiate import instantiate
from survlstm.config.schema.cohort import (
    AgeRuleConfig,
    CodesRuleConfig,
    CohortConfig,
    HistoryRuleConfig,
    RuleConfig,
    VisitsRuleConfig,
)
from survlstm.config.schema.data import DataConfig
from survlstm.config.schema.foreign import ForeignConfig
from survlstm.config.schema.outcome import (
    DaysClockConfig,
    FirstCodeOutcomeConfig,
    LandmarkClockConfig,
    VisitClockConfig,
)
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.section import SwapPoint
from survlstm.data.batches import Batches, feature_columns
from survlstm.data.code_groups import CodeGroup
from survlstm.data.cohort_rules import (
    AgeRule,
    AnyRule,
    CodesRule,
    CohortSettings,
    DatesRule,
    HistoryRule,
    VisitsRule,
)
from survlstm.data.demographics import DemographicSettings
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.protocol import Outcome
from survlstm.data.prediction_times import DaysClock
from survlstm.data.preparation_settings import PreparationSettings
from survlstm.data.prepare import prepare
from survlstm.data.prepared_data import PreparedData
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.sources.protocol import Source
from survlstm.data.sources.simulated import simulated_cohort
from survlstm.data.split import Fold, Split
from survlstm.data.tensors import Tensors
from survlstm.data.values.settings import ValueSettings
from survlstm.utils.data_location import expand_place
from survlstm.utils.errors import ConfigError
from survlstm.utils.time_rules import parse_times


def build_prepared(config: RunConfig, *, preprocessing: PreprocessingState | None = None) -> PreparedData:
    """Prepare the data of a run, or load them from the cache if nothing that shapes them has changed.

    Args:
        config: Validated config of the run.
        preprocessing: State of a trained model, to prepare another cohort in the same way; None fits one. See
            ``survlstm.data.prepare.prepare``.

    Returns:
        Tensors, the state of the preprocessing, and counts of what was left out.

    Raises:
        SourceError, CohortError, OutcomeError: As for ``prepare``.
        ConfigError: As for ``prepare``, or if the cache folder or a simulated cohort can't be written.
    """
    cache = cache_folder(config.cache_dir)
    return prepare(
        build_source(config.data, cache),
        build_outcome(config.outcome),
        build_settings(config),
        described={"source": _described(config.data.source), "outcome": _described(config.outcome)},
        cache=cache,
        preprocessing=preprocessing,
    )


def _described(section: SwapPoint) -> dict[str, Any]:
    """Return what identifies a source or an outcome: its settings, and the code of a class of the user's own."""
    code = {"code": section.code_digest()} if isinstance(section, ForeignConfig) else {}
    return section.settings() | code


def cache_folder(cache_dir: str) -> Path:
    """Return the cache folder, and create it if it is missing.

    Args:
        cache_dir: Path of the config; ``~`` stands for the home folder.

    Returns:
        The folder, which exists and can be written.

    Raises:
        ConfigError: If the folder can't be created or written.
    """
    folder = Path(cache_dir).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("permission denied")
    except OSError as error:
        raise ConfigError(
            f"cache_dir must be a folder that can be written; found {folder}: {error}. Set cache_dir=DIR"
        ) from error
    return folder


def build_settings(config: RunConfig) -> PreparationSettings:
    """Collect the settings that shape the tensors, apart from those of the source and the outcome.

    Args:
        config: Validated config of the run.

    Returns:
        Settings for ``prepare``.
    """
    return PreparationSettings(
        grouping=config.data.visits.grouping,
        window_hours=config.data.visits.window_hours,
        min_visits=config.data.min_visits,
        max_codes_per_visit=config.data.max_codes_per_visit,
        train=config.split.train,
        val=config.split.val,
        split_seed=config.split.seed,
        fold=None if config.split.fold is None else Fold(config.split.fold, config.split.folds),
        min_frequency=config.vocabulary.min_frequency,
        landmark=_landmark_settings(config.clock),
        split_by_dataset=config.split.by == "dataset",
        cohort=_cohort_settings(config.cohort, config.data.source.timezone),
        demographics=demographic_settings(config),
        values=ValueSettings(config.data.values, **config.data.value_limits.model_dump()),
        days=_days_clock(config),
        code_groups=tuple(CodeGroup(name, tuple(codes)) for name, codes in config.data.code_groups.items()),
    )


def demographic_settings(config: RunConfig) -> DemographicSettings:
    """Return which static codes belong to which kind, and which of them are inputs.

    Args:
        config: Validated config of the run.

    Returns:
        The same values without the schema, and the codes of the outcome, which are no inputs.
    """
    prefixes = {kind: tuple(names) for kind, names in config.data.demographics}
    outcome = config.outcome
    codes = tuple(outcome.codes) if isinstance(outcome, FirstCodeOutcomeConfig) else ()
    return DemographicSettings(prefixes, tuple(config.data.static), outcome_codes=codes)


def _days_clock(config: RunConfig) -> DaysClock | None:
    clock = config.clock
    if clock.kind != "days":
        return None
    return DaysClock(
        times=clock.specs,
        evaluated=tuple(parse_times(text) for text in config.evaluation.times),
        intervals=clock.intervals if clock.edges_days is None else len(clock.edges_days),
        edges=clock.edges,
        horizon_days=clock.horizon_days if clock.edges_days is None else clock.edges_days[-1],
        edges_days=None if clock.edges_days is None else tuple(clock.edges_days),
        timezone=config.data.source.timezone,
    )


def _landmark_settings(config: VisitClockConfig | LandmarkClockConfig | DaysClockConfig) -> LandmarkSettings | None:
    if config.kind != "landmark":
        return None
    first_code = None if config.first_code is None else tuple(config.first_code)
    return LandmarkSettings(**config.model_dump(exclude={"kind", "first_code"}), first_code=first_code)


def _cohort_settings(config: CohortConfig, timezone: str | None) -> CohortSettings:
    return CohortSettings(
        include=tuple(_rule(rule) for rule in config.include),
        exclude=tuple(_rule(rule) for rule in config.exclude),
        sample=config.sample,
        file=config.file,
        timezone=None if config.file is None else timezone,
    )


def _rule(config: RuleConfig) -> AnyRule:
    if isinstance(config, AgeRuleConfig):
        return AgeRule(config.age.at_least, config.age.below)
    if isinstance(config, CodesRuleConfig):
        return CodesRule(tuple(config.codes), config.match, config.within_days, config.at_least)
    if isinstance(config, VisitsRuleConfig):
        return VisitsRule(config.visits.at_least)
    if isinstance(config, HistoryRuleConfig):
        return HistoryRule(config.history_days.at_least)
    return DatesRule(config.dates.first, config.dates.last)


def build_source(config: DataConfig, cache: Path) -> Source:
    """Build the source that reads ``data.path``, or the simulated cohort that takes its place.

    Args:
        config: Section ``data`` of the config.
        cache: Cache folder; a simulated cohort is written there.

    Returns:
        The source, of the class that ``data.source`` names. It has read nothing yet.

    Raises:
        ConfigError: If a simulated cohort can't be written into the cache.
    """
    if config.path is not None:
        path = expand_place(config.path)
    else:
        assert config.simulated is not None, "validated: one of path and simulated is set"
        path = str(simulated_cohort(cache, **config.simulated.model_dump()))
    return instantiate(config.source, path=path)


def build_outcome(config: SwapPoint) -> Outcome:
    """Build the outcome that section ``outcome`` of the config names.

    Args:
        config: Section ``outcome`` of the config.

    Returns:
        The outcome.
    """
    return instantiate(config)


def build_batches(config: RunConfig, tensors: Tensors, part: Split, *, all_rows: bool = False) -> Batches:
    """Build the batches of one split, with the features that the configured model reads.

    Args:
        config: Validated config of the run.
        tensors: Tensors of all splits.
        part: The split.
        all_rows: Whether the batches have the rows of every kind, see ``Batches``.

    Returns:
        The batches, of at most ``trainer.batch_size`` subjects each.
    """
    return Batches(
        tensors,
        tensors.members(part),
        config.trainer.batch_size,
        feature_columns(config.model.visit_features, tensors),
        config.data.max_visits,
        all_rows=all_rows,
    )
