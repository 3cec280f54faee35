"""Overrides that a diagnostic proposes, none of which is in force already.

The remedies are those of docs/training_guide.md.
"""

from __future__ import annotations

import math

from survlstm.evaluation.settings import RunSettings

# Sizes of model=lstm_small. It is advised in place of a model that is larger in any of them.
SMALL = {"embedding_dim": 64, "hidden_dim": 128, "num_layers": 1}
LARGEST_TEST_SHARE = 0.3
LARGE_COHORT = 1000
LARGEST_HIDDEN = 16384


def more_regularisation(settings: RunSettings) -> tuple[str, ...]:
    """Propose more regularisation, an earlier stop and more data, for a validation loss that rises.

    Args:
        settings: Settings in force.

    Returns:
        The overrides, those about more data last.
    """
    advice = []
    if settings.dropout is not None and settings.dropout < 0.5:
        advice.append("model.dropout=0.5")
    if settings.weight_decay is not None and settings.weight_decay < 0.001:
        advice.append("optimizer.weight_decay=0.001")
    if (settings.patience or math.inf) > 5:
        advice.append("trainer.early_stopping.patience=5")
    return (*advice, *larger_cohort(settings))


def stabilise_gradients(settings: RunSettings) -> tuple[str, ...]:
    """Propose a lower learning rate and stronger clipping, for exploding gradients.

    Args:
        settings: Settings in force; a run without clipping is advised to clip at 1.

    Returns:
        The overrides.
    """
    section = "model" if settings.nested_model else "trainer"
    return (*lower_learning_rate(settings), f"{section}.grad_clip={(settings.grad_clip or 2.0) / 2:g}")


def lower_learning_rate(settings: RunSettings) -> tuple[str, ...]:
    """Propose a tenth of the learning rate.

    Args:
        settings: Settings in force.

    Returns:
        One override; none if the optimizer has no setting ``lr``.
    """
    return () if settings.lr is None else (f"optimizer.lr={settings.lr / 10:g}",)


def improve_ranking(settings: RunSettings, *, too_large: bool, unfinished: bool) -> tuple[str, ...]:
    """Propose remedies for a C-index that does not improve.

    Args:
        settings: Settings in force.
        too_large: Whether the model is too large for its data; it is then not made larger.
        unfinished: Whether the model was still improving; only then are more epochs proposed.

    Returns:
        The overrides.
    """
    bigger = min(2 * (settings.hidden_dim or 0), LARGEST_HIDDEN)
    grow = () if too_large or bigger == (settings.hidden_dim or 0) else (f"model.hidden_dim={bigger}",)
    more_epochs = (train_longer(settings),) if unfinished else ()
    return (*grow, *lower_learning_rate(settings), *more_epochs, *larger_cohort(settings))


def beat_baseline(settings: RunSettings) -> tuple[str, ...]:
    """Propose the model that starts from a regression on the history, for a model that a baseline surpasses.

    Args:
        settings: Settings in force.

    Returns:
        One override; none if the model is that one.
    """
    return () if settings.nested_model else ("model=nested_lstm",)


def train_longer(settings: RunSettings) -> str:
    """Propose twice the number of epochs.

    Args:
        settings: Settings in force.

    Returns:
        The override.
    """
    return f"trainer.epochs={2 * settings.epochs}"


def speed_up(settings: RunSettings) -> tuple[str, ...]:
    """Propose a larger batch and fewer layers, for slow epochs.

    Args:
        settings: Settings in force.

    Returns:
        The overrides; fewer layers only where there are several.
    """
    fewer_layers = ("model.num_layers=1",) if (settings.num_layers or 1) > 1 else ()
    return (f"trainer.batch_size={2 * settings.batch_size}", *fewer_layers)


def smaller_model(settings: RunSettings) -> tuple[str, ...]:
    """Propose lstm_small and more data, or half the width where the model is no larger than lstm_small.

    Args:
        settings: Settings in force.

    Returns:
        The overrides; only more data where the model has no width that can be halved.
    """
    if any((getattr(settings, size) or 0) > small for size, small in SMALL.items()):
        return ("model=lstm_small", *larger_cohort(settings))
    half = (settings.hidden_dim or 0) // 2
    return (*((f"model.hidden_dim={half}",) if half else ()), *larger_cohort(settings))


def larger_cohort(settings: RunSettings) -> tuple[str, ...]:
    """Propose the cohort of 1,000 to a smaller run, twice the patients to a larger simulated one.

    Args:
        settings: Settings in force.

    Returns:
        One override, or a phrase that asks for a larger export where the records come from one.
    """
    patients = settings.simulated_patients
    if patients is not None and patients < LARGE_COHORT:
        return ("data=cohort_1000",)
    if patients is None or settings.reads_export:
        return ("a larger export in data.path",)
    return (f"data.simulated.patients={2 * patients}",)


def more_test_events(settings: RunSettings, *, events: int, needed: int) -> tuple[str, ...]:
    """Propose a larger test share, where one of at most 0.3 should bring enough events, and more data.

    Args:
        settings: Settings in force.
        events: Number of events in the test split.
        needed: Number of events that an interval needs.

    Returns:
        The overrides.
    """
    test_share = math.inf
    if events:
        # A tenth more than needed, because the number of events in a random split varies.
        test_share = math.ceil(110 * settings.test_share * needed / events) / 100
    if not settings.test_share < test_share <= LARGEST_TEST_SHARE:
        return larger_cohort(settings)
    train_share = round(1 - settings.val_share - test_share, 6)
    return (f"split.train={train_share:g} split.test={test_share:g}", *larger_cohort(settings))


def clearer_outcome(settings: RunSettings) -> tuple[str, ...]:
    """Propose a synthetic outcome that follows the history more closely.

    Args:
        settings: Settings in force.

    Returns:
        The overrides; none for an outcome that is not the synthetic one.
    """
    if settings.effect is None:
        return ()
    rate = settings.event_rate
    lower = (f"outcome.event_rate={rate - 0.1:g}",) if rate > 0.2 else ()
    return (f"outcome.effect={max(1.5 * settings.effect, 1.0):g}", *lower)


def less_censoring(settings: RunSettings) -> tuple[str, ...]:
    """Propose half the chance of censoring of a drawn outcome, and more data.

    Args:
        settings: Settings in force.

    Returns:
        The overrides; only more data where the outcome has no chance of censoring.
    """
    chance = settings.censoring_chance
    return ((f"outcome.censoring_chance={chance / 2:g}",) if chance else ()) + larger_cohort(settings)


def shorter_intervals(settings: RunSettings) -> tuple[str, ...]:
    """Propose shorter intervals, which lose less of a follow-up that ends inside one.

    Args:
        settings: Settings in force.

    Returns:
        One override, of twice the number of intervals and of equal lengths; none on the visit clock.
    """
    intervals = settings.intervals
    if intervals is None:
        return ()
    if intervals.edges == "given":
        return ("more ends in clock.edges_days",)
    finer = f"clock.intervals={2 * intervals.count}"
    return (finer,) if intervals.edges == "equidistant" else (f"{finer} clock.edges=equidistant",)


def times_after(settings: RunSettings, clock: str, year: int) -> tuple[str, ...]:
    """Propose prediction times after a year before which the outcome is known, or whole histories.

    Args:
        settings: Settings in force.
        clock: Clock of the run; the prediction times need the days clock.
        year: Year in which the histories are cut, or from which on the rates are lower; the times are of the next one.

    Returns:
        The overrides, or a phrase that asks for a fuller export where the records come from one.
    """
    later = f"clock.times=as_of:{year + 1}-01-01"
    from_simulator = settings.simulated_patients is not None and not settings.reads_export
    fuller = "data.simulated.history_years=100" if from_simulator else "an export with whole histories in data.path"
    return (later if clock == "days" else f"clock=days {later}", fuller)


def later_horizons(settings: RunSettings) -> tuple[str, ...]:
    """Propose horizons that reach the events: longer intervals on the landmark clock, another preset otherwise.

    Args:
        settings: Settings in force.

    Returns:
        One override.
    """
    if settings.intervals is not None and settings.intervals.edges == "given":
        return ("a later last end in clock.edges_days",)
    if settings.intervals is not None:
        return (f"clock.horizon_days={2 * settings.intervals.horizon_days:g}",)
    return ("evaluation=long_records",)
