"""Baselines that are fitted at a landmark."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch

from survlstm.data.split import Split
from survlstm.evaluation.baselines import pycox_models
from survlstm.evaluation.baselines.landmark import LANDMARK_BASELINES, BaselineUnavailable
from survlstm.evaluation.baselines.pycox_models import (
    DesignMatrices,
    GridLabels,
    deephit_survival,
)
from survlstm.evaluation.landmarks import make_landmarks
from survlstm.survival.follow_up import check_probability
from survlstm.survival.loss import nll_per_subject
from survlstm.survival.rank_concordance import c_harrell
from survlstm.survival.steps import at_risk_mask, event_mask
from tests.evaluation.baselines.coded_cohorts import cohort, with_other_test_subjects

EVERY_BASELINE = pytest.mark.parametrize("name", LANDMARK_BASELINES)
ON_A_GRID = pytest.mark.parametrize("name", [name for name in LANDMARK_BASELINES if name != "cox"])


def landmark_in(tensors, *, visit=1, horizons=(1, 5)):
    return make_landmarks(tensors, Split.TEST, visits=[visit], days=[], horizons=horizons)[0]


def fit(name, tensors, landmark, seed=0):
    torch.use_deterministic_algorithms(True)
    try:
        return LANDMARK_BASELINES[name][1](landmark, tensors, seed)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pycox_models, "EPOCHS", 30)
        yield


@pytest.fixture(scope="module")
def drawn():
    return cohort(500)


@pytest.fixture(scope="module")
def predicted(drawn, quick):
    tensors, _ = drawn
    return {name: fit(name, tensors, landmark_in(tensors)) for name in LANDMARK_BASELINES}


@EVERY_BASELINE
def test_it_gives_probabilities_that_fall_with_the_horizon(name, drawn, predicted):
    landmark = landmark_in(drawn[0])
    assert predicted[name].shape == (len(landmark.test.subject), 5)
    check_probability(predicted[name], subjects=len(landmark.test.subject))
    assert (np.diff(predicted[name], axis=1) <= 0).all()


@EVERY_BASELINE
def test_who_is_at_higher_risk_survives_less(name, drawn, predicted):
    tensors, hazard = drawn
    test = landmark_in(tensors).test
    assert c_harrell(1 - predicted[name][:, -1], duration=test.duration, event=test.event).c > 0.62
    is_high = hazard[test.subject] == hazard.max()
    assert predicted[name][is_high, -1].mean() < predicted[name][~is_high, -1].mean() - 0.1
    true = (1 - hazard[test.subject])[:, None] ** np.arange(1, 6)
    np.testing.assert_allclose(predicted[name].mean(axis=0), true.mean(axis=0), atol=0.08)


@EVERY_BASELINE
def test_on_the_landmark_clock_the_unit_is_days(name):
    tensors, _ = cohort(500, clock="landmark")
    landmark = landmark_in(tensors, horizons=(1, 5, 10))
    assert landmark.unit == "days"
    survival = fit(name, tensors, landmark)
    assert survival.shape == (len(landmark.test.subject), 10)
    assert c_harrell(1 - survival[:, 4], duration=landmark.test.duration, event=landmark.test.event).c > 0.62


@EVERY_BASELINE
def test_one_seed_gives_one_answer_and_global_state_is_left_alone(name, drawn, predicted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    tensors, _ = drawn
    np.testing.assert_array_equal(fit(name, tensors, landmark_in(tensors)), predicted[name])
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert not list(tmp_path.iterdir())


@ON_A_GRID
def test_another_seed_is_another_network(name, drawn, predicted):
    tensors, _ = drawn
    assert not np.array_equal(fit(name, tensors, landmark_in(tensors), seed=1), predicted[name])


@EVERY_BASELINE
def test_other_test_subjects_change_no_prediction(name, drawn, predicted):
    tensors, _ = drawn
    test = landmark_in(tensors).test
    other = with_other_test_subjects(tensors, test.subject[::2])
    found = fit(name, other, landmark_in(other))
    np.testing.assert_allclose(found[1::2], predicted[name][1::2], atol=1e-6)
    assert not np.allclose(found[::2], predicted[name][::2], atol=1e-3)


@EVERY_BASELINE
@pytest.mark.parametrize("part", ["train", "val"])
def test_without_events_it_says_why_it_is_not_there(name, part, drawn):
    tensors, _ = drawn
    landmark = landmark_in(tensors)
    subjects = getattr(landmark, part)
    without = dataclasses.replace(landmark, **{part: subjects._replace(event=np.zeros_like(subjects.event))})
    with pytest.raises(BaselineUnavailable, match=f"found .*0 among {len(subjects.subject)}.* at risk"):
        fit(name, tensors, without)


@ON_A_GRID
def test_events_behind_the_grid_are_none(name, drawn):
    tensors, _ = drawn
    landmark = landmark_in(tensors)
    late = landmark.train._replace(step=np.full_like(landmark.train.step, 5))
    with pytest.raises(BaselineUnavailable, match=f"after the landmark within 5 steps; found 0 among {len(late.step)}"):
        fit(name, tensors, dataclasses.replace(landmark, train=late))


@EVERY_BASELINE
def test_a_handful_of_validation_subjects_and_one_horizon_are_enough(name, drawn):
    tensors, _ = drawn
    landmark = landmark_in(tensors, horizons=(1,))
    first = np.flatnonzero(landmark.val.event & (landmark.val.step == 0))[0]
    few = dataclasses.replace(landmark, val=type(landmark.val)(*(values[[first]] for values in landmark.val)))
    survival = fit(name, tensors, few)
    assert survival.shape[1] == 1
    check_probability(survival, subjects=len(landmark.test.subject))


def test_a_rare_event_never_lifts_survival_above_one(drawn):
    tensors, _ = drawn
    landmark = landmark_in(tensors, horizons=(12,))
    event = np.zeros_like(tensors.event)
    event[np.concatenate([landmark.train.subject[:2], landmark.val.subject[:1]])] = True
    rare = dataclasses.replace(tensors, event=event)
    for name in LANDMARK_BASELINES:
        survival = fit(name, rare, landmark_in(rare, horizons=(20,)))
        check_probability(survival, subjects=len(survival))
        assert (np.diff(survival, axis=1) <= 0).all()
        assert survival.mean() > 0.9


def test_pycox_counts_censored_in_a_step_as_having_survived_it():
    from pycox.models.loss import nll_logistic_hazard, nll_pmf

    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    step, event = torch.tensor([0, 2, 1, 2]), torch.tensor([False, False, True, True])
    ours = nll_per_subject(logits, at_risk=at_risk_mask(step, steps=3), event=event_mask(step, event, steps=3))
    torch.testing.assert_close(nll_logistic_hazard(logits, step, event.double(), "none"), ours)
    probability = torch.nn.functional.pad(logits, (0, 1)).softmax(dim=1)
    survival = 1 - probability.cumsum(dim=1)
    found = nll_pmf(logits, step, event.double(), "none")
    expected = [survival[0, 0], survival[1, 2], probability[2, 1], probability[3, 2]]
    torch.testing.assert_close(found, -torch.stack(expected).log(), atol=1e-5, rtol=0)


def test_deephit_survival_is_what_pycox_calls_so(drawn, monkeypatch):
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    monkeypatch.setattr(pycox_models, "_fit_network", lambda *_, **__: logits)
    labels = GridLabels(np.array([0, 1, 2]), np.array([True, False, False]), 3)
    survival = deephit_survival(DesignMatrices(*[np.zeros((3, 1), np.float32)] * 3), labels, labels, seed=0)
    pmf = torch.nn.functional.pad(logits, (0, 1)).softmax(dim=1)[:, :3]
    np.testing.assert_allclose(survival, 1 - pmf.cumsum(dim=1))


def test_no_batch_is_a_rest_of_one_subject():
    size = np.array([pycox_models._batch_size(subjects) for subjects in range(2, 10000)])
    assert (np.arange(2, 10000) % size != 1).all()
    assert size.max() < 70


def test_fits_share_one_signature():
    for title, baseline in LANDMARK_BASELINES.values():
        assert title
        assert list(inspect.signature(baseline).parameters) == ["landmark", "tensors", "seed"]
