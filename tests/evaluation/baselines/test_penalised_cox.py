"""Penalised Cox regression: agreement with scikit-survival and lifelines, invariants, and the penalty."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy.sparse import csr_array
from sksurv.datasets import load_gbsg2
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.util import Surv

from survlstm.evaluation.baselines import penalised_cox
from survlstm.evaluation.baselines.penalised_cox import (
    PENALTIES,
    CoxRows,
    choose_cox,
    fit_cox,
    partial_log_likelihood,
)
from survlstm.training.regression import newton

DAYS = np.array([200.0, 800.0, 2000.0])


@pytest.fixture(scope="module")
def gbsg2():
    """686 women with breast cancer, 299 recurrences, tied durations."""
    covariates, outcome = load_gbsg2()
    numbers = pd.get_dummies(covariates, drop_first=True).to_numpy(float)
    numbers = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    return CoxRows(numbers, outcome["time"].astype(float), outcome["cens"].astype(bool))


def part(rows, chosen):
    return CoxRows(*(values[chosen] for values in rows))


@pytest.mark.parametrize("penalty", [1.0, 0.03, 1e-6])
def test_it_is_the_ridge_regression_of_scikit_survival(gbsg2, penalty):
    """scikit-survival penalises the sum over events, this function their mean: its penalty is ours times the events."""
    assert len(np.unique(gbsg2.duration[gbsg2.event])) < gbsg2.event.sum()
    found = fit_cox(gbsg2, penalty=penalty)
    theirs = CoxPHSurvivalAnalysis(alpha=penalty * gbsg2.event.sum(), ties="breslow", tol=1e-12)
    theirs.fit(gbsg2.design, Surv.from_arrays(gbsg2.event, gbsg2.duration))
    np.testing.assert_allclose(found.coefficient, theirs.coef_, atol=1e-7)
    expected = [curve(DAYS) for curve in theirs.predict_survival_function(gbsg2.design)]
    np.testing.assert_allclose(found.survival(gbsg2.design, DAYS), expected, atol=1e-7)


def test_without_ties_it_is_the_regression_of_lifelines(gbsg2):
    """Without ties Efron's likelihood, that of lifelines, is Breslow's. Its penalty counts once for each row."""
    rng = np.random.default_rng(1)
    design = gbsg2.design / gbsg2.design.std(axis=0, ddof=1)
    rows = CoxRows(design, gbsg2.duration + rng.uniform(0, 0.5, len(design)), gbsg2.event)
    frame = pd.DataFrame(design).assign(duration=rows.duration, event=rows.event)
    theirs = CoxPHFitter(penalizer=0.05).fit(frame, "duration", "event", fit_options={"precision": 1e-10})
    found = fit_cox(rows, penalty=0.05 * len(design) / rows.event.sum())
    np.testing.assert_allclose(found.coefficient, theirs.params_, atol=1e-6)
    # Between two durations lifelines interpolates.
    at_events = np.sort(rows.duration[rows.event])[::60]
    expected = theirs.predict_survival_function(pd.DataFrame(design), times=at_events).T
    np.testing.assert_allclose(found.survival(design, at_events), expected, atol=1e-6)


def test_the_order_of_rows_changes_nothing(gbsg2):
    expected = fit_cox(gbsg2, penalty=0.1)
    shuffled = part(gbsg2, np.random.default_rng(2).permutation(len(gbsg2.event)))
    found = fit_cox(shuffled, penalty=0.1)
    np.testing.assert_allclose(found.coefficient, expected.coefficient, atol=1e-7)
    np.testing.assert_allclose(found.cumulative_hazard, expected.cumulative_hazard, rtol=1e-6)


def test_a_sparse_design_gives_the_fit_of_the_dense_one(gbsg2):
    rng = np.random.default_rng(3)
    dense = gbsg2.design * (rng.random(gbsg2.design.shape) < 0.3)
    halves = [part(gbsg2._replace(design=dense), slice(first, None, 2)) for first in (0, 1)]
    expected = choose_cox(*halves)
    found = choose_cox(*(half._replace(design=csr_array(half.design)) for half in halves))
    assert (found.penalty, found.l1_share) == (expected.penalty, expected.l1_share)
    np.testing.assert_allclose(found.coefficient, expected.coefficient, atol=1e-10)
    np.testing.assert_allclose(found.survival(csr_array(dense), DAYS), expected.survival(dense, DAYS), atol=1e-10)


def test_gradient_and_hessian_are_the_derivatives(gbsg2):
    likelihood, rng = penalised_cox._PartialLikelihood(gbsg2), np.random.default_rng(4)
    at, along = rng.normal(0, 0.3, (2, gbsg2.design.shape[1]))
    behind, here, ahead = (likelihood.expand(at + shift * along, 0.2) for shift in (-1e-5, 0, 1e-5))
    assert here.gradient @ along == pytest.approx((ahead.value - behind.value) / 2e-5, rel=1e-6)
    np.testing.assert_allclose(here.times_hessian(along), (ahead.gradient - behind.gradient) / 2e-5, rtol=1e-6)


def test_worked_table_of_a_likelihood_and_a_baseline_hazard():
    """Two events are tied at day 2; at day 3 one is at risk, and the row censored at day 1 is in no risk set."""
    rows = CoxRows(np.zeros((4, 1)), np.array([1.0, 2, 2, 3]), np.array([False, True, True, True]))
    assert partial_log_likelihood(rows, np.zeros(1)) == pytest.approx(-2 * np.log(3))
    fitted = fit_cox(rows, penalty=1.0)
    assert fitted.coefficient.tolist() == [0]
    assert fitted.event_time.tolist() == [2, 3]
    np.testing.assert_allclose(fitted.cumulative_hazard, [2 / 3, 2 / 3 + 1])
    np.testing.assert_allclose(
        fitted.survival(np.zeros((1, 1)), np.array([1.9, 2.0, 9.0])), [[1, np.exp(-2 / 3), np.exp(-5 / 3)]]
    )


def test_the_start_does_not_change_the_fit(gbsg2):
    far = np.full(gbsg2.design.shape[1], -20.0)
    found, expected = fit_cox(gbsg2, penalty=0.01, start=far), fit_cox(gbsg2, penalty=0.01)
    np.testing.assert_allclose(found.coefficient, expected.coefficient, atol=1e-5)


def test_separated_risks_and_huge_columns_converge():
    design = np.array([[1e4], [-1e4], [2e4], [0.0]])
    rows = CoxRows(design, np.array([1.0, 4, 2, 3]), np.array([True, False, True, True]))
    fitted = fit_cox(rows, penalty=1e-4)
    survival = fitted.survival(np.array([[-1e9], [0.0], [1e9]]), np.array([0.5, 2.5]))
    assert survival[:, 0].tolist() == [1, 1, 1]
    assert survival[[0, 2], 1].tolist() == [1, 0]


def test_the_penalty_has_the_highest_cross_validated_likelihood(gbsg2):
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(len(gbsg2.event), 60))
    rows = gbsg2._replace(design=np.column_stack([gbsg2.design, noise]))
    train, val = (part(rows, slice(first, None, 2)) for first in (0, 1))
    likelihood = {}
    for penalty in PENALTIES:
        coefficient = fit_cox(train, penalty=penalty).coefficient
        likelihood[penalty] = partial_log_likelihood(rows, coefficient) - partial_log_likelihood(train, coefficient)
    best = max(likelihood, key=likelihood.get)
    assert PENALTIES[0] > best > PENALTIES[-1]
    chosen = choose_cox(train, val, l1_shares=(0.0,))
    assert chosen.penalty == best
    np.testing.assert_allclose(chosen.coefficient, fit_cox(train, penalty=best).coefficient, atol=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_it_is_the_elastic_net_of_scikit_survival(gbsg2, share):
    """scikit-survival's likelihood is a mean over rows, here over events. It has Breslow's ties as well."""
    per_row = np.array([0.05, 0.01, 0.001])
    theirs = CoxnetSurvivalAnalysis(l1_ratio=share, alphas=per_row, tol=1e-12, max_iter=10**6)
    theirs.fit(gbsg2.design, Surv.from_arrays(gbsg2.event, gbsg2.duration))
    for penalty, expected in zip(per_row * len(gbsg2.event) / gbsg2.event.sum(), theirs.coef_.T, strict=True):
        found = fit_cox(gbsg2, penalty=penalty, l1_share=share)
        np.testing.assert_allclose(found.coefficient, expected, atol=1e-5)
        np.testing.assert_array_equal(found.coefficient == 0, expected == 0)
    assert (theirs.coef_[:, 0] == 0).any()


def test_noise_is_left_out_where_few_of_many_columns_matter():
    rng = np.random.default_rng(6)
    design = rng.normal(size=(900, 150))
    duration = rng.exponential(np.exp(-design[:, :2] @ np.array([1.0, -1.0])))
    rows = CoxRows(design, duration, rng.random(900) < 0.6)
    train, val, test = (part(rows, slice(first, first + 300)) for first in (0, 300, 600))
    chosen = choose_cox(train, val)
    assert chosen.l1_share == 0.5
    assert (chosen.coefficient[:2] != 0).all()
    assert (chosen.coefficient[2:] == 0).mean() > 0.45
    of_test = [
        partial_log_likelihood(test, one.coefficient) for one in (chosen, choose_cox(train, val, l1_shares=(0.0,)))
    ]
    assert of_test[0] > of_test[1] + 5


def test_where_every_column_matters_a_little_the_ridge_is_chosen():
    rng = np.random.default_rng(7)
    design = rng.normal(size=(900, 150))
    duration = rng.exponential(np.exp(-design @ rng.normal(0, 0.15, 150)))
    rows = CoxRows(design, duration, rng.random(900) < 0.6)
    train, val = (part(rows, slice(first, first + 450)) for first in (0, 450))
    assert choose_cox(train, val).l1_share == 0


def test_a_start_changes_no_elastic_net(gbsg2):
    expected = fit_cox(gbsg2, penalty=0.05, l1_share=0.5)
    start = np.linspace(-1, 1, gbsg2.design.shape[1])
    found = fit_cox(gbsg2, penalty=0.05, l1_share=0.5, start=start)
    np.testing.assert_allclose(found.coefficient, expected.coefficient, atol=1e-5)


def test_an_elastic_net_that_does_not_converge_is_refused(gbsg2, monkeypatch):
    monkeypatch.setattr(penalised_cox, "NET_ITERATIONS", 1)
    with pytest.raises(ValueError, match="elastic net must converge within 1 iterations"):
        fit_cox(gbsg2, penalty=0.001, l1_share=0.5)


def test_what_cannot_be_fitted_is_refused(gbsg2):
    with pytest.raises(ValueError, match="all 686 subjects are censored"):
        fit_cox(gbsg2._replace(event=np.zeros(686, dtype=bool)), penalty=1.0)
    with pytest.raises(ValueError, match="one row per duration; found 685 and 686"):
        fit_cox(gbsg2._replace(design=gbsg2.design[1:]), penalty=1.0)
    with pytest.raises(ValueError, match="design must be finite; 686 values"):
        fit_cox(gbsg2._replace(design=np.column_stack([gbsg2.design, np.full(686, np.nan)])), penalty=1.0)
    with pytest.raises(ValueError, match="penalty must be above 0; found 0"):
        fit_cox(gbsg2, penalty=0.0)
    with pytest.raises(ValueError, match="at least one penalty"):
        choose_cox(gbsg2, gbsg2, penalties=())


def test_a_fit_that_does_not_converge_is_refused(gbsg2, monkeypatch):
    monkeypatch.setattr(newton, "NEWTON_STEPS", 1)
    with pytest.raises(ValueError, match="converge within 1 Newton steps"):
        fit_cox(gbsg2, penalty=0.01)
