"""EarlyStopping: patience, min_delta, and the best epoch, which does not depend on them."""

from survlstm.training.early_stopping import EarlyStopping


def run(losses, *, patience, min_delta=0.0):
    """Return the number of epochs until training stops, and the best epoch."""
    stopping = EarlyStopping(patience, min_delta)
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
