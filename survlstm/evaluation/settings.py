"""Settings of an evaluation and of the run that is evaluated, as plain values without the configuration schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from survlstm.evaluation.baselines.protocol import Baseline
from survlstm.evaluation.bootstrap import Bootstrap


@dataclass(frozen=True)
class EvaluationSettings:
    """Intervals, landmarks and baselines of an evaluation.

    Attributes:
        resamples: Number of bootstrap resamples.
        confidence: Confidence level of the intervals, between 0 and 1.
        min_events: Number of events below which no interval is given.
        landmark_visits: Visit numbers at which a landmark is placed; 0 is the first visit.
        landmark_days: Days after the first visit at which a landmark is placed.
        horizons: Horizons in steps after the landmark.
        baselines: Names of the baselines, keys of ``HAZARD_BASELINES`` or ``LANDMARK_BASELINES``, and baselines of the
            user's own.
        seed: Seed of the bootstrap, of the fitted baselines and of the sanity checks.
        time_rules: On the days clock, the rules of ``evaluation.times`` as texts.
        groups: Kinds of groups in which the model is evaluated: sex, race, ethnicity, age.
        age_groups: Ages in years, rising, at which the groups by age are divided.
    """

    resamples: int
    confidence: float
    min_events: int
    landmark_visits: tuple[int, ...]
    landmark_days: tuple[float, ...]
    horizons: tuple[int, ...]
    baselines: tuple[str | Baseline, ...]
    seed: int
    time_rules: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    age_groups: tuple[int, ...] = ()

    @property
    def bootstrap(self) -> Bootstrap:
        """The bootstrap that gives every interval of the evaluation."""
        return Bootstrap(self.resamples, self.confidence, self.min_events, self.seed)


@dataclass(frozen=True)
class IntervalSettings:
    """Intervals of the landmark clock.

    Attributes:
        count: Number of intervals.
        edges: Whether the intervals have equal lengths, hold equal numbers of training events, or are given.
        horizon_days: End of the last interval, in days after the landmark.
    """

    count: int
    edges: Literal["equidistant", "quantile", "given"]
    horizon_days: float


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run that the diagnostics read, so that their advice names a change and not the setting in force.

    Attributes:
        nested_model: Whether the model is ``nested_lstm``, a regression with an LSTM added to it.
        embedding_dim: Size of the code embedding; None if the model has no such setting.
        hidden_dim: Size of the hidden state; None if the model has no such setting.
        num_layers: Number of layers; None if the model has no such setting.
        dropout: Dropout probability; None if the model has no such setting.
        lr: Initial learning rate; None if the optimizer has no such setting.
        weight_decay: Weight decay; None if the optimizer has no such setting.
        grad_clip: Largest gradient norm; None where gradients are not clipped.
        patience: Epochs without an improvement after which training stops; None without early stopping.
        epochs: Largest number of epochs.
        batch_size: Subjects per batch.
        reads_export: Whether the records come from an export and not from the simulator.
        simulated_patients: Size of the simulated cohort that is configured; None where none is.
        val_share: Share of the subjects in the validation split.
        test_share: Share of the subjects in the test split.
        random_outcome: Whether the outcome is drawn without regard to the history.
        effect: Effect of the risk on the hazard of a synthetic outcome; None for any other outcome.
        event_rate: Event rate requested of a drawn outcome; 0 for an outcome of the records.
        censoring_chance: Chance of censoring per step of a drawn outcome; 0 for an outcome of the records.
        intervals: Intervals of the landmark clock; None on the visit clock.
    """

    nested_model: bool
    embedding_dim: int | None
    hidden_dim: int | None
    num_layers: int | None
    dropout: float | None
    lr: float | None
    weight_decay: float | None
    grad_clip: float | None
    patience: int | None
    epochs: int
    batch_size: int
    reads_export: bool
    simulated_patients: int | None
    val_share: float
    test_share: float
    random_outcome: bool
    effect: float | None
    event_rate: float
    censoring_chance: float
    intervals: IntervalSettings | None
