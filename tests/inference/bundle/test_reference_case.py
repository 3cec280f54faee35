"""Tests of the reference predictions: quantiles of the training risks, hazard extrapolation, cohort summary."""

import numpy as np
import pytest

from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split
from survlstm.evaluation.hazard_extrapolation import fit_hazard_extrapolation
from survlstm.inference.bundle.card import describe_times, write_card
from survlstm.inference.bundle.reference_case import cohort_summary
from survlstm.training.prediction import predict_split
from tests.bundles import bundle_on
from tests.days_bundle import bundle_at_times, prepared_at_times
from tests.learning import CPU, batches_of, prepared_on
from tests.records import SETTINGS, RecordsSource, events_of


@pytest.mark.parametrize("clock", ["visit", "landmark", "days"])
def test_the_training_subjects_themselves_stand_evenly_among_the_percentiles(clock):
    bundle, prepared = bundle_on(clock), prepared_on(clock)
    if clock == "days":
        # Its risks differ by more than the rounding of the quantiles.
        bundle, prepared = bundle_at_times(), prepared_at_times()
    found = predict_split(bundle.model, batches_of(prepared), CPU)
    if clock == "visit":
        at_risk = np.isfinite(found.hazard)
        logit = np.log(found.hazard[at_risk]) - np.log1p(-found.hazard[at_risk])
        risk = 1 - np.prod(1 - bundle.drift.hazard(logit, steps=10), axis=1)
        weight = (at_risk / at_risk.sum(axis=1, keepdims=True))[at_risk]
    else:
        # On the days clock every prediction time weighs the same.
        risk, weight = 1 - found.survival[:, -1], np.ones(len(found.row))
    percentile = bundle.reference.percentile(risk)
    for share in (10, 25, 50, 75, 90):
        assert np.average(percentile <= share, weights=weight) == pytest.approx(
            share / 100, abs=0.015 + 1 / len(found.subject)
        )
    assert np.average(percentile, weights=weight) == pytest.approx(50, abs=1)


def test_the_landmark_clock_needs_no_drift_and_counts_in_days():
    bundle = bundle_on("landmark")
    assert bundle.drift is None
    np.testing.assert_allclose(bundle.reference.grid, bundle.preprocessing.edge_days[1:])
    assert bundle.reference.grid[-1] == 365
    assert bundle.reference.horizons == [73.0, 365.0]


def test_the_days_clock_says_at_which_times_it_was_trained():
    prepared, bundle = prepared_at_times(), bundle_at_times()
    tensors = prepared.tensors
    is_training = tensors.split == Split.TRAIN
    rows = np.flatnonzero(is_training[tensors.row_subject])
    day = np.timedelta64(1, "D")
    since = (tensors.row_time - tensors.visit_time[tensors.last_visit])[rows] / day
    gaps = np.concatenate(
        [
            np.diff(tensors.visit_time[slice(*tensors.visit_offsets[subject : subject + 2])]) / day
            for subject in np.flatnonzero(is_training)
        ]
    )
    larger = max(np.quantile(since, 0.95), np.quantile(gaps, 0.95))
    assert bundle.reference.stale_days == pytest.approx(larger, rel=0.006)
    summary = cohort_summary(prepared, {}, form="none", times=describe_times(bundle.config))["prediction_times"]
    assert summary["times"] == (
        "every visit, from the visit on with which a subject has 3; every 90 days after the first visit"
    )
    assert (summary["rows"], summary["subjects"]) == (len(rows), int(is_training.sum()))
    assert summary["rows_with_event"] == int(tensors.event[rows].sum())
    assert summary["days_since_last_visit"]["median"] == np.median(since)
    assert summary["days_between_visits"]["quartile_3"] == np.quantile(gaps, 0.75)
    counts = [each["rows"] for each in summary["left_out"]]
    assert "fewer than 10" in counts or min(int(count.replace(",", "")) for count in counts) >= 10
    card = write_card(
        bundle.about,
        bundle.config,
        reference=bundle.reference,
        cohort=cohort_summary(prepared, {}, form="none", times="every visit"),
        metrics=bundle.metrics,
        figures=[],
        has_onnx=False,
    )
    assert f"It was trained at {len(rows):,} prediction times of {int(is_training.sum())} training subjects" in card
    assert "| days since the last visit |" in card


def test_the_visit_clock_counts_visits_up_to_the_longest_horizon():
    reference = bundle_on("visit").reference
    assert reference.grid == [float(step) for step in range(1, 11)]
    assert reference.horizons == [1.0, 5.0, 10.0]


def test_the_summary_shows_no_code_of_fewer_than_ten_subjects():
    prepared = prepared_on("visit")
    summary = cohort_summary(prepared, {"X/3": "three"}, form="none")
    members = prepared.tensors.members(Split.TRAIN)
    assert summary["training"]["subjects"] == len(members)
    assert summary["training"]["events"] == int(prepared.tensors.event[members].sum())
    shares = [code["share_of_training_subjects"] for code in summary["most_common_codes"]]
    assert min(shares) >= 10 / len(members)
    assert shares == sorted(shares, reverse=True)
    # Counted again subject by subject.
    first = summary["most_common_codes"][0]
    number = prepared.vocabulary.entries.index(first["code"])
    tensors = prepared.tensors
    bounds = tensors.code_offsets[tensors.visit_offsets]
    having = sum(number in tensors.code[bounds[subject] : bounds[subject + 1]] for subject in members)
    assert first["share_of_training_subjects"] == round(having / len(members), 3)


def test_rare_codes_are_not_shown_though_there_is_room():
    records = {
        f"s{number:02d}": [
            (f"2010-0{month}-01T08:00:00", f"e{month}", ["X/1", *(["X/2"] if number < 12 else [])])
            for month in range(1, 9)
        ]
        for number in range(40)
    }
    prepared = prepare_uncached(RecordsSource(events_of(records)), RandomOutcome(0.5, 0.05, seed=0), SETTINGS)
    assert "X/2" in prepared.vocabulary.entries
    assert [code["code"] for code in cohort_summary(prepared, {}, form="none")["most_common_codes"]] == ["X/1"]


def test_the_drift_is_that_of_every_visit_of_the_validation_subjects():
    bundle = bundle_on("visit")
    found = predict_split(bundle.model, batches_of(prepared_on("visit"), Split.VAL), CPU)
    visits = [
        (found.hazard[row, number], step - number, event)
        for row, (step, event) in enumerate(zip(found.step, found.event, strict=True))
        for number in range(step + 1)
    ]
    hazard, step, event = (np.array(column) for column in zip(*visits, strict=True))
    assert bundle.drift == fit_hazard_extrapolation(
        np.log(hazard) - np.log1p(-hazard), step=step, event=event, steps=10
    )


def test_quantiles_and_counts_disclose_no_single_subject():
    prepared, bundle = prepared_on("landmark"), bundle_on("landmark")
    risks = 1 - predict_split(bundle.model, batches_of(prepared), CPU).survival[:, -1]
    # Interpolated between subjects and rounded.
    assert len(set(bundle.reference.risk) & set(risks.tolist())) == 0
    assert all(risk == float(f"{risk:.4g}") for risk in bundle.reference.risk)
    counts = [rule["subjects"] for rule in cohort_summary(prepared, {}, form="none")["excluded"]]
    assert counts
    assert all(count == "fewer than 10" or int(count) >= 10 for count in counts)
