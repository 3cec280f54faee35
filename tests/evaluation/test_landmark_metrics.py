"""figures_of against scikit-survival, and against our own figures one by one."""

import numpy as np
import pytest
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw, cumulative_dynamic_auc
from sksurv.util import Surv

from survlstm.evaluation.landmark_metrics import LandmarkSample, landmark_metrics
from survlstm.survival.brier import brier, integrated_brier, integrated_nbll, nbll
from survlstm.survival.kaplan_meier import censoring_curve

GRID = np.arange(1.0, 9.0)
SHOWN = np.array([2.0, 5.0, 8.0])


@pytest.fixture(scope="module")
def sample():
    generator = np.random.default_rng(1)
    duration = generator.integers(1, 15, 250).astype(float)
    # Censored to the last: G stays above 0 at every event.
    event = (generator.random(250) < 0.6) & (duration < 14)
    # Rounded, so that predictions are tied.
    hazard = np.round(generator.uniform(0.02, 0.4, (3, 250)), 2)
    return LandmarkSample((1 - hazard)[:, :, None] ** GRID, duration, event)


@pytest.fixture(scope="module")
def censoring():
    generator = np.random.default_rng(2)
    return censoring_curve(generator.integers(1, 15, 400).astype(float), generator.random(400) < 0.6)


def test_concordance_and_auc_agree_with_scikit_survival(sample):
    own = censoring_curve(sample.duration, sample.event)
    found = landmark_metrics(sample, censoring=own, grid=GRID, shown=SHOWN)
    outcome = Surv.from_arrays(sample.event, sample.duration)
    for model in range(3):
        for place, horizon in enumerate(SHOWN):
            risk = 1 - sample.survival[model, :, int(horizon) - 1]
            # Harrell's: the follow-up cut at the horizon. Uno's: tau behind it.
            until = sample.event & (sample.duration <= horizon)
            harrell = concordance_index_censored(until, np.minimum(sample.duration, horizon), risk)[0]
            uno = concordance_index_ipcw(outcome, outcome, risk, tau=horizon + 0.5)[0]
            auc = cumulative_dynamic_auc(outcome, outcome, risk, [horizon])[0][0]
            assert found.c_harrell[model, place] == pytest.approx(harrell, abs=1e-12)
            assert found.c_uno[model, place] == pytest.approx(uno, abs=1e-12)
            assert found.auc[model, place] == pytest.approx(auc, abs=1e-12)


def test_scores_are_those_of_the_survival_statistics(sample, censoring):
    found = landmark_metrics(sample, censoring=censoring, grid=GRID, shown=SHOWN)
    labels = {"duration": sample.duration, "event": sample.event, "censoring": censoring}
    for model, curves in enumerate(sample.survival):
        assert found.brier[model] == pytest.approx(brier(curves[:, [1, 4, 7]], horizon=SHOWN, **labels))
        assert found.nbll[model] == pytest.approx(nbll(curves[:, [1, 4, 7]], horizon=SHOWN, **labels))
        assert found.ibs[model] == pytest.approx(integrated_brier(curves, horizon=GRID, **labels))
        assert found.inbll[model] == pytest.approx(integrated_nbll(curves, horizon=GRID, **labels))


def test_what_no_data_can_give_is_nan(sample, censoring):
    early = LandmarkSample(sample.survival[:, :4], np.array([2.0, 3.0, 6.0, 6.5]), np.array([True, False, True, False]))
    found = landmark_metrics(early, censoring=censoring, grid=GRID, shown=SHOWN)
    # Nobody is followed behind 6.5, so that 8 has no figure and no integral; by 2 and 5 there is one event.
    for figure in found[:5]:
        assert np.isnan(figure[:, 2]).all()
        assert np.isfinite(figure[:, :2]).all()
    assert np.isnan(found.ibs).all()
    nobody = LandmarkSample(early.survival, early.duration, np.zeros(4, dtype=bool))
    without = landmark_metrics(nobody, censoring=censoring, grid=GRID, shown=SHOWN)
    assert np.isnan(without.c_harrell).all()
    assert np.isfinite(without.brier[:, :2]).all()
