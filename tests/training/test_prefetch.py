"""prefetch: the same items in the same order, each prepared while the previous one is used."""

import threading

import pytest

from survlstm.training.prefetch import prefetch


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_item_in_order(count):
    assert list(prefetch(lambda item: item * item, range(count))) == [item * item for item in range(count)]


def test_the_next_item_is_made_while_this_one_is_used():
    made = [threading.Event() for _ in range(3)]
    for item in prefetch(lambda number: made[number].set() or number, range(3)):
        if item < 2:
            assert made[item + 1].wait(5)


def test_no_more_than_one_item_is_made_ahead():
    begun = []
    coming = prefetch(lambda item: begun.append(item) or item, range(10))
    next(coming)
    assert begun in ([0], [0, 1])
    coming.close()


def test_an_error_comes_with_its_item():
    coming = prefetch(lambda item: 1 / item, [2, 1, 0, 3])
    assert [next(coming), next(coming)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        next(coming)


def test_whoever_stops_in_the_middle_leaves_no_thread():
    before = threading.active_count()
    for _ in prefetch(lambda item: item, range(10)):
        break
    assert threading.active_count() == before
