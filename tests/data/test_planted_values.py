"""Synthetic outcome whose risk is the last value of a code so far: its risk, its hazards and its errors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from survlstm.data.outcomes.history_risk import history_factors, last_value_risk
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.visits import group_visits
from survlstm.utils.errors import OutcomeError
from tests.records import SETTINGS, RecordsSource, events_of, random_records, with_random_values

# All weights are 0: the planted values take the place of the factors.
PLANTED = SyntheticOutcome(0.7, 1.7, 0.0, 0.0, 0.0, 1 / 60, seed=0, planted_codes=[], planted_values=["X/1"])
ALL_TRAINING = np.ones(2, dtype=bool)


def day(number, hour=8):
    return f"2020-01-{number + 1:02d}T{hour:02d}:00:00"


def visits_of(records):
    return group_visits(events_of(records), grouping="hybrid", window_hours=24.0)[0]


def score(below, at, total):
    """The normal score of a mid-rank, of numbers that weigh ``total`` subjects."""
    return norm.ppf((below + at / 2 + 0.5) / (total + 1))


WORKED = {
    "a": [
        (day(0), "e0", ["X/9"]),
        (day(1), "e1", [("X/1", 5.0, "mg")]),
        # Without a number, or of another code: the value before stays.
        (day(2), "e2", ["X/1", ("X/9", 70.0, "mg")]),
        # The later entry is the last one; of two at the same time, the greater number.
        (day(3, 8), "e3", [("X/1", 9.0, "mg")]),
        (day(3, 9), "e3", [("X/1", 1.0, "mg"), ("X/1", 5.0, "mg")]),
        (day(4), "e4", [("X/1", 0.2, "mmol")]),
    ],
    "b": [
        (day(0), "e0", [("X/1", 5.0, "mg")]),
        (day(1), "e1", [("X/1", 0.4, "mmol")]),
        (day(2), "e2", [("X/1", 7.0, "mg")]),
    ],
}


def test_the_last_values_of_a_record_worked_by_hand():
    # In mg: subject a has 1, 5, 5 and 9 with weight 1/4 each, subject b 5 and 7 with 1/2 each. In mmol one number each.
    five, seven = score(0.25, 1.0, 2), score(1.25, 0.5, 2)
    low, high = score(0, 1, 2), score(1, 1, 2)
    risk = last_value_risk(visits_of(WORKED), ["X/1"], is_training=ALL_TRAINING)
    np.testing.assert_allclose(risk, [0, five, five, five, low, five, high, seven], rtol=1e-12)


def test_ranks_are_those_of_training_subjects():
    # Of subject b alone: one number of mmol, and in mg 5 and 7 with weight 1/2 each.
    five, seven = score(0, 0.5, 1), score(0.5, 0.5, 1)
    below = score(0, 0, 1)
    risk = last_value_risk(visits_of(WORKED), ["X/1"], is_training=np.array([False, True]))
    np.testing.assert_allclose(risk, [0, five, five, five, below, five, 0, seven], rtol=1e-12)


def test_several_codes_have_the_mean_of_their_scores_and_the_risk_is_standardised():
    visits = visits_of(with_random_values(random_records(60, seed=1), seed=2, codes=["X/1", "X/2"]))
    is_training = np.arange(60) % 3 > 0
    alone = [last_value_risk(visits, [code], is_training=is_training) for code in ("X/1", "X/2")]
    expected = (alone[0] + alone[1]) / 2
    weight = np.where(is_training, 1 / visits.visits_per_subject, 0)[visits.visit_subject]
    mean = np.average(expected, weights=weight)
    spread = np.sqrt(np.average((expected - mean) ** 2, weights=weight))
    found = replace(PLANTED, planted_values=["X/1", "X/2"]).risk(visits, is_training=is_training)
    np.testing.assert_allclose(found, (expected - mean) / spread, rtol=1e-9, atol=1e-12)


def test_values_of_later_visits_change_no_risk_before_them():
    records = with_random_values(random_records(60, seed=1), seed=2, codes=["X/1"])
    changed, kept = {}, []
    for number, (name, visits) in enumerate(records.items()):
        # Ranks, scale and intercept are fitted on the subjects whose records are unchanged.
        first_changed = len(visits) if number % 2 == 0 else number % len(visits)
        later = [
            (
                time,
                encounter,
                [(entry[0], entry[1] + 10, "other") if isinstance(entry, tuple) else entry for entry in codes],
            )
            for time, encounter, codes in visits[first_changed:]
        ]
        changed[name] = visits[:first_changed] + [(*visit[:2], [*visit[2], ("X/1", -50.0, "mg")]) for visit in later]
        kept += [place < first_changed for place in range(len(visits))]
    is_training = np.arange(60) % 2 == 0
    before, after = (PLANTED.risk(visits_of(each), is_training=is_training) for each in (records, changed))
    kept = np.array(kept)
    np.testing.assert_array_equal(before[kept], after[kept])
    assert (before[~kept] > after[~kept]).any()


@pytest.fixture(scope="module")
def prepared():
    records = with_random_values(random_records(200, seed=3), seed=4, codes=[f"X/{number}" for number in range(20)])
    # A number at every visit, so that the value alone decides.
    generator = np.random.default_rng(5)
    measured = {
        name: [(time, encounter, [*codes, ("X/v", float(generator.normal()), "")]) for time, encounter, codes in visits]
        for name, visits in records.items()
    }
    events = events_of(measured)
    return events, prepare_uncached(RecordsSource(events), replace(PLANTED, planted_values=["X/v"]), SETTINGS)


def test_the_hazards_rise_with_the_value_and_the_oracle_knows_them(prepared):
    events, found = prepared
    visits = group_visits(events, grouping="hybrid", window_hours=24.0)[0]
    value = visits.value[visits.codes[visits.code] == "X/v"]
    at_risk = np.concatenate(
        [
            value[first : first + seen]
            for first, seen in zip(visits.visit_offsets[:-1], found.tensors.visits_per_subject, strict=True)
        ]
    )
    hazard = found.tensors.oracle_hazard[np.argsort(at_risk)]
    assert (np.diff(hazard) >= 0).all()
    assert len(np.unique(hazard)) > 100
    assert found.flow.outcome_facts["oracle_c_td"] > 0.65


def test_what_the_codes_say_has_nothing_to_do_with_the_risk(prepared):
    visits = group_visits(prepared[0], grouping="hybrid", window_hours=24.0)[0]
    risk = replace(PLANTED, planted_values=["X/v"]).risk(visits, is_training=np.ones(200, dtype=bool))
    assert all(abs(np.corrcoef(risk, factor)[0, 1]) < 0.05 for factor in history_factors(visits))


def test_values_that_the_export_does_not_know_are_told():
    records = with_random_values(random_records(60, seed=2), seed=2, codes=["X/1"])
    some = replace(PLANTED, planted_values=["X/1", "X/typo"])
    warnings = prepare_uncached(RecordsSource(events_of(records)), some, SETTINGS).flow.warnings
    assert warnings[0] == "outcome.planted_values: X/typo occur nowhere in the export"
    none = replace(PLANTED, planted_values=["Y/12"])
    with pytest.raises(OutcomeError, match=r"found none of Y/12 among .* Set other codes in outcome.planted_values"):
        prepare_uncached(RecordsSource(events_of(records)), none, SETTINGS)


def test_numbers_in_a_unit_that_no_training_subject_has_are_counted():
    labels = replace(PLANTED, event_rate=0.5).label(visits_of(WORKED), is_training=np.array([False, True]))
    assert labels.warnings[0].startswith("the event rate must lie within")
    others = {"c": [(day(number), f"e{number}", [("X/1", float(number), "g")]) for number in range(2)]}
    labels = replace(PLANTED, event_rate=0.5).label(
        visits_of(WORKED | others), is_training=np.array([True, True, False])
    )
    assert labels.warnings[0] == (
        "outcome.planted_values: 2 numbers have a unit that no training subject has for that code; they add 0 to the "
        "risk"
    )


@pytest.mark.parametrize(
    ("entries", "is_training", "message"),
    [
        (["X/1", "X/9"], ALL_TRAINING, "; found 6 entries of them, none with a number. Name a code that has numbers"),
        ([("X/1", 3.0, "mg")], ALL_TRAINING, " in the same unit; found 6 entries .* in 1 units, .* the same number"),
        ([("X/1", 3.0, "mg"), ("X/1", 4.0, "g")], ALL_TRAINING, "; found 12 entries .* in 2 units, .* the same number"),
    ],
)
def test_a_code_whose_numbers_cannot_be_ranked_is_refused(entries, is_training, message):
    visits = visits_of({name: [(day(number), f"e{number}", entries) for number in range(3)] for name in "ab"})
    with pytest.raises(OutcomeError, match=rf"planted_values needs numbers of X/1 that differ .*{message}"):
        PLANTED.risk(visits, is_training=is_training)


def test_numbers_that_only_other_subjects_have_are_refused():
    visits = visits_of({"a": [(day(0), "e0", [("X/1", 3.0, "")]), (day(1), "e1", [("X/1", 4.0, "")])], "b": []})
    with pytest.raises(OutcomeError, match=r"planted_values needs .*; found 0 entries of them, none with a number"):
        PLANTED.risk(visits, is_training=np.array([False, True]))


def test_a_last_value_that_never_varies_is_refused():
    # The greater number is the last one of every visit.
    entries = [("X/1", 3.0, ""), ("X/1", 4.0, "")]
    visits = visits_of({name: [(day(number), f"e{number}", entries) for number in range(3)] for name in "ab"})
    with pytest.raises(
        OutcomeError, match=r"found the same everywhere\. Set outcome\.planted_values to codes whose last"
    ):
        PLANTED.risk(visits, is_training=ALL_TRAINING)
