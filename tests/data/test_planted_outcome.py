"""Synthetic outcome with planted codes: its risk, its hazards and its errors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from survlstm.data.outcomes.history_risk import distinct_code_counts
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.visits import group_visits
from survlstm.utils.errors import OutcomeError
from tests.records import SETTINGS, RecordsSource, events_of, random_records

# All weights are 0: the planted codes take the place of the factors.
PLANTED = SyntheticOutcome(0.7, 1.7, 0.0, 0.0, 0.0, 1 / 60, seed=0, planted_codes=["X/1", "X/2", "X/3"])


def day(number):
    return f"2020-01-{number + 1:02d}T08:00:00"


def visits_of(records):
    return group_visits(events_of(records), grouping="hybrid", window_hours=24.0)[0]


WORKED = {
    "a": [(day(0), "e0", ["X/1", "X/9"]), (day(1), "e1", ["X/1", "X/2", "X/2"]), (day(2), "e2", ["X/9"])],
    "b": [(day(0), "e0", ["X/9"]), (day(1), "e1", ["X/3"]), (day(2), "e2", ["X/1", "X/2"])],
}


def test_the_risk_of_a_record_worked_by_hand_counts_each_planted_code_once():
    visits = visits_of(WORKED)
    is_planted = np.isin(visits.codes, PLANTED.planted_codes)[visits.code]
    counts = distinct_code_counts(visits, is_planted)
    np.testing.assert_array_equal(counts, [1, 2, 2, 0, 1, 3])
    # Two subjects of three visits each: a visit weighs 1/3 of a subject, and half a subject is added at either end.
    below = {0: 0, 1: 1 / 3, 2: 1, 3: 5 / 3}
    at = {0: 1 / 3, 1: 2 / 3, 2: 2 / 3, 3: 1 / 3}
    scores = np.array([norm.ppf((below[count] + at[count] / 2 + 0.5) / 3) for count in counts])
    expected = (scores - scores.mean()) / scores.std()
    np.testing.assert_allclose(PLANTED.risk(visits, is_training=np.ones(2, dtype=bool)), expected)


def test_visits_behind_change_no_risk_before_them():
    records = random_records(80, seed=1)
    times = np.datetime64("2300-01-01") + np.arange(5)
    late = [(str(time), f"late{n}", [f"X/{n}", "X/unseen"]) for n, time in enumerate(times)]
    appended = {name: entries + (late if number % 2 else []) for number, (name, entries) in enumerate(records.items())}
    # Ranks, scale and intercept are fitted on the subjects whose records are unchanged.
    before, after = (visits_of(each) for each in (records, appended))
    is_training = np.arange(80) % 2 == 0
    risk_before, risk_after = (PLANTED.risk(visits, is_training=is_training) for visits in (before, after))
    number = np.arange(len(risk_after)) - after.visit_offsets[:-1][after.visit_subject]
    kept = number < before.visits_per_subject[after.visit_subject]
    np.testing.assert_allclose(risk_after[kept], risk_before, rtol=1e-12)
    assert not kept.all()


def test_the_hazards_follow_the_planted_codes_alone():
    prepared = prepare_uncached(RecordsSource(events_of(random_records(200, seed=3))), PLANTED, SETTINGS)
    tensors, entries = prepared.tensors, np.array(prepared.vocabulary.entries)
    planted = np.flatnonzero(np.isin(entries, PLANTED.planted_codes))
    hazards = {}
    for subject in range(len(tensors.step)):
        seen = set()
        for visit in range(tensors.visit_offsets[subject], tensors.visit_offsets[subject + 1]):
            codes = tensors.code[tensors.code_offsets[visit] : tensors.code_offsets[visit + 1]]
            seen |= set(codes[np.isin(codes, planted)].tolist())
            hazards.setdefault(len(seen), set()).add(float(tensors.oracle_hazard[visit]))
    assert sorted(hazards) == [0, 1, 2, 3]
    assert all(len(found) == 1 for found in hazards.values())
    by_count = [hazards[count].pop() for count in range(4)]
    assert by_count == sorted(by_count)


def test_planted_codes_that_the_export_does_not_know_are_told():
    records = random_records(60, seed=2)
    some = replace(PLANTED, planted_codes=["X/1", "X/typo", "Y/2"])
    warnings = prepare_uncached(RecordsSource(events_of(records)), some, SETTINGS).flow.warnings
    assert warnings[0] == "outcome.planted_codes: X/typo, Y/2 occur nowhere in the export"
    none = replace(PLANTED, planted_codes=["Y/12"])
    with pytest.raises(
        OutcomeError,
        match=r"found none of Y/12 among .* Its coding systems: X\. Set other codes in outcome.planted_codes",
    ):
        prepare_uncached(RecordsSource(events_of(records)), none, SETTINGS)


def test_a_planted_code_that_everybody_has_from_the_start_is_refused():
    records = {f"s{n}": [(day(n), f"e{n}", ["X/1"]) for n in range(4)] for n in range(30)}
    with pytest.raises(
        OutcomeError, match=r"found the same everywhere\. Set outcome\.planted_codes to codes that some"
    ):
        prepare_uncached(RecordsSource(events_of(records)), PLANTED, SETTINGS)
