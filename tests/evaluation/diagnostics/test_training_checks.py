"""Losses, gradients, size and time: each warning sign, fine and not fine."""

import math
from dataclasses import replace

import numpy as np
import pytest

from survlstm.evaluation.diagnostics import run_diagnostics
from survlstm.evaluation.diagnostics.training_checks import mann_kendall_z, non_finite_loss
from survlstm.runs.evaluation_settings import run_settings
from survlstm.training.early_stopping import Gain
from survlstm.utils.errors import TrainingError
from tests.evaluation.diagnostics.finished_runs import (
    GUIDE_106,
    GUIDE_1000,
    assert_finding,
    config_of,
    context_of,
    found,
    guides_own_story,
    history_of,
    tensors_of,
)


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_validation_c_index(seed):
    noise = np.random.default_rng(seed).normal(0, 0.01, 20)
    falling = history_of(np.linspace(2.5, 2.2, 20), c_td=np.linspace(0.62, 0.48, 20) + noise)
    finding = found("validation C-index over epochs", context_of(history=falling))
    assert_finding(finding, "warning", "does not hold for subjects that it has not seen", "42 validation events")


def test_a_c_index_that_falls_below_one_half_is_the_wrong_way_round():
    falling = history_of(np.linspace(2.5, 2.2, 20), c_td=np.linspace(0.62, 0.30, 20))
    finding = found("validation C-index over epochs", context_of(history=falling))
    assert_finding(finding, "warning", "fell below 0.5: the model learns an inverted relationship")


@pytest.mark.parametrize("seed", range(5))
def test_wiggles_and_a_single_bad_end_are_no_trend(seed):
    c_td = 0.75 + np.random.default_rng(seed).normal(0, 0.02, 20)
    c_td[-1] = 0.5
    finding = found(
        "validation C-index over epochs", context_of(history=history_of(np.linspace(2.5, 2.2, 20), c_td=c_td))
    )
    assert_finding(finding, "ok", "did not fall")


def test_a_fall_within_the_noise_of_few_events_is_no_warning():
    falling = history_of(np.linspace(2.5, 2.2, 20), c_td=np.linspace(0.62, 0.50, 20))
    few = context_of(history=falling, tensors=tensors_of(subjects=60))
    assert few.val_events == 6
    assert_finding(found("validation C-index over epochs", few), "ok", "did not fall", "counts from 0.147")
    assert found("validation C-index over epochs", context_of(history=falling)).level == "warning"


def test_a_trend_needs_epochs_and_something_to_learn():
    falling = history_of(np.linspace(2.5, 2.2, 20), c_td=np.linspace(0.9, 0.4, 20))
    random = context_of(*GUIDE_1000, "outcome=random", history=falling)
    assert_finding(found("validation C-index over epochs", random), "ok", "varies about 0.5")
    short = history_of([2.5, 2.4, 2.3], c_td=[0.8, 0.6, 0.4])
    assert_finding(found("validation C-index over epochs", context_of(history=short)), "ok", "A trend needs 6 epochs")


def test_mann_kendall_worked_by_hand():
    # 10 pairs, 2 of them falling: S = 6, variance 5 * 4 * 15 / 18.
    assert mann_kendall_z(np.array([1.0, 2.0, 5.0, 3.0, 4.0])) == pytest.approx(6 / math.sqrt(300 / 18))
    assert mann_kendall_z(np.full(8, 0.5)) == 0.0


def test_the_guides_own_story_is_overfitting():
    finding = found(
        "validation loss", context_of(*GUIDE_106, history=guides_own_story("all 50 epochs done")), *GUIDE_106
    )
    advice = (
        "model.dropout=0.5",
        "optimizer.weight_decay=0.001",
        "trainer.early_stopping.patience=5",
        "data=cohort_1000",
    )
    assert_finding(finding, "warning", "Overfitting: the training loss fell while the validation loss rose", "", advice)
    assert "for 36 epochs" in finding.finding
    assert "The weights of epoch 14 were kept" in finding.finding
    assert "epoch 14: validation loss 2.550" in finding.evidence
    assert "epoch 50: validation loss 5.000, training loss 0.570" in finding.evidence


def test_overfitting_that_early_stopping_ended_is_a_note():
    finding = found("validation loss", context_of(history=guides_own_story("early stopping after 50 epochs")))
    assert_finding(finding, "note", "Early stopping ended overfitting", "validation loss 5.000")
    assert "The weights of epoch 14" in finding.finding


def test_a_loss_that_jumps_at_the_very_end_is_no_divergence():
    history = history_of([2.6, 2.4, 2.2, 2.25, 2.2, 2.26, 4.0], stopped="all 7 epochs done")
    assert_finding(found("validation loss", context_of(history=history)), "ok", "has not risen")


def test_losses_that_rise_together_are_instability():
    val_loss = [2.6, 2.4, 2.2, 3.0, 3.5, 4.0]
    history = history_of(val_loss, train_loss=val_loss, stopped="all 6 epochs done")
    finding = found("validation loss", context_of(history=history))
    assert_finding(finding, "warning", "Instability", "", ("optimizer.lr=0.0001", "trainer.grad_clip=0.5"))


def test_a_loss_that_is_not_finite():
    error = TrainingError("the training loss must be finite; found nan in epoch 3")
    finding = non_finite_loss(error, run_settings(config_of(*GUIDE_1000)), history_of([2.5, 2.4]))
    assert finding.check == "finite losses and gradients"
    assert_finding(finding, "failure", "not finite", "found nan in epoch 3; 2 epochs before that; last epoch 2")
    assert finding.advice == ("optimizer.lr=0.0001", "trainer.grad_clip=0.5")
    config_of(*GUIDE_1000, *finding.advice)
    unclipped = non_finite_loss(error, run_settings(config_of(*GUIDE_1000, "trainer.grad_clip=null")), None)
    assert "trainer.grad_clip=1" in unclipped.advice
    assert "0 epochs before that" in unclipped.evidence
    nested = (*GUIDE_1000, "model=nested_lstm")
    of_nested = non_finite_loss(error, run_settings(config_of(*nested)), None)
    assert "model.grad_clip=5" in of_nested.advice
    config_of(*nested, *of_nested.advice)


@pytest.mark.parametrize(
    ("worst", "level", "words"),
    [
        (6.0, "ok", "no gradient exploded"),
        (80.0, "warning", "exploded in epoch 4"),
        (math.inf, "warning", "1 of 8 epochs"),
    ],
)
def test_gradients(worst, level, words):
    norms = np.ones(8)
    norms[3] = worst
    finding = found(
        "finite losses and gradients", context_of(history=history_of(np.linspace(2.5, 2, 8), grad_norm=norms))
    )
    assert_finding(finding, level, words, "median 1")


@pytest.mark.parametrize(
    ("per_subject", "level"), [(1400.0, "ok"), (3600.0, "ok"), (5000.0, "warning"), (13_647.0, "warning")]
)
def test_parameters_for_each_training_subject(per_subject, level):
    history = replace(context_of().run.history, parameters_per_subject=per_subject)
    finding = found("model size", context_of(*GUIDE_106, history=history), *GUIDE_106)
    assert_finding(finding, level, "proportion" if level == "ok" else "too large", f"{per_subject:,.0f} for each")
    assert finding.advice == (() if level == "ok" else ("model=lstm_small", "data=cohort_1000"))


@pytest.mark.parametrize(("seconds", "level"), [(2.0, "ok"), (900.0, "ok"), (1000.0, "warning")])
def test_slow_epochs(seconds, level):
    finding = found("seconds an epoch", context_of(history=history_of([2.5, 2.4, 2.3], seconds=seconds)))
    assert_finding(finding, level, "15 minutes", "3 epochs")
    assert finding.advice == (() if level == "ok" else ("trainer.batch_size=128", "model.num_layers=1"))


def test_a_last_epoch_that_is_the_best():
    finding = found("enough epochs", context_of(history=history_of([2.5, 2.4, 2.3], stopped="all 3 epochs done")))
    assert_finding(finding, "note", "still improving", "best epoch 3 of 3; all 3 epochs done", ("trainer.epochs=200",))
    assert found("enough epochs", context_of(history=history_of([2.5, 2.3, 2.4]))).level == "ok"


def with_start(val_loss, *, start):
    history = history_of(val_loss)
    first = replace(history.epochs[0], epoch=0, val_loss=start)
    best = 0 if start < min(val_loss) else history.best_epoch
    return replace(history, start=first, best_epoch=best)


def test_a_regression_that_no_epoch_improves_on():
    check, falling = "improvement on the regression", np.linspace(2.5, 2.3, 12)
    unimproved = context_of(history=with_start(falling, start=2.2))
    finding = found(check, unimproved)
    assert_finding(finding, "note", "the evaluated model is that regression", "lowest of the epochs: epoch 12")
    assert found("enough epochs", unimproved).level == "ok"
    assert_finding(found(check, context_of(history=with_start(falling, start=2.6))), "ok", "improved", "epoch 0")
    diverged = context_of(history=with_start(falling[::-1] + 1, start=2.2))
    assert "The weights before the first epoch were kept" in found("validation loss", diverged).finding


def test_a_lower_loss_that_is_not_clearly_better_than_the_regression_is_shown_with_its_gain():
    history = with_start(np.linspace(2.5, 2.3, 12), start=2.32)
    gains = [Gain(2.32 - epoch.val_loss, 0.05) for epoch in history.epochs]
    context = context_of(history=replace(history, best_epoch=0, gains=gains))
    finding = found("improvement on the regression", context)
    assert_finding(finding, "note", "clearly better", "its gain +0.0200 with a standard error of 0.0500")
    assert found("enough epochs", context).finding == "No epoch after the evaluated one was clearly better."


def test_a_model_without_a_start_is_compared_with_none():
    assert all(one.check != "improvement on the regression" for one in run_diagnostics(context_of()))
