"""Nested settings and dotted keys."""

import pytest

from survlstm.utils.nested import flatten, unflatten

CASES = [
    ({}, {}),
    ({"b": 1, "a": {"d": [1, {"e": 2}], "c": None}}, {"b": 1, "a.d": [1, {"e": 2}], "a.c": None}),
    ({"a": {"b": {"c": 0}}, "d": ""}, {"a.b.c": 0, "d": ""}),
]


@pytest.mark.parametrize(("nested", "leaves"), CASES)
def test_leaves_by_dotted_key_in_order_and_back(nested, leaves):
    assert list(flatten(nested).items()) == list(leaves.items())
    assert unflatten(leaves) == nested


def test_an_empty_mapping_is_no_leaf_unless_it_is_kept():
    assert flatten({"a": {"b": {}}, "c": {}}) == {}
    assert flatten({"a": {"b": {}}, "c": {}}, keep_empty=True) == {"a.b": {}, "c": {}}


def test_keys_that_are_no_text_are_written_as_text():
    assert flatten({1: {True: 2}}) == {"1.True": 2}


def test_the_later_of_a_value_and_a_section_stays():
    assert unflatten({"a": 1, "a.b": 2}) == {"a": {"b": 2}}
    assert unflatten({"a.b": 2, "a": 1}) == {"a": 1}


def test_no_depth_is_too_deep():
    nested = {}
    for _ in range(5000):
        nested = {"a": nested or 1}
    assert list(flatten(nested).values()) == [1]
