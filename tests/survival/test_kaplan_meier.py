"""kaplan_meier and censoring_curve: worked tables, agreement with scikit-survival and lifelines, and errors."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from sksurv.nonparametric import CensoringDistributionEstimator, kaplan_meier_estimator

from survlstm.survival.kaplan_meier import censoring_curve, confidence_band, greenwood_variance, kaplan_meier
from tests.survival.reference import gbsg2, random_follow_up

DURATION = np.array([1, 2, 2, 3, 3, 4])
EVENT = np.array([True, True, False, False, True, False])


def test_worked_table():
    curve = kaplan_meier(DURATION, EVENT)
    assert curve.times.tolist() == [1, 2, 3, 4]
    assert curve.at_risk.tolist() == [6, 5, 3, 1]
    assert curve.events.tolist() == [1, 1, 1, 0]
    np.testing.assert_allclose(curve.survival, [5 / 6, 2 / 3, 4 / 9, 4 / 9], rtol=1e-15)


def test_worked_table_of_the_censoring_curve_counts_events_before_censorings():
    curve = censoring_curve(DURATION, EVENT)
    assert curve.at_risk.tolist() == [5, 4, 2, 1]
    assert curve.events.tolist() == [0, 1, 1, 1]
    np.testing.assert_allclose(curve.survival, [1, 3 / 4, 3 / 8, 0], rtol=1e-15)


def test_worked_table_of_greenwoods_variance():
    curve = kaplan_meier(DURATION, EVENT)
    total = np.cumsum([1 / (6 * 5), 1 / (5 * 4), 1 / (3 * 2), 0])
    np.testing.assert_allclose(greenwood_variance(curve), curve.survival**2 * total, rtol=1e-15)


@pytest.mark.parametrize(
    ("case", "time", "at", "before"),
    [
        ("time zero", 0.0, 1, 1),
        ("just before the first event", 0.99, 1, 1),
        ("at a drop", 2.0, 2 / 3, 5 / 6),
        ("between drops", 2.5, 2 / 3, 2 / 3),
        ("the last time", 4.0, 4 / 9, 4 / 9),
    ],
)
def test_reading_a_curve(case, time, at, before):
    curve = kaplan_meier(DURATION, EVENT)
    np.testing.assert_allclose(curve.at(np.array([time])), at, err_msg=case)
    np.testing.assert_allclose(curve.before(np.array([time])), before, err_msg=case)


def test_a_curve_that_reached_zero_stays_there():
    curve = kaplan_meier(np.array([1.0, 2.0]), np.array([True, True]))
    assert curve.at(np.array([2.0, 99.0])).tolist() == [0, 0]
    assert curve.before(np.array([2.0])).tolist() == [0.5]


@pytest.mark.parametrize(("subjects", "longest"), [(2, 3), (7, 5), (60, 8), (500, 40)])
def test_agrees_with_scikit_survival(subjects, longest):
    sample = random_follow_up(np.random.default_rng(subjects), subjects=subjects, longest=longest)
    times, survival, (low, high) = kaplan_meier_estimator(sample.event, sample.duration, conf_type="log-log")
    curve = kaplan_meier(sample.duration, sample.event)
    np.testing.assert_array_equal(curve.times, times)
    np.testing.assert_allclose(curve.survival, survival, rtol=1e-13)
    band, inside = confidence_band(curve), (survival > 0) & (survival < 1)
    np.testing.assert_allclose(band.low[inside], low[inside], rtol=1e-12)
    np.testing.assert_allclose(band.high[inside], high[inside], rtol=1e-12)


@pytest.mark.parametrize(("subjects", "longest"), [(2, 3), (7, 5), (60, 8), (500, 40)])
def test_the_censoring_curve_agrees_with_scikit_survival(subjects, longest):
    sample = random_follow_up(np.random.default_rng(subjects), subjects=subjects, longest=longest)
    theirs = CensoringDistributionEstimator().fit(sample.structured)
    time = np.arange(1, longest + 1)
    np.testing.assert_allclose(
        censoring_curve(sample.duration, sample.event).at(time), theirs.predict_proba(time), rtol=1e-13
    )


def test_agrees_with_lifelines_on_gbsg2():
    sample = gbsg2(np.array([365.0]))
    fitted = KaplanMeierFitter().fit(sample.duration, sample.event)
    curve = kaplan_meier(sample.duration, sample.event)
    theirs = fitted.survival_function_.loc[curve.times, "KM_estimate"]
    interval = fitted.confidence_interval_.loc[curve.times].to_numpy()
    band, inside = confidence_band(curve), curve.survival < 1
    np.testing.assert_allclose(curve.survival, theirs, rtol=1e-12)
    np.testing.assert_allclose(np.column_stack(band)[inside], interval[inside], rtol=1e-10)


def test_no_interval_where_the_curve_is_one_or_zero():
    curve = kaplan_meier(np.array([1, 2, 3]), np.array([False, True, True]))
    band = confidence_band(curve)
    assert np.isnan(band.low).tolist() == np.isnan(band.high).tolist() == [True, False, True]
    assert np.isnan(greenwood_variance(curve)).tolist() == [False, False, True]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(0.01, 1000))
def test_order_and_unit_of_time_change_nothing(seed, subjects, unit):
    generator = np.random.default_rng(seed)
    sample = random_follow_up(generator, subjects=subjects)
    order = generator.permutation(subjects)
    for estimate in (kaplan_meier, censoring_curve):
        curve = estimate(sample.duration, sample.event)
        other = estimate(sample.duration[order] * unit, sample.event[order])
        np.testing.assert_array_equal(curve.survival, other.survival)
        np.testing.assert_array_equal(curve.times * unit, other.times)


@pytest.mark.parametrize("estimate", [kaplan_meier, censoring_curve])
@pytest.mark.parametrize(
    ("duration", "event", "message"),
    [
        ([], [], "at least one subject is needed; found none"),
        ([1.0, 2.0], [True], "one entry per subject; found 2 and 1"),
        ([1.0, -2.0, -3.0], [True] * 3, r"duration must be >= 0; 2 of 3 subjects have less \(min -3.0\)"),
        ([1.0, np.nan], [True, False], "duration must be finite; 1 of 2 values are NaN or infinite"),
        ([1.0, np.inf], [True, False], "duration must be finite"),
        ([1.0, 2.0], [1, 0], "event must be boolean, True = event and False = censored; found int64"),
    ],
)
def test_impossible_follow_up_is_refused(estimate, duration, event, message):
    dtype = bool if not event else None
    with pytest.raises(ValueError, match=message):
        # Unwrapped, because in the tests the checker of shapes would raise first.
        inspect.unwrap(estimate)(np.array(duration, dtype=float), np.array(event, dtype=dtype))


def test_reading_where_the_curve_is_unknown_is_refused():
    curve = kaplan_meier(DURATION, EVENT)
    with pytest.raises(ValueError, match=r"known until 4, .* 2 of 3 times are later \(max 9\)"):
        curve.at(np.array([1.0, 5.0, 9.0]))
    with pytest.raises(ValueError, match="1 of 2 are NaN"):
        curve.before(np.array([1.0, np.nan]))


def test_an_impossible_confidence_is_refused():
    with pytest.raises(ValueError, match=r"between 0 and 1, both excluded; found 95.0"):
        confidence_band(kaplan_meier(DURATION, EVENT), confidence=95.0)
