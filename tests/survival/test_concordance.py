"""concordance_td: small cases by name, agreement with pycox without ties, and a count pair by pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycox.evaluation.concordance import concordance_td as pycox_concordance

from survlstm.survival.concordance import concordance_td, weighted_pairs


def pair_by_pair(survival, step, event):
    """Count pairs as docs/conventions.md defines them, one at a time."""
    comparable = concordant = tied = 0
    for i in np.flatnonzero(event):
        for j in range(len(step)):
            if step[j] > step[i] or (step[j] == step[i] and not event[j]):
                comparable += 1
                concordant += survival[i, step[i]] < survival[j, step[i]]
                tied += survival[i, step[i]] == survival[j, step[i]]
    return comparable, concordant, tied


@pytest.mark.parametrize(
    ("case", "survival", "step", "event", "expected"),
    [
        ("right order", [[0.2, 0.1], [0.9, 0.8]], [0, 1], [1, 0], 1.0),
        ("wrong order", [[0.9, 0.8], [0.2, 0.1]], [0, 1], [1, 0], 0.0),
        ("prediction tie", [[0.5, 0.5], [0.5, 0.5]], [0, 1], [1, 0], 0.5),
        ("event before censoring in the same step", [[0.2], [0.9]], [0, 0], [1, 0], 1.0),
        ("two events in one step", [[0.2], [0.9]], [0, 0], [1, 1], np.nan),
        ("nobody has the event", [[0.2], [0.9]], [0, 0], [0, 0], np.nan),
        ("censored earlier than the event", [[0.2, 0.1], [0.9, 0.8]], [1, 0], [1, 0], np.nan),
    ],
)
def test_small_cases(case, survival, step, event, expected):
    found = concordance_td(np.array(survival), step=np.array(step), event=np.array(event, dtype=bool))
    np.testing.assert_equal(found.c_td, expected, err_msg=case)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_equals_counting_pair_by_pair(data):
    subjects, steps = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5))
    generator = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    # Few distinct hazards, so that ties are common.
    survival = np.cumprod(1 - generator.choice([0.1, 0.2, 0.4], size=(subjects, steps)), axis=1)
    step, event = generator.integers(0, steps, subjects), generator.random(subjects) < 0.6
    found = concordance_td(survival, step=step, event=event)
    assert (found.comparable, found.concordant, found.tied) == pair_by_pair(survival, step, event)


def test_agrees_with_pycox_where_no_prediction_is_tied():
    generator = np.random.default_rng(1)
    subjects, steps = 400, 20
    survival = np.cumprod(1 - generator.uniform(0.01, 0.3, size=(subjects, steps)), axis=1)
    step, event = generator.integers(0, steps, subjects), generator.random(subjects) < 0.5
    theirs = pycox_concordance(step, event, survival.T, step, method="antolini")
    assert concordance_td(survival, step=step, event=event).c_td == pytest.approx(theirs, abs=1e-12)


def test_survival_after_a_subjects_own_step_is_not_read():
    generator = np.random.default_rng(2)
    survival = generator.random((50, 8))
    step, event = generator.integers(0, 8, 50), generator.random(50) < 0.5
    blanked = np.where(np.arange(8) <= step[:, None], survival, np.nan)
    assert concordance_td(blanked, step=step, event=event) == concordance_td(survival, step=step, event=event)


def test_counts_of_a_resample_as_weights_give_the_concordance_of_its_rows():
    generator = np.random.default_rng(8)
    step, event = generator.integers(0, 9, 80), generator.random(80) < 0.6
    survival = np.round(np.cumprod(1 - generator.uniform(0.01, 0.4, (80, 9)), axis=1), 2)
    rows = generator.integers(80, size=(25, 80))
    weight = np.array([np.bincount(chosen, minlength=80) for chosen in rows], dtype=float)
    together = weighted_pairs(survival, step=step, event=event, weight=weight)
    for place, chosen in enumerate(rows):
        alone = concordance_td(survival[chosen], step=step[chosen], event=event[chosen])
        assert together.c_td[place] == pytest.approx(alone.c_td, abs=1e-14)
        assert (together.comparable[place], together.tied[place]) == (alone.comparable, alone.tied)
