"""Diagnostic checks of the training: losses, gradients, epochs and the size of the model."""

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

# Rise above the best validation loss. In runs on the large cohort of the training guide that early stopping ended, the
# loss rose by 5 to 11 %; in the small run of the guide it rose by 96 % (2.55 to 5.0).
DIVERGED = 0.10
# A smaller fall of the C-index is no warning sign: in eleven runs (three outcomes, two cohorts) it fell by up to 0.020.
FALL = 0.03
# One-sided 1 % quantile of the normal distribution, for the trend test.
TREND = 2.326
FEWEST_EPOCHS_FOR_A_TREND = 6
# Multiple of the median gradient norm. In the same eleven runs the largest epoch mean was 4.7 times the median.
EXPLODED = 50.0
SLOW_SECONDS = 15 * 60.0
# Name of the check that depends on the speed of the machine, in which equal runs can differ.
TIMED = "seconds an epoch"


def validation_loss(context: DiagnosticContext) -> Finding:
    """Check whether the validation loss rose after its best epoch, by overfitting or by instability."""
    check, best, epochs = "validation loss", context.best_epoch, context.trained.epochs
    later = epochs[context.trained.best_epoch :]
    evidence = f"best {_losses(best)}; last {_losses(epochs[-1])}"
    # The median of the last three epochs, because the jump of a single epoch is no divergence.
    val, train = (
        median(getattr(epoch, name) for epoch in (later or [best])[-3:]) for name in ("val_loss", "train_loss")
    )
    if not val > (1 + DIVERGED) * best.val_loss:
        finding = f"The validation loss has not risen more than {DIVERGED:.0%} above its best."
        return Finding(check, "ok", finding, evidence)
    cause = "overfitting: the training loss fell while the validation loss rose"
    remedies = advice.more_regularisation(context.settings)
    if train >= best.train_loss:
        cause = "instability: the training loss rose with the validation loss"
        remedies = advice.stabilise_gradients(context.settings)
    kept = f"The weights of epoch {best.epoch}" if best.epoch else "The weights before the first epoch"
    weights = f"{kept} were kept and evaluated."
    if "early stopping" in context.trained.stopped:
        return Finding(check, "note", f"Early stopping ended {cause}. {weights}", evidence, remedies)
    finding = f"{cause[0].upper()}{cause[1:]} for {len(later)} epochs after its best. {weights}"
    return Finding(check, "warning", finding, evidence, remedies)


def validation_trend(context: DiagnosticContext) -> Finding:
    """Check whether the validation C-index fell over the epochs, a warning sign of the training guide."""
    check, events = "validation C-index over epochs", context.val_events
    c_td = np.array([epoch.val_c_td for epoch in context.trained.epochs], dtype=float)
    c_td = c_td[np.isfinite(c_td)]
    if len(c_td) < FEWEST_EPOCHS_FOR_A_TREND:
        finding = f"A trend needs {FEWEST_EPOCHS_FOR_A_TREND} epochs with a validation C-index."
        return Finding(check, "ok", finding, f"{len(c_td)} epochs")
    third = len(c_td) // 3
    early, late = float(c_td[:third].mean()), float(c_td[-third:].mean())
    trend, least = mann_kendall_z(c_td), max(FALL, expected_standard_error(events))
    evidence = (
        f"mean of the first third {early:.3f}, of the last {late:.3f}; Mann-Kendall z {trend:.1f}; {events} validation "
        f"events; a fall counts from {least:.3f}"
    )
    if context.is_random:
        return Finding(check, "ok", "The outcome is random, so that its C-index varies about 0.5.", evidence)
    if early - late < least or trend > -TREND:
        return Finding(check, "ok", "The validation C-index did not fall over the epochs.", evidence)
    finding = (
        "The validation C-index fell over the epochs: the model learns what does not hold for subjects that it has not "
        "seen."
    )
    if late < 0.5 - expected_standard_error(events):
        finding = "The validation C-index fell below 0.5: the model learns an inverted relationship."
    return Finding(check, "warning", finding, evidence, advice.more_regularisation(context.settings))


def mann_kendall_z(values: Float64[np.ndarray, " epoch"]) -> float:
    """Compute the z statistic of the Mann-Kendall trend test (Kendall 1975, Rank Correlation Methods).

    Args:
        values: The values in order.

    Returns:
        z without a correction for ties, which shrink it; negative where the values fall.
    """
    count = len(values)
    score = np.sign(values[None, :] - values[:, None])[np.triu_indices(count, 1)].sum()
    return float(score / math.sqrt(count * (count - 1) * (2 * count + 5) / 18))


def exploding_gradients(context: DiagnosticContext) -> Finding:
    """Check the gradient norms; a loss that is not finite ends the run earlier, see ``non_finite_loss``."""
    check, norms = "finite losses and gradients", [epoch.grad_norm for epoch in context.trained.epochs]
    middle = median(norms)
    broken = [epoch.epoch for epoch in context.trained.epochs if not math.isfinite(epoch.grad_norm)]
    evidence = f"gradient norm before clipping: median {middle:.3g}, largest {max(norms):.3g}"
    if broken:
        finding = (
            f"The gradient norm of {len(broken)} of {len(norms)} epochs is not finite, first in epoch {broken[0]}."
        )
        return Finding(check, "warning", finding, evidence, advice.stabilise_gradients(context.settings))
    if max(norms) > EXPLODED * middle:
        finding = (
            f"The gradients exploded in epoch {int(np.argmax(norms)) + 1}: more than {EXPLODED:g} times the median."
        )
        return Finding(check, "warning", finding, evidence, advice.stabilise_gradients(context.settings))
    return Finding(check, "ok", "All losses and gradient norms are finite, and no gradient exploded.", evidence)


def non_finite_loss(error: TrainingError, settings: RunSettings, history: History | None) -> Finding:
    """Return the finding of a run that ended because its loss was not finite.

    Args:
        error: The error that ended the training.
        settings: Settings of the run, for the advice.
        history: Epochs before the error; None if there are none.

    Returns:
        The finding, with overrides to try.
    """
    done = history.epochs if history is not None else []
    last = f"; last {_losses(done[-1])}" if done else ""
    finding = "Training ended because the loss is not finite: the gradients exploded."
    evidence = f"{error}; {len(done)} epochs before that{last}"
    return Finding("finite losses and gradients", "failure", finding, evidence, advice.stabilise_gradients(settings))


def parameters_per_subject(context: DiagnosticContext) -> Finding:
    """Check the number of parameters per training subject."""
    check, history = "model size", context.trained
    evidence = (
        f"{history.parameters:,} parameters, {history.parameters_per_subject:,.0f} for each training subject; "
        "the training guide calls 1,400 healthy and 10,000 terrible"
    )
    if not context.too_large:
        return Finding(check, "ok", "The model's size is in proportion to the training subjects.", evidence)
    finding = f"The model is too large for its data: more than {MOST_PARAMETERS_PER_SUBJECT:,} parameters per subject."
    return Finding(check, "warning", finding, evidence, advice.smaller_model(context.settings))


def seconds_per_epoch(context: DiagnosticContext) -> Finding:
    """Check that an epoch takes no more than 15 minutes, the limit of the training guide."""
    seconds = median(epoch.seconds for epoch in context.trained.epochs)
    evidence = f"median {seconds:.3g} s per epoch, over {len(context.trained.epochs)} epochs"
    if seconds <= SLOW_SECONDS:
        return Finding(TIMED, "ok", "An epoch takes no more than 15 minutes.", evidence)
    finding = "An epoch takes more than 15 minutes."
    return Finding(TIMED, "warning", finding, evidence, advice.speed_up(context.settings))


def still_improving(context: DiagnosticContext) -> Finding:
    """Check whether the model was still improving when training ended."""
    check, best, done = "enough epochs", context.trained.best_epoch, len(context.trained.epochs)
    evidence = f"best epoch {best} of {done}; {context.trained.stopped}"
    if best < done:
        # An epoch that beats a fitted start by less than its margin is not kept.
        better = "better" if context.trained.start is None else "clearly better"
        return Finding(check, "ok", f"No epoch after the evaluated one was {better}.", evidence)
    finding = "The last epoch was the best: the model was still improving."
    return Finding(check, "note", finding, evidence, (advice.train_longer(context.settings),))


def improvement_on_start(context: DiagnosticContext) -> Finding:
    """Check whether training improved a model that starts from a regression; run for such models only."""
    check, start, best = "improvement on the regression", context.trained.candidates[0], context.best_epoch
    if best.epoch:
        evidence = f"{_losses(start)}; best {_losses(best)}"
        return Finding(check, "ok", "Training improved on the regression from which the model starts.", evidence)
    lowest = min(context.trained.epochs, key=lambda epoch: epoch.val_loss)
    finding = (
        "No epoch was clearly better than the regression from which training started: the evaluated model is that "
        "regression, and its other part adds nothing."
    )
    evidence = f"{_losses(start)}; lowest of the epochs: {_losses(lowest)}"
    if context.trained.gains:
        gain = context.trained.gains[lowest.epoch - 1]
        evidence += f"; its gain {gain.nats:+.4f} with a standard error of {gain.standard_error:.4f}"
    return Finding(check, "note", finding, evidence, advice.more_regularisation(context.settings))


def _losses(epoch: Epoch) -> str:
    return f"epoch {epoch.epoch}: validation loss {epoch.val_loss:.3f}, training loss {epoch.train_loss:.3f}"
