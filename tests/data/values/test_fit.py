"""Bins and normal scores: worked cases, what always holds, and the round trip through a file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from survlstm.data.values.fit import fit_edges, fit_values, why_no_bins
from survlstm.data.values.measures import FittedValues, bin_numbers, format_edge, padded_edges
from survlstm.data.values.settings import ValueSettings
from tests.valued import visits_of

SETTINGS = ValueSettings(form="both", most_bins=3, min_values_per_bin=2)


def edges_of(values, **limits):
    return fit_edges(np.sort(np.array(values, dtype=np.float32)), **{"most_bins": 5, "fewest": 2} | limits)


def fitted(rows, form=SETTINGS, min_frequency=2):
    visits = visits_of(rows)
    return fit_values(visits, form, is_training=np.ones(len(visits.subjects), dtype=bool), min_frequency=min_frequency)


def series(code, values, unit=""):
    """One subject, and a visit for each value."""
    return [(0, visit, code, value, unit) for visit, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "limits", "edges"),
    [
        (range(10), {"most_bins": 2}, (5.0,)),
        (range(10), {}, (2.0, 4.0, 6.0, 8.0)),
        # Two of three zeros: they take one bin, and the others share the rest.
        ([0] * 20 + list(range(1, 11)), {"most_bins": 3}, (1.0, 6.0)),
        # Too few values for two bins, one value only, and one value with hardly any other.
        (range(3), {}, ()),
        ([7] * 50, {}, ()),
        ([7] * 50 + [8], {}, ()),
        # The edge has the fewest digits that separate the neighbours.
        ([1.04, 1.04, 2.1234, 2.1234], {}, (2.0,)),
        ([0.811, 0.811, 0.8134, 0.8134], {}, (0.813,)),
        ([-3.7, -3.7, -3.2, -3.2], {}, (-3.2,)),
    ],
)
def test_edges(values, limits, edges):
    assert edges_of(values, **limits) == pytest.approx(edges, rel=1e-7)


numbers = st.lists(
    st.one_of(st.integers(-5, 5).map(float), st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)),
    min_size=1,
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(numbers, st.integers(2, 6), st.integers(1, 9))
@example([0.1] * 5 + [np.float32(0.1) + np.float32(1e-8)] * 5, 2, 2)
def test_every_bin_has_enough_values_and_no_value_is_in_two(values, most_bins, fewest):
    values = np.sort(np.array(values, dtype=np.float32))
    edges = fit_edges(values, most_bins=most_bins, fewest=fewest)
    assert len(edges) < most_bins
    rises = np.array(edges, dtype=np.float32)
    assert (np.diff(rises) > 0).all()
    inside = np.diff([0, *np.searchsorted(values, rises), len(values)])
    assert not edges or inside.min() >= fewest
    # What is written in the name of a bin is the edge.
    assert [float(format_edge(edge)) for edge in edges] == list(edges)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=40, max_size=90, unique=True))
def test_bins_of_distinct_values_are_those_of_quantiles(values):
    values = np.sort(np.array(values, dtype=np.float32))
    inside = np.diff([0, *np.searchsorted(values, np.float32(fit_edges(values, most_bins=4, fewest=5))), len(values)])
    assert inside.max() - inside.min() <= 3
    assert len(inside) == 4


def test_a_code_has_bins_for_each_unit():
    rows = series("X/a", [1, 2, 3, 4, 5, 6], "mg") + series("X/a", [10, 20, 30, 40], "ug") + series("X/b", [1, 1, 1])
    found = {(each.code, each.unit): each for each in fitted(rows).measures}
    assert list(found) == [("X/a", "mg"), ("X/a", "ug"), ("X/b", "")]
    assert found["X/a", "mg"].bin_codes == (
        "X/a//mg//value_[-inf,3)",
        "X/a//mg//value_[3,5)",
        "X/a//mg//value_[5,inf)",
    )
    assert found["X/a", "mg"].bin_values == (2, 2, 2)
    assert found["X/a", "ug"].edges == (30.0,)
    # A constant: known, so that its unit is, with neither bins nor columns.
    assert (found["X/b", ""].edges, found["X/b", ""].knots, found["X/b", ""].bin_codes) == ((), (), ())


def test_only_training_subjects_count():
    rows = series("X/a", [1, 2, 3, 4, 5, 6])
    others = [(1, visit, "X/a", value, "") for visit, value in enumerate([100, 200, 300, 1e9])]
    visits = visits_of(rows + others + [(1, 9, "X/only", float(value), "") for value in range(9)])
    alone = fitted(rows)
    both = fit_values(visits, SETTINGS, is_training=np.array([True, False]), min_frequency=2)
    assert both.as_plain() == alone.as_plain()


def test_a_bin_has_as_many_values_as_a_code_of_the_vocabulary_needs():
    assert [each.edges for each in fitted(series("X/a", range(9)), min_frequency=5).measures] == [()]


def test_measures_that_most_subjects_have_get_columns():
    rows = [(subject, 0, "X/common", float(subject), "") for subject in range(6)]
    rows += [
        (subject, 1, f"X/{code}", float(subject + many), "")
        for code in "ab"
        for subject in range(2)
        for many in range(9)
    ]
    found = fitted(rows, replace(SETTINGS, most_columns=2))
    assert [found.measures[number].code for number in found.column_measures] == ["X/a", "X/common"]
    assert fitted(rows, replace(SETTINGS, form="bins")).column_measures == ()
    only_columns = fitted(rows, replace(SETTINGS, form="continuous"))
    assert len(only_columns.column_measures) == 3
    assert not any(each.edges for each in only_columns.measures)
    assert fitted(rows, ValueSettings()) is None


def test_scores_are_normal_quantiles_and_bounded():
    values = np.random.default_rng(0).lognormal(size=5000)
    (measure,) = fitted(series("X/a", values), replace(SETTINGS, min_values_per_bin=20)).measures
    scores = measure.score(np.array(values, dtype=np.float32))
    expected = norm.ppf(np.clip((np.argsort(np.argsort(values)) + 0.5) / len(values), 0.01, 0.99))
    # Linear between fifteen knots.
    assert np.abs(scores - expected).max() < 0.12
    assert abs(scores.mean()) < 0.02
    assert 0.9 < scores.std() < 1
    assert measure.score(np.array([1e30, -1e30], dtype=np.float32)) == pytest.approx(norm.ppf([0.99, 0.01]))
    assert (measure.low, measure.high) == pytest.approx(np.quantile(values, [0.01, 0.99]), rel=5e-3)


def test_the_state_survives_a_file():
    found = fitted(series("X/a", np.random.default_rng(0).normal(size=50), "mg/dL") + series("X/b", range(9)))
    again = FittedValues.from_plain(json.loads(json.dumps(found.as_plain())))
    assert again.measures == found.measures


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": [2.0, 1.0]}, "must rise|lengths that fit"),
        ({"edges": "no"}, "edges must be numbers"),
        ({"edges": [1e39], "bin_values": [1, 1]}, "within single precision"),
        ({"edges": [float("nan")], "bin_values": [1, 1]}, "within single precision"),
        ({"bin_values": [1.5]}, "whole numbers"),
        ({"bin_values": [1, 2, 3, 4, 5]}, "lengths that fit together"),
        ({"knots": [1.0]}, "lengths that fit together"),
        ({"unit": None}, "must be texts"),
        ({"more": 1}, "exactly the parts"),
    ],
)
def test_a_damaged_state_is_refused(change, message):
    plain = fitted(series("X/a", range(9))).as_plain()
    with pytest.raises(ValueError, match=message):
        FittedValues.from_plain([plain[0] | change])


def test_a_state_must_be_sorted():
    plain = fitted(series("X/a", range(9)) + series("X/b", range(9))).as_plain()
    with pytest.raises(ValueError, match="sorted by code and unit"):
        FittedValues.from_plain(plain[::-1])
    with pytest.raises(ValueError, match="list of measures"):
        FittedValues.from_plain({"measures": plain})


def test_a_value_on_an_edge_is_in_the_upper_bin():
    # 0.7 in single precision lies below 0.7 in double precision.
    (measure,) = fitted(series("X/a", [0.1, 0.2, 0.7, 0.8])).measures
    found = bin_numbers(
        padded_edges([replace(measure, edges=(0.7,))]), np.zeros(3, dtype=int), np.float32([0.6, 0.7, 0.8])
    )
    assert found.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("numbers", "form", "why"),
    [
        ([1.0, 2.0, 3.0], "both", "too few values: 3 in the training, and two bins need 4"),
        ([1.0] * 9 + [2.0], "bins", "hardly any other value: equal ones leave fewer than 2 of 10 for a second bin"),
        ([1.0, 2.0, 3.0, 4.0], "continuous", "data.values=continuous makes no bins"),
    ],
)
def test_a_measure_without_bins_has_a_reason(numbers, form, why):
    limits = replace(SETTINGS, form=form)
    (measure,) = fitted(series("X/a", numbers), limits).measures
    assert measure.edges == ()
    assert why_no_bins(len(numbers), limits, min_frequency=2) == why
