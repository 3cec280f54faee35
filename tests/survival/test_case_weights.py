"""Case weights and groups: weights against copied subjects and the libraries, pairs against a loop, and errors."""

import inspect

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw
from sksurv.metrics import cumulative_dynamic_auc as sksurv_auc
from sksurv.util import Surv

from survlstm.survival import case_weights
from survlstm.survival.auc import cumulative_dynamic_auc
from survlstm.survival.brier import weighted_brier, weighted_nbll
from survlstm.survival.calibration_line import calibration_line
from survlstm.survival.concordance import concordance_td, weighted_pairs
from survlstm.survival.d_calibration import d_calibration
from survlstm.survival.ipcw import outcome_at
from survlstm.survival.kaplan_meier import censoring_curve, greenwood_variance, kaplan_meier
from survlstm.survival.one_calibration import calibration_groups, one_calibration
from survlstm.survival.rank_concordance import count_pairs

SUBJECTS = 90
HORIZON = np.array([3.0, 6.0, 9.0])
generator = np.random.default_rng(7)
DURATION = generator.integers(1, 13, SUBJECTS).astype(float)
EVENT = (generator.random(SUBJECTS) < 0.6) & (DURATION < 12)
# Rounded, so that predictions are tied; lower for those with an early event.
SURVIVAL = np.round(np.clip(DURATION / 40 + generator.uniform(0.1, 0.6, SUBJECTS), 0.01, 0.99), 2)
COPIES = generator.integers(1, 4, SUBJECTS)
WEIGHT = COPIES.astype(float)
COPIED = {"duration": np.repeat(DURATION, COPIES), "event": np.repeat(EVENT, COPIES)}
FOLLOW_UP = {"duration": DURATION, "event": EVENT}
CENSORING = censoring_curve(**COPIED)
# Subjects 0, 0, 0, 1, 1, 1, … in a random order, with weights that are not whole.
GROUP = generator.permutation(np.arange(SUBJECTS) // 3)
SHARE = generator.choice([0.25, 1 / 3, 0.5], SUBJECTS)


def copied(values):
    return np.repeat(values, COPIES, axis=0)


@pytest.mark.parametrize("curve_of", [kaplan_meier, censoring_curve])
def test_a_curve_of_whole_weights_is_that_of_copied_subjects(curve_of):
    weighted, expected = curve_of(**FOLLOW_UP, weight=WEIGHT), curve_of(**COPIED)
    for name in ("times", "survival", "at_risk", "events"):
        assert np.array_equal(getattr(weighted, name), getattr(expected, name))
    np.testing.assert_array_equal(greenwood_variance(weighted), greenwood_variance(expected))


def test_kaplan_meier_agrees_with_lifelines():
    found = kaplan_meier(**FOLLOW_UP, weight=WEIGHT)
    fitted = KaplanMeierFitter().fit(COPIED["duration"], COPIED["event"])
    assert found.survival == pytest.approx(fitted.survival_function_at_times(found.times).to_numpy(), abs=1e-12)


def test_a_censoring_curve_of_fractions_ends_at_exactly_zero():
    duration, event = np.array([1.0, 2, 2, 3, 3, 3]), np.array([False, True, False, True, False, False])
    for share in (1 / 3, 0.1, 1 / 7):
        curve = censoring_curve(duration, event, weight=np.full(6, share))
        assert curve.survival[-1] == 0
        assert curve.survival == pytest.approx(censoring_curve(duration, event).survival, abs=1e-15)


def test_brier_and_likelihood_of_whole_weights_are_those_of_copied_subjects():
    for at in HORIZON:
        weighted = outcome_at(at, **FOLLOW_UP, censoring=CENSORING, weight=WEIGHT)
        expected = outcome_at(at, **COPIED, censoring=CENSORING)
        for score in (weighted_brier, weighted_nbll):
            assert score(SURVIVAL, weighted) == pytest.approx(score(copied(SURVIVAL), expected), abs=1e-14)


def test_calibration_of_whole_weights_is_that_of_copied_subjects():
    before = np.minimum(SURVIVAL + 0.05, 1)
    bins = d_calibration(SURVIVAL, event=EVENT, survival_before=before, weight=WEIGHT)
    expected = d_calibration(copied(SURVIVAL), event=COPIED["event"], survival_before=copied(before))
    assert bins.subjects == pytest.approx(expected.subjects, abs=1e-12)
    assert bins.p_value == pytest.approx(expected.p_value, abs=1e-12)
    labels = {"horizon": 6.0, "groups": 4}
    table = calibration_groups(SURVIVAL, **FOLLOW_UP, **labels, weight=WEIGHT)
    groups = calibration_groups(copied(SURVIVAL), **COPIED, **labels)
    for name in ("subjects", "predicted", "observed", "low", "high", "variance"):
        assert getattr(table, name) == pytest.approx(getattr(groups, name), abs=1e-12, nan_ok=True)
    assert one_calibration(table).p_value == pytest.approx(one_calibration(groups).p_value, abs=1e-12)
    line = calibration_line(SURVIVAL, **FOLLOW_UP, horizon=6.0, censoring=CENSORING, weight=WEIGHT)
    expected_line = calibration_line(copied(SURVIVAL), **COPIED, horizon=6.0, censoring=CENSORING)
    assert line == pytest.approx(expected_line, abs=1e-9)


def test_groups_of_fractions_begin_where_those_of_subjects_do():
    """Three rows of a third each are one subject, although their weights do not sum to exactly one."""
    order = np.random.default_rng(0).permutation(270)
    survival, duration, event = (np.repeat(values, 3)[order] for values in (SURVIVAL, DURATION, EVENT))
    found = calibration_groups(
        survival, duration=duration, event=event, horizon=6.0, groups=5, weight=np.full(270, 1 / 3)
    )
    expected = calibration_groups(SURVIVAL, **FOLLOW_UP, horizon=6.0, groups=5)
    for name in ("subjects", "predicted", "observed", "variance"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9)


def c_of(pairs, anchor_weight):
    return anchor_weight @ (pairs.lower[:, 0] + pairs.equal[:, 0] / 2) / (anchor_weight @ pairs.comparable)


def test_concordance_of_whole_weights_agrees_with_scikit_survival_on_copied_subjects():
    pairs = count_pairs(1 - SURVIVAL[:, None], **FOLLOW_UP, weight=WEIGHT)
    risk, outcome = copied(1 - SURVIVAL), Surv.from_arrays(COPIED["event"], COPIED["duration"])
    harrell = concordance_index_censored(COPIED["event"], COPIED["duration"], risk)[0]
    assert c_of(pairs, WEIGHT[pairs.anchor]) == pytest.approx(harrell, abs=1e-12)
    inverse = WEIGHT[pairs.anchor] / CENSORING.at(DURATION[pairs.anchor]) ** 2
    assert c_of(pairs, inverse) == pytest.approx(concordance_index_ipcw(outcome, outcome, risk)[0], abs=1e-12)
    expected = count_pairs(risk[:, None], **COPIED)
    first = np.searchsorted(np.repeat(np.arange(SUBJECTS), COPIES)[expected.anchor], pairs.anchor)
    for name in ("comparable", "lower", "equal"):
        assert np.array_equal(getattr(pairs, name), getattr(expected, name)[first])


def test_auc_of_whole_weights_agrees_with_scikit_survival_on_copied_subjects():
    found = cumulative_dynamic_auc(1 - SURVIVAL, **FOLLOW_UP, horizon=HORIZON, censoring=CENSORING, weight=WEIGHT)
    outcome = Surv.from_arrays(COPIED["event"], COPIED["duration"])
    auc, mean = sksurv_auc(outcome, outcome, copied(1 - SURVIVAL), HORIZON)
    assert found.auc == pytest.approx(auc, abs=1e-12)
    assert found.mean_auc == pytest.approx(mean, abs=1e-12)


def test_time_dependent_concordance_of_whole_weights_is_that_of_copied_subjects():
    step = DURATION.astype(int) - 1
    curves = SURVIVAL[:, None] ** np.arange(1, 13)
    found = concordance_td(curves, step=step, event=EVENT, weight=WEIGHT)
    assert found == concordance_td(copied(curves), step=copied(step), event=COPIED["event"])


# Two rows of A, one of B, one of C. Without the pair of A's rows five remain; only that of A's second row and C is in
# the wrong order.
WORKED = {"duration": np.array([1, 3, 2, 4]), "event": np.array([True, True, True, False])}
WORKED_SCORE, WORKED_GROUP = np.array([4, 1, 3, 2]), np.array([0, 0, 1, 2])


@pytest.mark.parametrize(
    ("weight", "group", "expected"),
    [
        (None, None, 5 / 6),
        (None, WORKED_GROUP, 4 / 5),
        # A's first row: 1/2 each with B and C. B: 1/2 with A's second row, 1 with C. A's second row: 1/2 with C.
        (np.array([0.5, 0.5, 1, 1]), WORKED_GROUP, 2.5 / 3),
    ],
)
def test_pairs_within_a_subject_are_left_out_worked_by_hand(weight, group, expected):
    pairs = count_pairs(WORKED_SCORE[:, None], **WORKED, weight=weight, group=group)
    assert c_of(pairs, np.ones(3) if weight is None else weight[pairs.anchor]) == pytest.approx(expected)
    curves = np.repeat(1 - WORKED_SCORE[:, None] / 10, 4, axis=1)
    label = {"step": WORKED["duration"] - 1, "event": WORKED["event"]}
    assert concordance_td(curves, **label, weight=weight, group=group).c_td == pytest.approx(expected)


def test_auc_without_pairs_of_a_subject_worked_by_hand():
    """By 2, the cases are A's first row and B, the controls A's second row and C. Both beat C; B beats A's second."""
    score = np.array([1, 2, 4, 3])
    never = censoring_curve(np.array([9]), np.array([True]))
    labels = WORKED | {"horizon": np.array([2]), "censoring": never}
    assert cumulative_dynamic_auc(score, **labels).auc == pytest.approx([2 / 4])
    assert cumulative_dynamic_auc(score, **labels, group=WORKED_GROUP).auc == pytest.approx([2 / 3])
    weight = np.array([0.5, 0.5, 1, 1])
    # A's first row and C: 1/2, wrong. B and A's second row: 1/2. B and C: 1.
    found = cumulative_dynamic_auc(score, **labels, group=WORKED_GROUP, weight=weight)
    assert found.auc == pytest.approx([1.5 / 2])


def pair_by_pair(survival, outlives, weight):
    """Return the weights of the comparable pairs, the concordant and the tied ones, of subjects of different groups."""
    comparable = concordant = tied = 0.0
    for i in np.flatnonzero(EVENT):
        for j in np.flatnonzero(outlives(i) & (GROUP[i] != GROUP)):
            pair = weight[i] * weight[j]
            comparable += pair
            concordant += pair * (survival[i] < survival[j])
            tied += pair * (survival[i] == survival[j])
    return comparable, concordant, tied


@pytest.mark.parametrize("most_entries", [case_weights.MOST_ENTRIES, 7])
def test_pairs_of_groups_are_those_of_a_loop(monkeypatch, most_entries):
    monkeypatch.setattr(case_weights, "MOST_ENTRIES", most_entries)
    expected = pair_by_pair(SURVIVAL, lambda i: (DURATION[i] < DURATION) | ((DURATION[i] == DURATION) & ~EVENT), SHARE)
    pairs = count_pairs(np.stack([1 - SURVIVAL, SURVIVAL], axis=1), **FOLLOW_UP, weight=SHARE, group=GROUP)
    own = SHARE[pairs.anchor]
    assert (own @ pairs.comparable, *(own @ one[:, 0] for one in pairs[2:])) == pytest.approx(expected)
    assert own @ pairs.equal[:, 1] == pytest.approx(expected[2])
    label = {"step": DURATION.astype(int) - 1, "event": EVENT, "group": GROUP}
    curves = np.repeat(SURVIVAL[:, None], 12, axis=1)
    assert concordance_td(curves, **label, weight=SHARE)[1:] == pytest.approx(expected)
    resamples = weighted_pairs(curves, **label, weight=np.stack([SHARE, WEIGHT]))
    assert [one[0] for one in resamples] == pytest.approx(expected)


def test_auc_of_groups_is_that_of_a_loop():
    found = cumulative_dynamic_auc(
        1 - SURVIVAL, **FOLLOW_UP, horizon=HORIZON, censoring=CENSORING, weight=SHARE, group=GROUP
    )
    for auc, at in zip(found.auc, HORIZON, strict=True):
        weight = SHARE * np.where(EVENT & (at >= DURATION), 1 / CENSORING.at(np.minimum(DURATION, at)), 1.0)
        by_then = EVENT & (at >= DURATION)
        comparable, concordant, tied = pair_by_pair(
            SURVIVAL, lambda i, at=at, by_then=by_then: by_then[i] & (at < DURATION), weight
        )
        assert auc == pytest.approx((concordant + tied / 2) / comparable)


def test_without_a_pair_of_two_groups_nothing_is_compared():
    """The weights of the pairs within the group are subtracted from as many: the rest must be exactly 0."""
    duration, event = np.arange(1.0, 8), np.array([True] * 6 + [False])
    curves = np.random.default_rng(0).random((7, 7))
    for share in (1 / 3, 1 / 7, 0.1):
        labels = {"event": event, "group": np.zeros(7, dtype=int), "weight": np.full(7, share)}
        pairs = count_pairs(curves, duration=duration, **labels)
        assert not any(count.any() for count in (pairs.comparable, pairs.lower, pairs.equal))
        auc = cumulative_dynamic_auc(
            curves[:, 0],
            duration=duration,
            **labels,
            horizon=np.array([3.0]),
            censoring=censoring_curve(duration, event),
        )
        assert np.isnan(auc.auc).all()
        found = concordance_td(curves, step=np.arange(7), **labels)
        assert (found.comparable, found.concordant, found.tied) == (0, 0, 0)
        assert np.isnan(found.c_td)


def test_a_row_censored_within_its_first_step_is_never_compared():
    step, event = np.array([-1, 0, 1, -1]), np.array([False, True, False, False])
    curves = np.array([[0.1, 0.1], [0.5, 0.5], [0.9, 0.9], [np.nan, np.nan]])
    assert concordance_td(curves, step=step, event=event) == (1.0, 1, 1, 0)
    assert concordance_td(curves, step=step, event=event, group=np.array([0, 1, 2, 2])) == (1.0, 1, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": np.array([1.0, 0, 1, 1])}, r"weight must be finite and > 0; 1 of 4 are not\. Leave out"),
        ({"weight": np.array([1.0, np.nan, np.inf, 1])}, "weight must be finite and > 0; 2 of 4 are not"),
        ({"weight": np.ones(3)}, "one entry per subject; found 3 for 4 subjects"),
        ({"group": np.zeros(3, dtype=int)}, "one entry per subject; found 3 for 4 subjects"),
        ({"group": np.zeros(4)}, "group must be an integer per subject; found float64"),
    ],
)
def test_other_weights_and_groups_are_refused(arguments, message):
    # Unwrapped, so that the check of the annotations does not refuse the arguments first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(count_pairs)(WORKED_SCORE[:, None], **WORKED, **arguments)
