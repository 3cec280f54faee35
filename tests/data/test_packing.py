"""Packed layout: a table worked by hand, invariants of every layout, and the least cost by trying every cut."""

from itertools import chain, combinations, pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from survlstm.data import packing

row_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12)
slice_costs = st.sampled_from([0, 1, 5, 30, 100, 10**9])


def arranged(lengths, cost):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SLICE_COST", cost)
        return packing.pack_rows(np.array(lengths))


# From the longest to the shortest the rows are 1, 0, 3, 2.
@pytest.mark.parametrize(
    ("cost", "slices", "slot", "total"),
    [
        (0, ((4, 1), (3, 1), (1, 3)), [[1, 5], [0, 4, 7, 8, 9], [3], [2, 6]], 10),
        # Two slices cost 8 + 3 slots + 2 * 2 = 15; three slices cost 16, and one costs 22.
        (2, ((4, 2), (1, 3)), [[1, 5], [0, 4, 8, 9, 10], [3], [2, 6]], 11),
        (100, ((4, 5),), [[1, 5], [0, 4, 8, 12, 16], [3], [2, 6]], 20),
    ],
)
def test_a_table_by_hand(cost, slices, slot, total):
    found = arranged([2, 5, 1, 2], cost)
    assert found.slices == slices
    assert found.slot.tolist() == list(chain.from_iterable(slot))
    assert found.total == total


@settings(max_examples=300, deadline=None)
@given(row_lengths, slice_costs)
@example([1], 100)
@example([7] * 5, 100)
def test_every_visit_has_a_slot_of_its_own(lengths, cost):
    found = arranged(lengths, cost)
    assert len(set(found.slot.tolist())) == len(found.slot) == sum(lengths)
    assert found.slot.min() >= 0
    assert found.slot.max() < found.total


@settings(max_examples=300, deadline=None)
@given(row_lengths, slice_costs)
@example([1], 100)
@example([7] * 5, 100)
def test_a_slice_is_a_block_of_the_rows_that_reach_into_it(lengths, cost):
    """Each row has the same column in every slice, so the rows of a slice are the first rows of the slice before."""
    found = arranged(lengths, cost)
    assert sum(length for _, length in found.slices) == max(lengths)
    visits = iter(found.slot.tolist())
    column_of = {}
    for row, length in enumerate(lengths):
        position = base = 0
        for rows, duration in found.slices:
            assert rows == sum(other > position for other in lengths)
            for number in range(min(duration, length - position)):
                column = next(visits) - base - number * rows
                assert 0 <= column < rows
                assert column_of.setdefault(row, column) == column
            if length <= position + duration:
                break
            position, base = position + duration, base + rows * duration
    assert sorted(column_of.values()) == list(range(len(lengths)))
    by_column = [lengths[row] for row in sorted(column_of, key=column_of.get)]
    assert by_column == sorted(lengths, reverse=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.sampled_from([0, 1, 2, 3, 5, 8, 13, 100]))
def test_no_other_way_to_cut_costs_less(lengths, cost):
    found = arranged(lengths, cost)

    def costs(cuts):
        ends = [0, *cuts, max(lengths)]
        return sum(cost + sum(length > begin for length in lengths) * (end - begin) for begin, end in pairwise(ends))

    inside = range(1, max(lengths))
    least = min(costs(cuts) for number in range(len(inside) + 1) for cuts in combinations(inside, number))
    assert found.total + cost * len(found.slices) == least


@settings(max_examples=100, deadline=None)
@given(row_lengths)
def test_slices_that_cost_nothing_leave_no_padding(lengths):
    found = arranged(lengths, 0)
    assert found.total == sum(lengths)
    assert sorted(found.slot.tolist()) == list(range(sum(lengths)))


@settings(max_examples=100, deadline=None)
@given(row_lengths)
def test_slices_that_cost_too_much_are_one(lengths):
    assert arranged(lengths, 10**9).slices == ((len(lengths), max(lengths)),)


def test_a_heavy_tail_is_computed_with_little_padding():
    lengths = np.random.default_rng(0).geometric(0.02, 64)
    found = packing.pack_rows(lengths)
    assert 1 < len(found.slices) < 20
    assert found.total < 1.2 * lengths.sum() < 64 * lengths.max() / 2
