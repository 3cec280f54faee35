"""EarlyStopping: patience, min_delta, the best epoch, which does not depend on them, and the margin over a start."""

import numpy as np
import pytest

from survlstm.training.early_stopping import EarlyStopping, Gain, paired_gain


def run(losses, *, patience, min_delta=0.0):
    """Return the number of epochs until training stops, and the best epoch."""
    stopping = EarlyStopping(patience, min_delta, 0.0)
    for epoch, loss in enumerate(losses, start=1):
        stopping.update(loss, epoch)
        if stopping.should_stop:
            break
    return epoch, stopping.best_epoch


def test_stops_after_patience_epochs_without_improvement():
    assert run([3.0, 2.0, 2.1, 2.2, 2.3, 1.0], patience=3) == (5, 2)


def test_an_improvement_starts_the_count_again():
    assert run([3.0, 3.1, 2.9, 3.1, 2.8, 3.0], patience=2) == (6, 5)


def test_less_than_min_delta_is_no_progress_but_may_be_the_best():
    assert run([3.0, 2.9995, 2.999, 2.9985], patience=3, min_delta=0.01) == (4, 4)


def test_slow_progress_adds_up_to_progress():
    assert run([3.0, 2.994, 2.988, 2.982, 2.976], patience=2, min_delta=0.01) == (5, 5)


def test_without_patience_it_never_stops():
    assert run([1.0] * 50, patience=None) == (50, 1)


def test_exactly_min_delta_is_no_progress():
    assert run([3.0, 2.5, 2.5, 1.0], patience=2, min_delta=0.5) == (3, 2)
    assert run([2.0] * 5, patience=2) == (3, 1)


def best_after(gains, *, margin):
    """Return the best epoch of a model whose start has a loss of 1."""
    stopping = EarlyStopping(None, 0.0, margin)
    stopping.update(1.0, 0)
    for epoch, gain in enumerate(gains, start=1):
        stopping.update(1.0 - gain.nats, epoch, gain)
    return stopping.best_epoch


def test_an_epoch_must_beat_the_start_by_the_margin():
    assert best_after([Gain(0.02, 0.02), Gain(0.03, 0.02), Gain(0.025, 0.01)], margin=1.0) == 2
    assert best_after([Gain(0.02, 0.02), Gain(0.03, 0.02), Gain(0.025, 0.01)], margin=2.0) == 3
    assert best_after([Gain(0.02, 0.02), Gain(0.03, 0.02)], margin=2.0) == 0
    assert best_after([Gain(1e-6, 1.0), Gain(-0.1, 0.0)], margin=0.0) == 1


def test_without_several_rows_of_a_subject_the_error_is_that_of_a_paired_t_test():
    generator = np.random.default_rng(0)
    start, nll = generator.normal(size=(2, 200))
    gain = paired_gain(start, nll, np.arange(200))
    assert gain.nats == pytest.approx((start - nll).mean())
    # The usual error divides by n - 1.
    assert gain.standard_error * np.sqrt(200 / 199) == pytest.approx((start - nll).std(ddof=1) / np.sqrt(200))


def test_copies_of_a_subjects_rows_add_no_certainty():
    start, nll = np.random.default_rng(0).normal(size=(2, 50))
    once = paired_gain(start, nll, np.arange(50))
    five_times = paired_gain(np.repeat(start, 5), np.repeat(nll, 5), np.repeat(np.arange(50)[::-1], 5))
    np.testing.assert_allclose(five_times, once)
