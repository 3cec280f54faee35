"""Settings of a run → overrides that lead on from where it stands; one that is in force already is never advised."""

from __future__ import annotations

import math

from survlstm.config.schema.run import RunConfig

# model=lstm_small, beyond which a model is worth exchanging for it.
SMALL = {"embedding_dim": 64, "hidden_dim": 128, "num_layers": 1}
LARGEST_TEST_SHARE = 0.3
LARGE_COHORT = 1000
LARGEST_HIDDEN = 16384


def more_regularisation(config: RunConfig) -> tuple[str, ...]:
    """The guide's remedies where the validation loss diverges: regularise more, stop earlier, use more data."""
    advice = []
    if config.model.dropout < 0.5:
        advice.append("model.dropout=0.5")
    if config.optimizer.weight_decay < 0.001:
        advice.append("optimizer.weight_decay=0.001")
    if (config.trainer.early_stopping.patience or math.inf) > 5:
        advice.append("trainer.early_stopping.patience=5")
    return (*advice, *larger_cohort(config))


def stabilise_gradients(config: RunConfig) -> tuple[str, ...]:
    """The guide's remedies for exploding gradients: a lower learning rate, harder clipping."""
    return lower_learning_rate(config), f"trainer.grad_clip={(config.trainer.grad_clip or 2.0) / 2:g}"


def lower_learning_rate(config: RunConfig) -> str:
    """A tenth of the learning rate."""
    return f"optimizer.lr={config.optimizer.lr / 10:g}"


def improve_ranking(config: RunConfig, *, too_large: bool, unfinished: bool) -> tuple[str, ...]:
    """The guide's remedies where the C-index does not improve.

    A model too large for its data is not made larger, and one that had stopped improving is not trained on.
    """
    bigger = min(2 * config.model.hidden_dim, LARGEST_HIDDEN)
    grow = () if too_large or bigger == config.model.hidden_dim else (f"model.hidden_dim={bigger}",)
    more_epochs = (train_longer(config),) if unfinished else ()
    return (*grow, lower_learning_rate(config), *more_epochs, *larger_cohort(config))


def train_longer(config: RunConfig) -> str:
    """Twice the epochs."""
    return f"trainer.epochs={2 * config.trainer.epochs}"


def speed_up(config: RunConfig) -> tuple[str, ...]:
    """The guide's remedies for slow epochs."""
    fewer_layers = ("model.num_layers=1",) if config.model.num_layers > 1 else ()
    return (f"trainer.batch_size={2 * config.trainer.batch_size}", *fewer_layers)


def smaller_model(config: RunConfig) -> tuple[str, ...]:
    """lstm_small, or half the width of what is no larger; and more data."""
    if any(getattr(config.model, size) > small for size, small in SMALL.items()):
        return ("model=lstm_small", *larger_cohort(config))
    return (f"model.hidden_dim={max(1, config.model.hidden_dim // 2)}", *larger_cohort(config))


def larger_cohort(config: RunConfig) -> tuple[str, ...]:
    """The guide's large cohort where the run was on less; twice the patients of a simulated one."""
    simulated = config.data.simulated
    if simulated is not None and simulated.patients < LARGE_COHORT:
        return ("data=cohort_1000",)
    if simulated is None or config.data.path is not None:
        return ("a larger export in data.path",)
    return (f"data.simulated.patients={2 * simulated.patients}",)


def more_test_events(config: RunConfig, events: int) -> tuple[str, ...]:
    """A test share that should bring the events an interval needs, where one of at most 0.3 does; and more data."""
    wanted = math.inf
    if events:
        # A tenth more, for what is drawn by chance.
        wanted = math.ceil(110 * config.split.test * config.evaluation.min_events / events) / 100
    if not config.split.test < wanted <= LARGEST_TEST_SHARE:
        return larger_cohort(config)
    train = round(1 - config.split.val - wanted, 6)
    return (f"split.train={train:g} split.test={wanted:g}", *larger_cohort(config))


def clearer_outcome(config: RunConfig) -> tuple[str, ...]:
    """A synthetic outcome that follows the history more closely."""
    effect = getattr(config.outcome, "effect", None)
    if effect is None:
        return ()
    rate = getattr(config.outcome, "event_rate", 0.0)
    lower = (f"outcome.event_rate={rate - 0.1:g}",) if rate > 0.2 else ()
    return (f"outcome.effect={max(1.5 * effect, 1.0):g}", *lower)


def less_censoring(config: RunConfig) -> tuple[str, ...]:
    """Half the chance of censoring of a drawn outcome; and more data."""
    chance = getattr(config.outcome, "censoring_chance", 0.0)
    return ((f"outcome.censoring_chance={chance / 2:g}",) if chance else ()) + larger_cohort(config)


def shorter_intervals(config: RunConfig) -> tuple[str, ...]:
    """Shorter intervals lose less of a follow-up that ends inside one."""
    if config.clock.kind == "visit":
        return ()
    finer = f"clock.intervals={2 * config.clock.intervals}"
    return (finer,) if config.clock.edges == "equidistant" else (f"{finer} clock.edges=equidistant",)


def later_horizons(config: RunConfig) -> tuple[str, ...]:
    """Horizons that reach the events: another preset, or on the landmark clock a later end of its last interval."""
    if config.clock.kind == "landmark":
        return (f"clock.horizon_days={2 * config.clock.horizon_days:g}",)
    return ("evaluation=long_records",)
