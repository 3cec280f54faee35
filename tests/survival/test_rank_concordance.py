"""c_harrell and c_uno: worked tables, published numbers, the libraries, a count pair by pair, and errors."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi
from lifelines.utils import concordance_index
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw

from survlstm.survival.kaplan_meier import censoring_curve
from survlstm.survival.rank_concordance import c_harrell, c_uno, count_pairs
from tests.survival.reference import random_follow_up, whas500


def pair_by_pair(score, duration, event):
    """Count pairs as docs/conventions.md defines them, one at a time."""
    comparable = concordant = tied = 0
    for i in np.flatnonzero(event):
        for j in range(len(score)):
            if duration[j] > duration[i] or (duration[j] == duration[i] and not event[j]):
                comparable += 1
                concordant += score[i] > score[j]
                tied += score[i] == score[j]
    return comparable, concordant, tied


@pytest.mark.parametrize(
    ("case", "score", "duration", "event", "expected"),
    [
        ("right order", [2, 1], [1, 2], [1, 0], (1.0, 1, 1, 0)),
        ("wrong order", [1, 2], [1, 2], [1, 0], (0.0, 1, 0, 0)),
        ("score tie counts one half", [1, 1], [1, 2], [1, 0], (0.5, 1, 0, 1)),
        ("event beats censoring at the same time", [2, 1], [1, 1], [1, 0], (1.0, 1, 1, 0)),
        ("two events at the same time are left out", [3, 2, 1], [1, 1, 2], [1, 1, 0], (1.0, 2, 2, 0)),
        ("tied events with tied scores are left out", [2, 2, 1], [1, 1, 2], [1, 1, 0], (1.0, 2, 2, 0)),
        ("censored earlier is left out", [9, 2, 1], [1, 2, 3], [0, 1, 0], (1.0, 1, 1, 0)),
        ("tied in time and in score", [1, 1], [1, 1], [1, 0], (0.5, 1, 0, 1)),
        ("the pinned example", [5, 4, 1, 3, 2], [1, 2, 2, 2, 3], [1, 1, 1, 0, 0], (0.75, 8, 6, 0)),
    ],
)
def test_worked_table(case, score, duration, event, expected):
    score, duration, event = np.array(score), np.array(duration), np.array(event, dtype=bool)
    assert c_harrell(score, duration=duration, event=event) == expected, case


@pytest.mark.parametrize(
    ("tau", "comparable", "concordant", "tied"),
    [
        (None, 5 + 4 * 16 / 9 + 2 * 64 / 9, 4 + 3 * 16 / 9 + 64 / 9, 64 / 9),
        (3, 5 + 4 * 16 / 9, 4 + 3 * 16 / 9, 0),
        (2, 5, 4, 0),
    ],
)
def test_worked_table_of_c_uno(tau, comparable, concordant, tied):
    duration, event = np.array([1, 2, 2, 3, 3, 4]), np.array([True, True, False, False, True, False])
    score = np.array([5, 4, 9, 1, 3, 3])
    # G is 1 at time 1, 3/4 at 2 and 3/8 at 3: the three anchors weigh 1, 16/9 and 64/9. The first outranks 4 of 5; the
    # second 3 of 4, the censored 9 of its own time among them; the third 1 of 2 and ties with the other.
    found = c_uno(score, duration=duration, event=event, censoring=censoring_curve(duration, event), tau=tau)
    np.testing.assert_allclose(found, ((concordant + tied / 2) / comparable, comparable, concordant, tied))


def test_pinned_rossi():
    table = load_rossi()
    fitted = CoxPHFitter().fit(table, "week", "arrest")
    score = fitted.predict_partial_hazard(table).to_numpy()
    found = c_harrell(score, duration=table["week"].to_numpy(), event=table["arrest"].to_numpy(bool))
    assert found.c == pytest.approx(0.6403292471, abs=5e-11)
    assert found.c == fitted.concordance_index_


def test_pinned_whas500():
    sample = whas500()
    harrell = c_harrell(sample.prediction, duration=sample.duration, event=sample.event)
    assert harrell.c == pytest.approx(0.7697907, abs=5e-8)
    assert (harrell.concordant, harrell.comparable - harrell.concordant, harrell.tied) == (57849, 17300, 0)
    censoring = censoring_curve(sample.duration, sample.event)
    uno = c_uno(sample.prediction, duration=sample.duration, event=sample.event, censoring=censoring)
    assert uno.c == pytest.approx(0.7929275009, abs=5e-11)


@pytest.mark.parametrize(("subjects", "longest"), [(2, 3), (3, 3), (9, 4), (64, 12), (65, 12), (700, 30)])
def test_harrell_agrees_with_the_libraries(subjects, longest):
    sample = random_follow_up(np.random.default_rng(subjects), subjects=subjects, longest=longest)
    found = c_harrell(sample.prediction, duration=sample.duration, event=sample.event)
    c, concordant, discordant, tied, _ = concordance_index_censored(sample.event, sample.duration, sample.prediction)
    assert found == (pytest.approx(c, abs=1e-14), concordant + discordant + tied, concordant, tied)
    assert found.c == pytest.approx(concordance_index(sample.duration, -sample.prediction, sample.event), abs=1e-14)


@pytest.mark.parametrize("tau", [None, 5, 11.5])
@pytest.mark.parametrize("subjects", [3, 9, 64, 700])
def test_uno_agrees_with_scikit_survival(subjects, tau):
    generator = np.random.default_rng(subjects)
    train, test = (random_follow_up(generator, subjects=size) for size in (300, subjects))
    found = c_uno(
        test.prediction,
        duration=test.duration,
        event=test.event,
        censoring=censoring_curve(train.duration, train.event),
        tau=tau,
    )
    theirs = concordance_index_ipcw(train.structured, test.structured, test.prediction, tau=tau)
    assert found.c == pytest.approx(theirs[0], abs=1e-13)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 20), st.integers(2, 6), st.integers(1, 6))
def test_equals_counting_pair_by_pair(seed, subjects, longest, scores):
    sample = random_follow_up(np.random.default_rng(seed), subjects=subjects, longest=longest, scores=scores)
    found = c_harrell(sample.prediction, duration=sample.duration, event=sample.event)
    assert found[1:] == pair_by_pair(sample.prediction, sample.duration, sample.event)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_order_of_subjects_and_scale_of_scores_change_nothing(seed, subjects):
    generator = np.random.default_rng(seed)
    sample = random_follow_up(generator, subjects=subjects)
    order = generator.permutation(subjects)
    censoring = censoring_curve(sample.duration, sample.event)
    for measure, options in ((c_harrell, {}), (c_uno, {"censoring": censoring, "tau": 9})):
        found = measure(sample.prediction, duration=sample.duration, event=sample.event, **options)
        shuffled = measure(
            np.exp(sample.prediction[order]), duration=sample.duration[order], event=sample.event[order], **options
        )
        np.testing.assert_allclose(shuffled, found, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_negated_scores_without_ties_give_one_minus_c(seed, subjects):
    generator = np.random.default_rng(seed)
    sample = random_follow_up(generator, subjects=subjects)
    score = generator.permutation(subjects)
    forwards, backwards = (c_harrell(s, duration=sample.duration, event=sample.event).c for s in (score, -score))
    assert forwards + backwards == pytest.approx(1)


def test_without_censoring_uno_is_harrell():
    generator = np.random.default_rng(3)
    duration, event, score = generator.integers(1, 50, 200), np.ones(200, dtype=bool), generator.random(200)
    uno = c_uno(score, duration=duration, event=event, censoring=censoring_curve(duration, event))
    assert uno == c_harrell(score, duration=duration, event=event)


@pytest.mark.parametrize(
    ("case", "score", "duration", "event", "message"),
    [
        ("nobody has the event", [1, 2], [1, 2], [0, 0], "at least one event is needed; all 2 subjects are censored"),
        ("nobody outlives an event", [1, 2], [1, 2], [0, 1], "at least one comparable pair .* any of 1 events"),
        ("all events at once", [1, 2], [2, 2], [1, 1], "no subject is known to outlive any of 2 events"),
        ("a score is NaN", [1, np.nan], [1, 2], [1, 0], "score must be finite; 1 of 2 values"),
        ("too few scores", [1], [1, 2], [1, 0], "one row per subject; found 1 for 2 subjects"),
        ("too few events", [1, 2], [1, 2], [1], "one entry per subject; found 2 and 1"),
        ("negative time", [1, 2], [-1, 2], [1, 0], "duration must be >= 0; 1 of 2"),
        ("empty", [], [], [], "at least one subject is needed"),
    ],
)
def test_impossible_input_is_refused(case, score, duration, event, message):
    arrays = {"duration": np.array(duration, dtype=float), "event": np.array(event, dtype=bool)}
    censoring = censoring_curve(np.array([1, 9]), np.array([False, True]))
    # Unwrapped, because in the tests the checker of shapes would raise first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(c_harrell)(np.array(score, dtype=float), **arrays)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(c_uno)(np.array(score, dtype=float), **arrays, censoring=censoring)


def test_uno_refuses_anchors_that_cannot_be_weighted():
    score, duration, event = np.array([3, 2, 1]), np.array([1, 4, 6]), np.array([True, True, False])
    falls_to_zero = censoring_curve(np.array([2, 4]), np.array([False, False]))
    with pytest.raises(ValueError, match=r"is 0 at 1 of 2. Set tau to 4 or less"):
        c_uno(score, duration=duration, event=event, censoring=falls_to_zero)
    assert c_uno(score, duration=duration, event=event, censoring=falls_to_zero, tau=4).c == 1
    ends_early = censoring_curve(np.array([2, 3]), np.array([False, True]))
    with pytest.raises(ValueError, match=r"known until 3, .* 1 of 2 times are later"):
        c_uno(score, duration=duration, event=event, censoring=ends_early)
    with pytest.raises(ValueError, match="at least one event before tau = 1 is needed; the first is at 1"):
        c_uno(score, duration=duration, event=event, censoring=ends_early, tau=1)


def test_several_scores_at_once_count_the_pairs_of_each():
    generator = np.random.default_rng(5)
    duration, event = generator.integers(1, 9, 60), generator.random(60) < 0.6
    scores = generator.integers(0, 7, (60, 4)).astype(float)
    together = count_pairs(scores, duration=duration, event=event)
    for column in range(4):
        alone = c_harrell(scores[:, column], duration=duration, event=event)
        assert together.lower[:, column].sum() == alone.concordant
        assert together.equal[:, column].sum() == alone.tied
        assert together.comparable.sum() == alone.comparable
