"""brier, nbll and their integrals: a worked table, published numbers, agreement with the libraries, and errors."""

import inspect
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycox.evaluation import EvalSurv
from sksurv.metrics import brier_score, integrated_brier_score

from survlstm.survival.brier import brier, integrated_brier, integrated_nbll, nbll, time_average
from survlstm.survival.ipcw import outcome_at
from survlstm.survival.kaplan_meier import censoring_curve
from tests.survival.reference import gbsg2, random_follow_up

DURATION = np.array([1, 2, 2, 3, 3, 4])
EVENT = np.array([True, True, False, False, True, False])
CENSORING = censoring_curve(DURATION, EVENT)
SURVIVAL = np.array([[0.5, 0.2], [0.9, 0.5], [0.8, 0.8], [0.9, 0.3], [0.7, 0.6], [1.0, 0.9]])
METRICS = (brier, nbll, integrated_brier, integrated_nbll)


def read_at_the_event_itself(censoring, *, half_a_unit=0.5):
    """Return G such that G(T-) is scikit-survival's G(T): with whole days, every drop comes half a day earlier."""
    return replace(censoring, times=censoring.times - half_a_unit)


def random_survival(generator, *, subjects, horizons):
    return np.sort(generator.uniform(0.01, 0.99, (subjects, horizons)), axis=1)[:, ::-1].copy()


def test_worked_table():
    options = {"duration": DURATION, "event": EVENT, "horizon": np.array([1, 3]), "censoring": CENSORING}
    # Weights at 1: all 1. At 3: 1, 1, 0, 0, 4/3 (G(3-) = 3/4) and 8/3 (G(3) = 3/8).
    first = (0.5**2 + 0.1**2 + 0.2**2 + 0.1**2 + 0.3**2 + 0**2) / 6
    second = (0.2**2 + 0.5**2 + 4 / 3 * 0.6**2 + 8 / 3 * 0.1**2) / 6
    np.testing.assert_allclose(brier(SURVIVAL, **options), [first, second])
    assert integrated_brier(SURVIVAL, **options) == pytest.approx((first + second) / 2)
    first = -np.log([0.5, 0.9, 0.8, 0.9, 0.7, 1.0]).sum() / 6
    second = -(np.log(0.8) + np.log(0.5) + 4 / 3 * np.log(0.4) + 8 / 3 * np.log(0.9)) / 6
    np.testing.assert_allclose(nbll(SURVIVAL, **options), [first, second])
    assert integrated_nbll(SURVIVAL, **options) == pytest.approx((first + second) / 2)


def test_pinned_gbsg2():
    """The published numbers read G at the event, docs/conventions.md reads it just before; both are tested."""
    horizon = np.array([365, 730, 1095, 1460, 1825])
    sample = gbsg2(horizon)
    options = {"duration": sample.duration, "event": sample.event, "horizon": horizon}
    censoring = censoring_curve(sample.duration, sample.event)
    found = brier(sample.prediction, **options, censoring=read_at_the_event_itself(censoring))
    np.testing.assert_allclose(found, [0.0762922, 0.1825364, 0.2200177, 0.2341338, 0.2338230], atol=5e-8)
    ours = brier(sample.prediction, **options, censoring=censoring)
    np.testing.assert_allclose(ours, [0.0762867, 0.1825215, 0.2199837, 0.2340860, 0.2337424], atol=5e-8)


def test_pinned_gbsg2_integrated():
    horizon = np.arange(1095, 1826)
    sample = gbsg2(horizon)
    options = {"duration": sample.duration, "event": sample.event, "horizon": horizon}
    censoring = censoring_curve(sample.duration, sample.event)
    found = integrated_brier(sample.prediction, **options, censoring=read_at_the_event_itself(censoring))
    assert found == pytest.approx(0.2315537, abs=5e-8)
    assert integrated_brier(sample.prediction, **options, censoring=censoring) == pytest.approx(0.2315068, abs=5e-8)


@pytest.mark.parametrize("subjects", [5, 60, 400])
def test_agrees_with_scikit_survival_but_for_the_side_of_g(subjects):
    generator = np.random.default_rng(subjects)
    train, test = random_follow_up(generator, subjects=300), random_follow_up(generator, subjects=subjects)
    horizon = np.array([1, 4, 7, 10])
    survival = random_survival(generator, subjects=subjects, horizons=4)
    options = {
        "duration": test.duration,
        "event": test.event,
        "horizon": horizon,
        "censoring": read_at_the_event_itself(censoring_curve(train.duration, train.event)),
    }
    _, theirs = brier_score(train.structured, test.structured, survival, horizon)
    np.testing.assert_allclose(brier(survival, **options), theirs, rtol=1e-12)
    integrated = integrated_brier_score(train.structured, test.structured, survival, horizon)
    assert integrated_brier(survival, **options) == pytest.approx(integrated, rel=1e-12)


@pytest.mark.parametrize("subjects", [10, 60, 400])
def test_agrees_with_pycox_but_for_its_divisor(subjects):
    """pycox reads G(T-), too, but divides by the sum of the weights; its own G has censorings before events at ties."""
    generator = np.random.default_rng(subjects)
    train, test = random_follow_up(generator, subjects=300), random_follow_up(generator, subjects=subjects)
    horizon = np.array([1, 4, 7, 10])
    survival = random_survival(generator, subjects=subjects, horizons=4)
    censoring = censoring_curve(train.duration, train.event)
    # pycox's curves start at time 0; it is given our G, so that both count events before censorings.
    frame = pd.DataFrame(censoring.survival, index=censoring.times)
    frame.loc[0.0] = 1.0
    frame = pd.concat([frame.sort_index()] * subjects, axis=1, ignore_index=True)
    nobody = np.zeros(subjects)
    judged = EvalSurv(
        pd.DataFrame(survival.T, index=horizon),
        test.duration,
        test.event.astype(int),
        censor_surv=EvalSurv(frame, nobody, nobody),
    )
    options = {"duration": test.duration, "event": test.event, "censoring": censoring}
    share = np.array([outcome_at(float(at), **options).weight.mean() for at in horizon])
    theirs = judged.brier_score(horizon).to_numpy()
    np.testing.assert_allclose(brier(survival, horizon=horizon, **options), theirs * share, rtol=1e-10)
    theirs = judged.nbll(horizon).to_numpy()
    np.testing.assert_allclose(nbll(survival, horizon=horizon, **options), theirs * share, rtol=1e-10)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_order_of_subjects_changes_nothing_and_one_half_scores_a_quarter(seed, subjects):
    generator = np.random.default_rng(seed)
    sample = random_follow_up(generator, subjects=subjects)
    survival, order = random_survival(generator, subjects=subjects, horizons=2), generator.permutation(subjects)
    censoring, horizon = censoring_curve(sample.duration, sample.event), np.array([3, 8])
    options = {"horizon": horizon, "censoring": censoring}
    for metric in METRICS:
        found = metric(survival, duration=sample.duration, event=sample.event, **options)
        shuffled = metric(survival[order], duration=sample.duration[order], event=sample.event[order], **options)
        np.testing.assert_allclose(shuffled, found, rtol=1e-12)
    undecided = np.full_like(survival, 0.5)
    found = brier(undecided, duration=sample.duration, event=sample.event, **options)
    np.testing.assert_allclose(found, 0.25, rtol=1e-12)


def test_a_certain_and_wrong_prediction_is_infinite_unless_the_outcome_is_unknown():
    options = {"duration": DURATION, "event": EVENT, "horizon": np.array([3]), "censoring": CENSORING}
    hidden = np.array([0.5, 0.5, 0.0, 1.0, 0.5, 0.5])[:, None]
    assert np.isfinite(nbll(hidden, **options)).all()
    wrong = np.array([1.0, 0.5, 0.5, 0.5, 0.5, 0.5])[:, None]
    assert nbll(wrong, **options).tolist() == [np.inf]


@pytest.mark.parametrize("metric", [brier, nbll])
@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("a NaN", {"survival": np.full((6, 2), np.nan)}, "survival must be finite; 12 of 12"),
        ("no probability", {"survival": SURVIVAL * 2}, r"within 0..1; 8 of 12 values are not \(min 0.4, max 2.0\)"),
        ("too few rows", {"survival": SURVIVAL[:4]}, "one row per subject; found 4 for 6 subjects"),
        ("too few columns", {"survival": SURVIVAL[:, :1]}, "one column per horizon; found 1 for 2 horizons"),
        ("behind the follow-up", {"horizon": np.array([1, 4])}, "1 of 2 are not .* the last supported of them is 1$"),
        ("backwards", {"horizon": np.array([3, 1])}, "strictly increasing"),
        ("lengths differ", {"event": EVENT[:4]}, "one entry per subject; found 6 and 4"),
        ("negative time", {"duration": DURATION - 2}, "duration must be >= 0; 1 of 6"),
        ("nobody", {"duration": DURATION[:0], "event": EVENT[:0]}, "at least one subject is needed"),
    ],
)
def test_impossible_input_is_refused(metric, case, change, message):
    arguments = {
        "survival": SURVIVAL,
        "duration": DURATION,
        "event": EVENT,
        "horizon": np.array([1, 3]),
        "censoring": CENSORING,
    }
    # Unwrapped, because in the tests the checker of shapes would raise first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(metric)(**(arguments | change))


def test_an_integral_needs_two_increasing_horizons():
    with pytest.raises(ValueError, match="at least two horizons; found 1"):
        integrated_brier(SURVIVAL[:, :1], duration=DURATION, event=EVENT, horizon=np.array([1]), censoring=CENSORING)
    with pytest.raises(ValueError, match="strictly increasing"):
        time_average(np.array([2.0, 1.0]), np.array([0.1, 0.2]))
