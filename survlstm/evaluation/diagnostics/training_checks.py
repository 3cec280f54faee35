"""The history of a run → the guide's warning signs of training."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
from jaxtyping import Float64

from survlstm.evaluation.diagnostics import advice
from survlstm.evaluation.diagnostics.context import (
    MOST_PARAMETERS_PER_SUBJECT,
    DiagnosticContext,
    expected_standard_error,
)
from survlstm.evaluation.results import Finding
from survlstm.evaluation.settings import RunSettings
from survlstm.training.history import Epoch, History
from survlstm.utils.errors import TrainingError

# Of the best validation loss. Runs of the guide's large cohort that early stopping ended rose by 5 to 11 %, the guide's
# own small one rose by 96 % (2.55 to 5.0).
DIVERGED = 0.10
# Below this a fall is of no consequence: eleven runs of three outcomes on two cohorts lost 0.020 at the most.
FALL = 0.03
# Normal quantile of one in a hundred, one-sided, for the trend test.
TREND = 2.326
FEWEST_EPOCHS_FOR_A_TREND = 6
# The largest epoch mean of those runs was 4.7 times their median.
EXPLODED = 50.0
SLOW_SECONDS = 15 * 60.0
# The check whose finding depends on the clock: equal runs may differ in it.
TIMED = "seconds an epoch"


def validation_loss(context: DiagnosticContext) -> Finding:
    """Overfitting: the training loss falls while the validation loss rises from its best."""
    check, kept, epochs = "validation loss", context.best_epoch, context.trained.epochs
    behind = epochs[context.trained.best_epoch :]
    evidence = f"best {_losses(kept)}; last {_losses(epochs[-1])}"
    # The middle of the last three: one epoch's jump is no divergence.
    val, train = (
        median(getattr(epoch, name) for epoch in (behind or [kept])[-3:]) for name in ("val_loss", "train_loss")
    )
    if not val > (1 + DIVERGED) * kept.val_loss:
        said = f"The validation loss has not risen more than {DIVERGED:.0%} above its best."
        return Finding(check, "ok", said, evidence)
    what = "overfitting: the training loss fell while the validation loss rose"
    remedies = advice.more_regularisation(context.settings)
    if train >= kept.train_loss:
        what = "instability: the training loss rose with the validation loss"
        remedies = advice.stabilise_gradients(context.settings)
    weights = f"The weights of epoch {kept.epoch} are the ones kept and judged."
    if "early stopping" in context.trained.stopped:
        return Finding(check, "note", f"Early stopping ended {what}. {weights}", evidence, remedies)
    said = f"{what[0].upper()}{what[1:]} for {len(behind)} epochs after its best. {weights}"
    return Finding(check, "warning", said, evidence, remedies)


def validation_trend(context: DiagnosticContext) -> Finding:
    """The guide: a C-index that decreases means that the model learns an inverse relationship."""
    check, events = "validation C-index over epochs", context.val_events
    c_td = np.array([epoch.val_c_td for epoch in context.trained.epochs], dtype=float)
    c_td = c_td[np.isfinite(c_td)]
    if len(c_td) < FEWEST_EPOCHS_FOR_A_TREND:
        said = f"A trend needs {FEWEST_EPOCHS_FOR_A_TREND} epochs with a validation C-index."
        return Finding(check, "ok", said, f"{len(c_td)} epochs")
    third = len(c_td) // 3
    early, late = float(c_td[:third].mean()), float(c_td[-third:].mean())
    trend, least = mann_kendall_z(c_td), max(FALL, expected_standard_error(events))
    evidence = (
        f"mean of the first third {early:.3f}, of the last {late:.3f}; Mann-Kendall z {trend:.1f}; {events} validation "
        f"events; a fall counts from {least:.3f} on"
    )
    if context.is_random:
        return Finding(check, "ok", "The outcome is random, so its C-index wanders about 0.5.", evidence)
    if early - late < least or trend > -TREND:
        return Finding(check, "ok", "The validation C-index did not fall over the epochs.", evidence)
    said = (
        "The validation C-index fell over the epochs: the model learns what does not hold on subjects it has not seen."
    )
    if late < 0.5 - expected_standard_error(events):
        said = "The validation C-index fell below 0.5: the model learns a relationship that is the wrong way round."
    return Finding(check, "warning", said, evidence, advice.more_regularisation(context.settings))


def mann_kendall_z(values: Float64[np.ndarray, " epoch"]) -> float:
    """Mann-Kendall's z, negative where the values fall; ties lessen it (Kendall 1975, without their correction)."""
    count = len(values)
    score = np.sign(values[None, :] - values[:, None])[np.triu_indices(count, 1)].sum()
    return float(score / math.sqrt(count * (count - 1) * (2 * count + 5) / 18))


def exploding_gradients(context: DiagnosticContext) -> Finding:
    """Gradient norms that exploded; a loss that did ends a run before anybody looks here, see ``non_finite_loss``."""
    check, norms = "finite losses and gradients", [epoch.grad_norm for epoch in context.trained.epochs]
    middle = median(norms)
    broken = [epoch.epoch for epoch in context.trained.epochs if not math.isfinite(epoch.grad_norm)]
    evidence = f"gradient norm before clipping: median {middle:.3g}, largest {max(norms):.3g}"
    if broken:
        said = f"The gradient norm of {len(broken)} of {len(norms)} epochs is not finite, first in epoch {broken[0]}."
        return Finding(check, "warning", said, evidence, advice.stabilise_gradients(context.settings))
    if max(norms) > EXPLODED * middle:
        said = f"The gradients exploded in epoch {int(np.argmax(norms)) + 1}: more than {EXPLODED:g} times the median."
        return Finding(check, "warning", said, evidence, advice.stabilise_gradients(context.settings))
    return Finding(check, "ok", "All losses and gradient norms are finite, and no gradient exploded.", evidence)


def non_finite_loss(error: TrainingError, settings: RunSettings, history: History | None) -> Finding:
    """What to say of a run that a loss ended which is not finite; ``history`` holds the epochs before it."""
    done = history.epochs if history is not None else []
    last = f"; last {_losses(done[-1])}" if done else ""
    said = "Training ended at a loss that is not finite: the gradients exploded."
    evidence = f"{error}; {len(done)} epochs before that{last}"
    return Finding("finite losses and gradients", "failure", said, evidence, advice.stabilise_gradients(settings))


def parameters_per_subject(context: DiagnosticContext) -> Finding:
    """Parameters for each training subject."""
    check, history = "model size", context.trained
    evidence = (
        f"{history.parameters:,} parameters, {history.parameters_per_subject:,.0f} for each training subject; "
        "the guide calls 1,400 healthy and 10,000 terrible"
    )
    if not context.too_large:
        return Finding(check, "ok", "The model's size is in proportion to the training subjects.", evidence)
    said = f"The model is too large for its data: more than {MOST_PARAMETERS_PER_SUBJECT:,} parameters a subject."
    return Finding(check, "warning", said, evidence, advice.smaller_model(context.settings))


def seconds_per_epoch(context: DiagnosticContext) -> Finding:
    """The guide: more than 15 minutes an epoch is too slow."""
    seconds = median(epoch.seconds for epoch in context.trained.epochs)
    evidence = f"{seconds:.3g} s an epoch at the median, over {len(context.trained.epochs)} epochs"
    if seconds <= SLOW_SECONDS:
        return Finding(TIMED, "ok", "An epoch takes no more than 15 minutes.", evidence)
    said = "An epoch takes more than 15 minutes."
    return Finding(TIMED, "warning", said, evidence, advice.speed_up(context.settings))


def still_improving(context: DiagnosticContext) -> Finding:
    """The guide: a model may just need more epochs."""
    check, best, done = "enough epochs", context.trained.best_epoch, len(context.trained.epochs)
    evidence = f"best epoch {best} of {done}; {context.trained.stopped}"
    if best < done:
        return Finding(check, "ok", "Epochs after the judged one brought nothing better.", evidence)
    said = "The last epoch was the best: the model was still improving."
    return Finding(check, "note", said, evidence, (advice.train_longer(context.settings),))


def _losses(epoch: Epoch) -> str:
    return f"epoch {epoch.epoch}: validation loss {epoch.val_loss:.3f}, training loss {epoch.train_loss:.3f}"
