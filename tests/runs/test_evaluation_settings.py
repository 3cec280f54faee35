"""evaluation_settings and run_settings: the values of the config, for each kind of outcome, clock and data."""

import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.settings import IntervalSettings
from survlstm.runs.evaluation_settings import evaluation_settings, run_settings


def config_of(*overrides):
    (config,) = check_overrides("train", list(overrides), RunConfig)
    return config


def test_the_settings_of_an_evaluation():
    config = config_of(
        "evaluation.resamples=200",
        "evaluation.confidence=0.9",
        "evaluation.min_events=7",
        "evaluation.landmarks.visits=[3]",
        "evaluation.landmarks.days=[30]",
        "evaluation.landmarks.horizons=[2,4]",
        "evaluation.baselines=[cox]",
        "seed=5",
    )
    settings = evaluation_settings(config.evaluation, seed=config.seed)
    assert settings.bootstrap == Bootstrap(resamples=200, confidence=0.9, min_events=7, seed=5)
    assert (settings.landmark_visits, settings.landmark_days, settings.horizons) == ((3,), (30.0,), (2, 4))
    assert settings.baselines == ("cox",)


def test_the_settings_of_a_run():
    config = config_of(
        "model.embedding_dim=3",
        "model.hidden_dim=5",
        "model.num_layers=2",
        "model.dropout=0.25",
        "optimizer.lr=0.002",
        "optimizer.weight_decay=0.0003",
        "trainer.grad_clip=4",
        "trainer.early_stopping.patience=6",
        "trainer.epochs=8",
        "trainer.batch_size=9",
        "split.train=0.5",
        "split.val=0.2",
        "split.test=0.3",
    )
    settings = run_settings(config)
    assert (settings.embedding_dim, settings.hidden_dim, settings.num_layers, settings.dropout) == (3, 5, 2, 0.25)
    assert (settings.lr, settings.weight_decay, settings.grad_clip) == (0.002, 0.0003, 4.0)
    assert (settings.patience, settings.epochs, settings.batch_size) == (6, 8, 9)
    assert (settings.val_share, settings.test_share) == (0.2, 0.3)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (("synthetic", "effect=2", "event_rate=0.6", "censoring_chance=0.1"), (False, 2.0, 0.6, 0.1)),
        (("random", "event_rate=0.6", "censoring_chance=0.1"), (True, None, 0.6, 0.1)),
        (("death",), (False, None, 0.0, 0.0)),
    ],
)
def test_the_settings_of_an_outcome(outcome, expected):
    name, *values = outcome
    settings = run_settings(config_of(f"outcome={name}", *(f"outcome.{value}" for value in values)))
    assert (settings.random_outcome, settings.effect, settings.event_rate, settings.censoring_chance) == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("data=cohort_1000", "data.simulated.patients=70"), (False, 70)),
        (("data=synthea", "data.path=/tmp"), (True, None)),
        (("data=cohort_1000", "data.simulated.patients=70", "data.path=/tmp"), (True, 70)),
    ],
)
def test_the_settings_of_the_data(overrides, expected):
    settings = run_settings(config_of(*overrides))
    assert (settings.reads_export, settings.simulated_patients) == expected


def test_only_the_landmark_clock_has_intervals():
    assert run_settings(config_of("clock=visit")).intervals is None
    overrides = ("clock=landmark", "clock.intervals=6", "clock.edges=quantile", "clock.horizon_days=900")
    assert run_settings(config_of(*overrides)).intervals == IntervalSettings(6, "quantile", 900.0)
