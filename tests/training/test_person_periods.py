"""Person-periods of rows with exposures, and the weighted pooled logistic regression on them."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from survlstm.training.regression import pooled_logistic
from survlstm.training.regression.pooled_logistic import (
    LabelledRows,
    PersonPeriods,
    choose_pooled_logistic,
    person_periods,
)


def periods_of(event, weight=None):
    """One period for each row, all of one interval."""
    row = np.arange(len(event))
    return PersonPeriods(row, np.zeros_like(row), event, np.ones(len(row)) if weight is None else weight)


def test_worked_table_of_four_rows_in_one_interval():
    """One event, two survive, one is censored halfway: the hazard is one event in 3.5 rows."""
    periods = person_periods(
        np.array([0, 0, 0, -1]),
        np.array([True, False, False, False]),
        exposure=np.array([0, 0, 0, 0.5]),
        intervals=1,
    )
    assert periods.row.tolist() == [0, 1, 2, 3]
    assert periods.interval.tolist() == [0, 0, 0, 0]
    assert periods.event.tolist() == [True, False, False, False]
    assert periods.weight.tolist() == [1, 1, 1, 0.5]
    rows = LabelledRows(csr_array((4, 1)), periods)
    fitted = choose_pooled_logistic(rows, rows, intervals=1)
    np.testing.assert_allclose(fitted.hazard(csr_array((1, 1))), [[1 / 3.5]], rtol=1e-4)


def test_worked_table_of_several_intervals():
    """The rows: event in 1; censored in 2 after a quarter; censored at once; in 1 at its end; beyond the intervals."""
    periods = person_periods(
        np.array([1, 1, -1, 0, 2]),
        np.array([True, False, False, False, False]),
        exposure=np.array([0, 0.25, 0, 1, 0.5]),
        intervals=3,
    )
    assert periods.row.tolist() == [0, 0, 1, 1, 1, 3, 3, 4, 4, 4]
    assert periods.interval.tolist() == [0, 1, 0, 1, 2, 0, 1, 0, 1, 2]
    assert np.flatnonzero(periods.event).tolist() == [1]
    assert periods.weight.tolist() == [1, 1, 1, 1, 0.25, 1, 1, 1, 1, 1]


def test_an_event_after_the_last_interval_is_survival():
    both = {"exposure": np.zeros(1), "intervals": 2}
    periods = person_periods(np.array([5]), np.array([True]), **both)
    assert periods.interval.tolist() == [0, 1]
    assert not periods.event.any()


def test_whole_weights_are_repeated_rows():
    generator = np.random.default_rng(0)
    design, weight = generator.normal(size=(1500, 2)), generator.integers(1, 4, 1500)
    event = generator.random(1500) < 1 / (1 + np.exp(2 - design[:, 0]))
    parts = slice(None, 1000), slice(1000, None)
    by_weight = choose_pooled_logistic(
        *(LabelledRows(csr_array(design[part]), periods_of(event[part], weight[part].astype(float))) for part in parts),
        intervals=1,
    )
    by_row = choose_pooled_logistic(
        *(
            LabelledRows(
                csr_array(design[part].repeat(weight[part], axis=0)), periods_of(event[part].repeat(weight[part]))
            )
            for part in parts
        ),
        intervals=1,
    )
    assert by_weight.strength == by_row.strength
    assert by_weight.val_loss == pytest.approx(by_row.val_loss, abs=1e-6)
    np.testing.assert_allclose(by_weight.coefficient, by_row.coefficient, atol=1e-4)
    np.testing.assert_allclose(by_weight.bias, by_row.bias, atol=1e-4)


def test_pooled_logistic_regression_recovers_the_hazard_that_drew_the_events():
    generator = np.random.default_rng(0)
    design = generator.normal(size=(40000, 3))
    truth, intercept = np.array([0.8, -0.5, 0.0]), -2.5
    hazard = 1 / (1 + np.exp(-(design @ truth + intercept)))
    event = generator.random(40000) < hazard
    parts = slice(0, 30000), slice(30000, None)
    rows = [LabelledRows(csr_array(design[part]), periods_of(event[part])) for part in parts]
    fitted = choose_pooled_logistic(*rows, intervals=1)
    np.testing.assert_allclose(fitted.coefficient, truth, atol=0.06)
    np.testing.assert_allclose(fitted.bias, [intercept], atol=0.06)
    np.testing.assert_allclose(fitted.hazard(csr_array(design))[:, 0], hazard, atol=0.05)


def test_the_search_goes_on_after_one_penalty_without_a_lower_loss(monkeypatch):
    """The third of four losses is the smallest, and the second above the first; after two more it ends."""
    generator = np.random.default_rng(1)
    event = generator.random(100) < 0.3
    rows = LabelledRows(csr_array(generator.normal(size=(100, 2))), periods_of(event))
    losses, fits = iter([0.5, 0.6, 0.4, 0.45, 0.41, 0.1]), []
    likelihood = pooled_logistic._Likelihood
    monkeypatch.setattr(likelihood, "minimise", lambda _, start, penalty: fits.append(penalty) or start)
    monkeypatch.setattr(likelihood, "loss", lambda *_: next(losses))
    chosen = choose_pooled_logistic(rows, rows, intervals=1)
    assert (chosen.strength, chosen.val_loss) == (pooled_logistic.STRENGTHS[2], 0.4)
    np.testing.assert_allclose(fits, [[1 / strength] * 2 for strength in pooled_logistic.STRENGTHS[:5]])


def test_an_interval_without_rows_keeps_its_bias_and_disturbs_no_other():
    event = np.array([True, False, False, True, False, False])
    row = np.arange(6)
    rows = LabelledRows(csr_array((6, 1)), PersonPeriods(row, 2 * (row // 3), event, np.ones(6)))
    hazard = choose_pooled_logistic(rows, rows, intervals=3).hazard(csr_array((1, 1)))
    np.testing.assert_allclose(hazard[0, [0, 2]], 1 / 3, rtol=1e-4)
    assert 0 < hazard[0, 1] < 1


@pytest.mark.parametrize("event", [np.zeros(5, dtype=bool), np.ones(5, dtype=bool)])
def test_events_alone_and_survivors_alone_are_refused(event):
    rows = LabelledRows(csr_array((5, 1)), periods_of(event))
    with pytest.raises(ValueError, match=f"with and without the event; found {event.sum()} events in 5 steps"):
        choose_pooled_logistic(rows, rows, intervals=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"exposure": np.array([0.0, np.nan])}, "exposure must be within 0..1; 1 of 2"),
        ({"exposure": np.array([0.5, 0.0])}, "exposure must be 0 for a subject with the event"),
        ({"step": np.array([-1, 1])}, "event must be in an interval; 1 are in interval -1"),
    ],
)
def test_invalid_rows_are_refused(given, message):
    valid = {"step": np.array([0, 1]), "event": np.array([True, False]), "exposure": np.zeros(2)}
    with pytest.raises(ValueError, match=message):
        person_periods(**valid | given, intervals=2)
