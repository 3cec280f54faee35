"""What later predictions are read against: quantiles of the training risks, and a drift that validation shows."""

import numpy as np
import pytest

from survlstm.bundle.reference import cohort_summary
from survlstm.data.split import Split
from survlstm.training.prediction import predict
from tests.bundles import bundle_on
from tests.learning import CPU, batches_of, prepared_on


@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_the_training_subjects_themselves_stand_evenly_among_the_percentiles(clock):
    bundle, prepared = bundle_on(clock), prepared_on(clock)
    found = predict(bundle.model, batches_of(prepared), CPU)
    if clock == "visit":
        at_risk = np.isfinite(found.hazard)
        logit = np.log(found.hazard[at_risk]) - np.log1p(-found.hazard[at_risk])
        risk = 1 - np.prod(1 - bundle.drift.hazard(logit, steps=10), axis=1)
        weight = (at_risk / at_risk.sum(axis=1, keepdims=True))[at_risk]
    else:
        risk, weight = 1 - found.survival[:, -1], np.ones(len(found.subject))
    percentile = bundle.reference.percentile(risk)
    for share in (10, 25, 50, 75, 90):
        assert np.average(percentile <= share, weights=weight) == pytest.approx(share / 100, abs=0.015)
    assert np.average(percentile, weights=weight) == pytest.approx(50, abs=0.5)


def test_the_landmark_clock_needs_no_drift_and_counts_in_days():
    bundle = bundle_on("landmark")
    assert bundle.drift is None
    np.testing.assert_allclose(bundle.reference.grid, bundle.fitted.edge_days[1:])
    assert bundle.reference.grid[-1] == 365
    assert bundle.reference.horizons == [73.0, 365.0]


def test_the_visit_clock_counts_visits_up_to_the_longest_horizon():
    reference = bundle_on("visit").reference
    assert reference.grid == [float(step) for step in range(1, 11)]
    assert reference.horizons == [1.0, 5.0, 10.0]


def test_the_summary_shows_no_code_of_fewer_than_ten_subjects():
    prepared = prepared_on("visit")
    summary = cohort_summary(prepared, {"X/3": "three"})
    members = prepared.tensors.members(Split.TRAIN)
    assert summary["training"]["subjects"] == len(members)
    assert summary["training"]["events"] == int(prepared.tensors.event[members].sum())
    shares = [code["share_of_training_subjects"] for code in summary["most_common_codes"]]
    assert min(shares) >= 10 / len(members)
    assert shares == sorted(shares, reverse=True)
    # Counted the slow way.
    first = summary["most_common_codes"][0]
    number = prepared.vocabulary.entries.index(first["code"])
    tensors = prepared.tensors
    bounds = tensors.code_offsets[tensors.visit_offsets]
    having = sum(number in tensors.code[bounds[subject] : bounds[subject + 1]] for subject in members)
    assert first["share_of_training_subjects"] == round(having / len(members), 3)
    rare = cohort_summary(prepared_on("landmark"), {})
    assert all(code["description"] == "" for code in rare["most_common_codes"])
