"""Visits whose entries have values: any order of rows gives the same entries in the same order, repeated ones once."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.data.events import ValueFault
from survlstm.data.visits import cut_visits, group_visits
from tests.records import events_of

GROUPINGS = ["encounter", "same_day", "time_window", "hybrid"]
# Few of everything, so that entries often agree in all parts but one.
TIMES = ["2020-01-01T08:00:00", "2020-01-01T09:00:00", "2020-01-02T08:00:00"]
NO_NUMBER, TEXT = float("nan"), float("inf")  # infinity stands for an entry that has a text instead of a number
NUMBERS = st.sampled_from([NO_NUMBER, TEXT, -1.0, 0.0, 2.5])
ENTRIES = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(TIMES),
    st.sampled_from(["e1", "e2"]),
    st.tuples(st.sampled_from(["X/1", "X/2"]), NUMBERS, st.sampled_from(["", "mg", "mmol"])),
)


def events_from(entries):
    """Events in the order of the entries; an encounter lies within one day."""
    rows = {}
    for name, time, encounter, entry in entries:
        rows.setdefault(name, []).append((time, f"{time[:10]} {encounter}", [entry]))
    events = events_of({"a": [], "b": []} | rows)
    is_text = events.numeric_value == TEXT
    return replace(
        events,
        numeric_value=np.where(is_text, np.float32(NO_NUMBER), events.numeric_value),
        value_fault=np.where(is_text, ValueFault.TEXT, ValueFault.NONE).astype(np.int8),
    )


def in_order(events, order):
    """Return the events in another order, with their encounters numbered backwards."""
    columns = ("subject", "code", "time", "numeric_value", "unit", "value_fault")
    backwards = events.encounter.max(initial=0) - events.encounter
    return replace(events, encounter=backwards[order], **{name: getattr(events, name)[order] for name in columns})


def _number(number):
    """Infinity where an entry has no number."""
    return np.inf if np.isnan(number) else number


def keys_of(visits, *, grouped_by):
    """Return (visit, code, value, unit) of each entry, with infinity for no number, which comes last."""
    number = np.where(np.isnan(visits.value), np.inf, visits.value).tolist()
    return list(zip(grouped_by.tolist(), visits.code.tolist(), number, visits.unit.tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=12), st.randoms(use_true_random=False), st.sampled_from(GROUPINGS))
def test_no_order_of_rows_changes_a_visit_or_the_count_of_repeated_rows(entries, random, grouping):
    events = events_from(entries)
    order = list(range(len(events)))
    random.shuffle(order)
    found = [
        group_visits(each, grouping=grouping, window_hours=5.0) for each in (events, in_order(events, np.array(order)))
    ]
    assert found[0][1] == found[1][1]
    for name in ("visit_offsets", "visit_time", "code_offsets", "code", "value", "unit", "value_fault"):
        np.testing.assert_array_equal(getattr(found[0][0], name), getattr(found[1][0], name), err_msg=name)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=12))
def test_entries_at_one_time_are_ordered_by_code_value_and_unit_and_each_counts_once(entries):
    # A window of a second: all entries of a visit have the same time.
    events = events_from(entries)
    visits, repeated = group_visits(events, grouping="time_window", window_hours=1 / 3600)
    keys = keys_of(visits, grouped_by=visits.entry_visit)
    assert all(one < other for one, other in pairwise(keys))
    distinct = {(name, time, code, _number(number), unit) for name, time, _, (code, number, unit) in entries}
    assert (len(keys), repeated) == (len(distinct), len(entries) - len(distinct))


@settings(max_examples=100, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=12), st.sampled_from(GROUPINGS))
def test_every_entry_keeps_its_own_value_and_unit(entries, grouping):
    events = events_from(entries)
    visits, _ = group_visits(events, grouping=grouping, window_hours=5.0)
    owner = visits.visit_subject[visits.entry_visit]
    assert set(keys_of(visits, grouped_by=owner)) == {
        (
            "ab".index(name),
            list(visits.codes).index(code),
            _number(number),
            list(visits.units).index(unit),
        )
        for name, _, _, (code, number, unit) in entries
    }
    kept = cut_visits(visits, np.array([1]), stop=visits.visits_per_subject[[1]])
    own = owner == 1
    for name in ("code", "value", "unit", "value_fault"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(visits, name)[own], err_msg=name)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_two_encounters_at_one_time_are_ordered_by_their_values(grouping):
    rows = [("e1", [("X/1", 2.0, "mg")]), ("e2", [("X/1", 1.0, "mg")]), ("e3", [("X/1", 1.0, "g")])]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        records = {"a": [(TIMES[0], *rows[place]) for place in order]}
        visits, _ = group_visits(events_of(records), grouping=grouping, window_hours=24.0)
        assert visits.value.tolist() == [1.0, 1.0, 2.0]
        assert visits.units[visits.unit].tolist() == ["g", "mg", "mg"]


def test_two_encounters_that_differ_in_a_fault_alone_are_ordered_by_it():
    entries = [
        ("a", TIMES[0], encounter, ("X/1", number, "")) for encounter, number in (("e1", TEXT), ("e2", NO_NUMBER))
    ]
    for swapped in (entries, [(*entries[0][:3], entries[1][3]), (*entries[1][:3], entries[0][3])]):
        visits, _ = group_visits(events_from(swapped), grouping="encounter", window_hours=24.0)
        assert visits.value_fault.tolist() == [ValueFault.NONE, ValueFault.TEXT]
