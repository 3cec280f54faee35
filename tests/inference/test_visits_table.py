"""Tests of the reader of visit tables: the order of entries and of visits, and values that cannot be read."""

import itertools

import numpy as np
import pandas as pd
import pytest

from survlstm.inference.visits_table import read_visits_table
from survlstm.utils.errors import SourceError

ROWS = {
    "subject_id": ["a", "a"],
    "time": ["2010-01-01", "2010-02-01"],
    "codes": [["X/2", "X/1", "X/2", "X/2"], ["X/1"]],
    "values": [[7.5, None, 0.5, np.nan], None],
    "units": [["mg/dL", None, "g/L", "g/L"], None],
}


def read(rows):
    return read_visits_table(pd.DataFrame(rows), as_of=None)


def entries(visits):
    """Code, value and unit of each entry of each visit."""
    rows = list(
        zip(
            visits.codes[visits.code].tolist(),
            np.where(np.isnan(visits.value), None, visits.value).tolist(),
            visits.units[visits.unit].tolist(),
            strict=True,
        )
    )
    return [rows[start:end] for start, end in itertools.pairwise(visits.code_offsets)]


def test_entries_are_ordered_by_code_and_value_with_no_number_last():
    visits = read(ROWS)
    assert entries(visits) == [
        [("X/1", None, ""), ("X/2", 0.5, "g/L"), ("X/2", 7.5, "mg/dL"), ("X/2", None, "")],
        [("X/1", None, "")],
    ]
    assert visits.units.tolist() == ["", "g/L", "mg/dL"]
    assert not visits.value_fault.any()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[1::5])
def test_the_order_of_the_lists_has_no_effect(order):
    lists = {name: [[ROWS[name][0][place] for place in order], ROWS[name][1]] for name in ("codes", "values", "units")}
    assert entries(read(ROWS | lists)) == entries(read(ROWS))


def test_visits_at_one_time_are_ordered_by_codes_then_values_then_units():
    made = [
        (["X/1"], [1.0], ["g"]),
        (["X/1"], [1.0], ["mg"]),
        (["X/1"], [2.0], ["g"]),
        (["X/1"], [None], [None]),
        (["X/3"], [0.0], ["g"]),
        (["X/2", "X/1"], [1.0, 5.0], ["g", "g"]),
        (["X/1", "X/2"], [5.0, 3.0], ["g", "g"]),
    ]
    table = pd.DataFrame(made, columns=["codes", "values", "units"]).assign(subject_id="a", time="2010-01-01T08:00:00")
    expected = entries(read(table))
    assert [[value for _, value, _ in visit] for visit in expected] == [[1], [1], [2], [None], [0], [5, 1], [5, 3]]
    assert [visit[0][2] for visit in expected[:2]] == ["g", "mg"]
    for seed in range(5):
        assert entries(read(table.sample(frac=1, random_state=seed))) == expected


def test_arrays_are_lists_and_a_repeated_entry_counts_as_often_as_it_is_listed():
    rows = ROWS | {"codes": [np.array(["X/1", "X/1"]), ("X/2",)], "values": [np.array([2, 2]), (np.float32(1),)]}
    rows.pop("units")
    assert entries(read(rows)) == [[("X/1", 2.0, ""), ("X/1", 2.0, "")], [("X/2", 1.0, "")]]


def test_a_table_without_values_has_none():
    visits = read({name: ROWS[name] for name in ("subject_id", "time", "codes")})
    assert np.isnan(visits.value).all()
    assert (visits.units.tolist(), set(visits.unit.tolist())) == ([""], {0})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": [[7.5, None], None]}, "a list as long as codes, or nothing, as values; 1 of 2 .* is row 1"),
        ({"values": [None, 3.0]}, "a list as long as codes, or nothing, as values; 1 of 2 .* is row 2"),
        ({"units": [None, "%"]}, "a list as long as codes, or nothing, as units; 1 of 2 .* is row 2"),
        ({"codes": [{"X/1", "X/2", "X/3", "X/4"}, ["X/1"]]}, "a list as long as codes, .* as values; 1 of 2"),
        ({"values": [None, ["7.5"]]}, "numbers of single precision .* in values; 1 of 2 .* is row 2"),
        ({"values": [None, [True]]}, "numbers of single precision .* in values; 1 of 2"),
        ({"values": [[1, 2, 3, np.inf], [1e39]]}, "numbers of single precision .* in values; 2 of 2 .* is row 1"),
        ({"values": [None, [10**400]]}, "numbers of single precision .* in values; 1 of 2"),
        ({"units": [None, [5]]}, "texts or None in units; 1 of 2 .* is row 2"),
        ({"units": [None, ["m" * 65]], "values": [None, [1]]}, "printable text of at most 64 characters as unit"),
    ],
)
def test_values_that_can_not_be_read_are_refused(changes, said):
    with pytest.raises(SourceError, match=said):
        read(ROWS | changes)
