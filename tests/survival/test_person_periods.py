"""Person-periods of rows with exposures, and the weighted pooled logistic regression on them."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from survlstm.survival.pooled_logistic import LabelledRows, fit_pooled_logistic, person_periods


def intercept_only(periods):
    return LabelledRows(csr_array((len(periods.event), 1)), periods.event, periods.weight)


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
    fitted = fit_pooled_logistic(*2 * [intercept_only(periods)], widths=[1])
    np.testing.assert_allclose(fitted.hazard(csr_array((1, 1))), [1 / 3.5], rtol=1e-4)


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
    train, val = slice(None, 1000), slice(1000, None)
    by_weight = fit_pooled_logistic(
        *(LabelledRows(csr_array(design[part]), event[part], weight[part].astype(float)) for part in (train, val)),
        widths=[2],
    )
    by_row = fit_pooled_logistic(
        *(
            LabelledRows(csr_array(design[part].repeat(weight[part], axis=0)), event[part].repeat(weight[part]))
            for part in (train, val)
        ),
        widths=[2],
    )
    np.testing.assert_allclose(by_weight.coefficient, by_row.coefficient, atol=1e-3)
    assert by_weight.intercept == pytest.approx(by_row.intercept, abs=1e-3)


def test_weights_of_one_change_no_bit():
    generator = np.random.default_rng(1)
    design, event = csr_array(generator.normal(size=(300, 3))), generator.random(300) < 0.3
    plain, ones = (fit_pooled_logistic(*2 * [LabelledRows(design, event, w)], widths=[3]) for w in (None, np.ones(300)))
    np.testing.assert_array_equal(plain.coefficient, ones.coefficient)


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
