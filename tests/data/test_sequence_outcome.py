"""Synthetic outcome of the order and the times of the history: its parts, its codes, and what counts can't tell."""

import dataclasses
import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.data.code_counts import count_codes, count_codes_so_far
from survlstm.data.outcomes import sequence_risk
from survlstm.data.outcomes.history_risk import normal_scores
from survlstm.data.outcomes.sequence_risk import choose_sequence_codes, fading_count, order_state, rate_rise
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare, prepare_uncached
from survlstm.data.split import Split
from survlstm.data.visits import group_visits
from survlstm.report.console_summary import log_preparation
from survlstm.utils.errors import OutcomeError
from tests.records import LANDMARK_SETTINGS, SETTINGS, RecordsSource, events_of, random_records

COUNTS = SyntheticOutcome(0.7, 3.0, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
CHOSEN = replace(COUNTS, mechanism="sequence")
PAIRS = [["X/1", "X/2"], ["X/2", "X/3"]]
NAMED = replace(CHOSEN, sequence_pairs=PAIRS, fading_codes=["X/4"])


def visit(day, *codes):
    time = np.datetime64("2020-01-01T08:00:00") + np.timedelta64(day, "D")
    return str(time), f"e{day}", list(codes)


def visits_of(records):
    return group_visits(events_of(records), grouping="hybrid", window_hours=24.0)[0]


def test_order_of_a_record_worked_by_hand():
    visits = visits_of(
        {
            "a": [visit(0, "A"), visit(5, "B"), visit(6, "C"), visit(9, "A"), visit(10, "A", "B"), visit(11, "C")],
            # The record before must not be seen: no visit before the first one has a code.
            "b": [visit(0, "B"), visit(11, "A"), visit(12, "C"), visit(13, "B"), visit(14, "C")],
        }
    )
    state = order_state(visits, [("A", "B")], window_days=10.0)
    # Visit 2 of a comes after A and B, visit 4 after B and A again, and A and B are in visit 4 together.
    # In b, eleven days lie between B and A, and two between A and B.
    np.testing.assert_array_equal(state, [0, 0, 1, 1, -1, 0, 0, 0, 0, 0, 1])
    both = order_state(visits, [("A", "B"), ("C", "A")], window_days=10.0)
    np.testing.assert_array_equal(both - state, [0, 0, 0, -1, 1, 1, 0, 0, 0, -1, -1])
    # Exactly ten days count; b's eleven do with a longer window.
    np.testing.assert_array_equal(order_state(visits, [("A", "B")], window_days=11.0) - state, [0] * 8 + [-1, -1, 0])


def test_the_reverse_of_a_pair_has_the_opposite_state():
    visits = visits_of(random_records(30, seed=0))
    there, back = (order_state(visits, [pair], window_days=90.0) for pair in (("X/1", "X/2"), ("X/2", "X/1")))
    assert there.any()
    np.testing.assert_array_equal(there, -back)


def test_fading_count_of_a_record_worked_by_hand():
    records = {
        "a": [visit(0, "A", "B"), visit(10, "C"), visit(20, "A", "A"), visit(50, "C")],
        "b": [visit(3, "C"), visit(4, "B")],
    }
    found = fading_count(visits_of(records), ["A", "B"], half_life_days=10.0)
    np.testing.assert_allclose(found, [2, 1, 1.5, 1.5 / 8, 0, 1], rtol=1e-12)


def test_rise_of_the_visit_rate_of_a_record_worked_by_hand():
    records = {"a": [visit(0, "A"), visit(100, "A"), visit(190, "A"), visit(191, "A")], "b": [visit(730, "A")]}
    found = rate_rise(visits_of(records))
    # Half a year is 182.6 days. At day 190 the first visit is older; days 100 and 190 are recent.
    expected = [0, 0, np.log(2 / 0.5) - np.log(1 / (190 / 365.25)), np.log(3 / 0.5) - np.log(1 / (191 / 365.25)), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_risk_is_the_weighted_sum_of_the_standardised_parts():
    visits, is_training = visits_of(random_records(60, seed=1)), np.arange(60) % 3 > 0
    parts = [
        order_state(visits, [("X/1", "X/2"), ("X/2", "X/3")], window_days=730.0),
        fading_count(visits, ["X/4"], half_life_days=180.0),
        rate_rise(visits),
    ]
    weight = np.where(is_training, 1 / visits.visits_per_subject, 0)[visits.visit_subject]
    scores = np.stack([normal_scores(part, weight) for part in parts])
    mixed = np.array([0.5, 0.2, 0.3]) @ scores
    mean = np.average(mixed, weights=weight)
    expected = (mixed - mean) / np.sqrt(np.average((mixed - mean) ** 2, weights=weight))
    outcome = replace(NAMED, order_weight=0.5, fading_weight=0.2, rise_weight=0.3)
    np.testing.assert_allclose(outcome.risk(visits, is_training=is_training), expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), keep=st.floats(0.1, 0.9))
def test_later_visits_change_no_risk_before_them(seed, keep):
    records = random_records(12, seed=seed)
    # Ranks, scale and codes are fitted on the subjects whose records are unchanged.
    cut = {
        name: visits if number % 2 == 0 else visits[: max(1, int(keep * len(visits)))]
        for number, (name, visits) in enumerate(records.items())
    }
    whole, before = (visits_of(each) for each in (records, cut))
    is_training = np.arange(12) % 2 == 0
    number = np.arange(len(whole.visit_time)) - whole.visit_offsets[:-1][whole.visit_subject]
    kept = number < before.visits_per_subject[whole.visit_subject]
    for outcome in (NAMED, CHOSEN):
        risk, risk_before = (outcome.risk(each, is_training=is_training) for each in (whole, before))
        np.testing.assert_allclose(risk[kept], risk_before, rtol=1e-9, atol=1e-12)


# Every record has the same last visit, the same counts so far, and the same numbers of its last visit.
SAME_BAGS = {
    "order": ([(0, "X/1"), (30, "X/2"), (60, "X/9")], [(0, "X/2"), (30, "X/1"), (60, "X/9")]),
    "fading": ([(0, "X/8"), (100, "X/4"), (110, "X/9")], [(0, "X/4"), (100, "X/8"), (110, "X/9")]),
    "rise": (
        [(0, "X/7"), (10, "X/7"), (700, "X/7"), (710, "X/9")],
        [(0, "X/7"), (650, "X/7"), (700, "X/7"), (710, "X/9")],
    ),
}


@pytest.mark.parametrize("part", SAME_BAGS)
def test_records_with_the_same_bag_differ_in_hazard(part):
    some, other = ([visit(day, code) for day, code in record] for record in SAME_BAGS[part])
    # A further visit, because the record ends with the last step that can have an event.
    end = [visit(900, "X/9")]
    records = random_records(60, seed=1) | {"twin0": some + end, "twin1": other + end}
    weights = {f"{name}_weight": float(name == part) for name in SAME_BAGS}
    outcome = replace(NAMED, event_rate=0.01, censoring_chance=0.0, **weights)
    tensors = prepare_uncached(RecordsSource(events_of(records)), outcome, SETTINGS).tensors
    twins = np.flatnonzero(np.isin(tensors.subject_id, ["twin0", "twin1"]))
    last = tensors.visit_offsets[twins] + len(some) - 1
    assert (tensors.step[twins] == len(some) - 1).all()
    np.testing.assert_array_equal(*tensors.features[last])
    for counts in (count_codes(tensors, last, last), count_codes_so_far(tensors, last)):
        np.testing.assert_array_equal(*counts.toarray())
    assert np.ptp(tensors.oracle_hazard[last]) > 1e-4


def rows(names):
    """Write records in which a text of codes is a visit, and a space is between visits."""
    return {name: [visit(30 * n, *codes) for n, codes in enumerate(text.split())] for name, text in names.items()}


def test_codes_are_chosen_by_the_share_of_training_subjects():
    # X is in too many visits, and b always comes with a. c is the most frequent code, but not among training subjects.
    records = rows({"s0": "Xab X X Xd X", "s1": "Xab X X Xd X", "s2": "Xab Xe Xe X X X X", "s3": "Xc Xc X X X X X X X"})
    found = choose_sequence_codes(visits_of(records), pairs=[], fading=[], is_training=np.array([1, 1, 1, 0], bool))
    assert found.pairs == (("a", "d"), ("d", "e"))
    assert found.fading == ("a", "d", "e")


def test_further_codes_are_those_of_the_fading_count():
    records = rows({f"s{n}": "Xa Xb Xc Xd Xe X X X" for n in range(3)})
    chosen = choose_sequence_codes(visits_of(records), pairs=[], fading=[], is_training=np.ones(3, bool))
    assert chosen == ((("a", "b"), ("b", "c")), ("d", "e"))
    named = choose_sequence_codes(visits_of(records), pairs=[["a", "c"]], fading=[], is_training=np.ones(3, bool))
    assert named == ((("a", "c"),), ("b", "d", "e"))
    both = choose_sequence_codes(visits_of(records), pairs=[["a", "c"]], fading=["X"], is_training=np.ones(3, bool))
    assert both == ((("a", "c"),), ("X",))


def test_two_codes_make_one_pair_and_one_code_is_refused():
    two, one = (rows({f"s{n}": text for n in range(3)}) for text in ("Xa Xb X X X X X", "Xa X X X X"))
    found = choose_sequence_codes(visits_of(two), pairs=[], fading=[], is_training=np.ones(3, bool))
    assert found == ((("a", "b"),), ("a", "b"))
    with pytest.raises(OutcomeError, match=r"at most 30% of the visits .* found 1 such codes\. Name pairs"):
        choose_sequence_codes(visits_of(one), pairs=[], fading=[], is_training=np.ones(3, bool))


def test_the_codes_are_stored_and_shown(tmp_path, caplog):
    source = RecordsSource(events_of(random_records(80, seed=3)))
    found = [
        prepare(source, NAMED, SETTINGS, described={"a": 1}, cache=tmp_path).flow
        for _ in ("computed", "from the cache")
    ]
    assert found[0].outcome_codes == found[1].outcome_codes
    assert found[0].outcome_codes == {
        "sequence_pairs": ["X/1 before X/2", "X/2 before X/3"],
        "fading_codes": ["X/4"],
    }
    with caplog.at_level(logging.INFO):
        log_preparation(prepare(source, NAMED, SETTINGS, described={"a": 1}, cache=tmp_path))
    assert "Drawn from outcome.sequence_pairs: X/1 before X/2; X/2 before X/3" in caplog.messages
    assert prepare_uncached(source, COUNTS, SETTINGS).flow.outcome_codes == {}


def test_the_keys_of_the_sequence_change_nothing_of_the_counts():
    source = RecordsSource(events_of(random_records(80, seed=3)))
    other = replace(COUNTS, order_weight=0.0, window_days=1.0, half_life_days=1.0)
    some, same = (prepare_uncached(source, outcome, SETTINGS).tensors for outcome in (COUNTS, other))
    for each in dataclasses.fields(some):
        np.testing.assert_array_equal(getattr(some, each.name), getattr(same, each.name))


def test_unknown_codes_are_told_and_refused():
    source = RecordsSource(events_of(random_records(80, seed=3)))
    some = replace(NAMED, sequence_pairs=[["X/1", "X/2"], ["X/1", "X/typo"]])
    assert prepare_uncached(source, some, SETTINGS).flow.warnings[0] == (
        "outcome.sequence_pairs: X/typo occur nowhere in the export"
    )
    with pytest.raises(OutcomeError, match=r"Set other codes in outcome\.fading_codes"):
        prepare_uncached(source, replace(NAMED, fading_codes=["X/typo"]), SETTINGS)
    never = replace(NAMED, window_days=0.001, fading_weight=0.0, rise_weight=0.0)
    with pytest.raises(OutcomeError, match=r"the same everywhere\. Set outcome\.sequence_pairs to pairs"):
        prepare_uncached(source, never, SETTINGS)


def test_an_effect_of_the_sequence_that_is_too_weak_is_warned_of():
    source = RecordsSource(events_of(random_records(200, seed=3)))
    weak = prepare_uncached(source, replace(NAMED, effect=0.0), SETTINGS)
    assert any("there is little to learn" in warning for warning in weak.flow.warnings)
    strong = prepare_uncached(source, NAMED, SETTINGS).flow.outcome_facts
    assert strong["oracle_c_td"] > 0.6 > weak.flow.outcome_facts["oracle_c_td"]


def test_the_landmark_clock_has_no_oracle():
    found = prepare_uncached(RecordsSource(events_of(random_records(200, seed=3))), NAMED, LANDMARK_SETTINGS)
    assert np.isnan(found.tensors.oracle_hazard).all()
    assert "oracle_c_td" not in found.flow.outcome_facts


def test_another_cohort_uses_the_named_codes_or_chooses_its_own(monkeypatch):
    monkeypatch.setattr(sequence_risk, "LARGEST_VISIT_SHARE", 1.0)
    own = prepare_uncached(RecordsSource(events_of(random_records(80, seed=3))), NAMED, SETTINGS)
    renamed = {
        name: [
            (time, encounter, [code.replace("X/", "Y/") if code > "X/5" else code for code in codes])
            for time, encounter, codes in visits
        ]
        for name, visits in random_records(80, seed=4).items()
    }
    other = RecordsSource(events_of(renamed))
    by_name, by_rule = (
        prepare_uncached(other, outcome, SETTINGS, preprocessing=own.preprocessing) for outcome in (NAMED, CHOSEN)
    )
    assert by_name.flow.outcome_codes == own.flow.outcome_codes
    assert by_rule.flow.outcome_codes == codes_by_rule(other)
    assert (by_rule.tensors.split == Split.TEST).any()


def codes_by_rule(source):
    """Return the codes that all subjects of a source give."""
    visits = group_visits(source.read().events, grouping="hybrid", window_hours=24.0)[0]
    everyone = np.ones(len(visits.subjects), dtype=bool)
    return choose_sequence_codes(visits, pairs=[], fading=[], is_training=everyone).by_key()
