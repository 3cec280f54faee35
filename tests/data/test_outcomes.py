"""Outcomes: the label table of docs/conventions.md, exclusions, and properties of the synthetic outcomes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from survlstm.data.cohort import select_cohort
from survlstm.data.observed_visits import group_observed
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.history_risk import history_factors
from survlstm.data.outcomes.synthetic import RandomOutcome, SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.visits import group_visits
from survlstm.utils.errors import CohortError, OutcomeError
from tests.records import SETTINGS, RecordsSource, events_of, random_records

SYNTHETIC = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])


def day(number):
    return f"2020-01-{number + 1:02d}T08:00:00"


def record(*codes):
    return [(day(number), f"e{number}", [code]) for number, code in enumerate(codes)]


def labelled(events, outcome, *, min_visits=1, grouping="hybrid"):
    """Return (step, event) by subject, and (subjects, events) by reason of exclusion."""
    visits = group_observed(events, outcome, replace(SETTINGS, grouping=grouping)).visits
    cohort = select_cohort(visits, outcome.follow_up(visits), min_visits=min_visits, on_visits=True)
    people = cohort.visits.subjects.subject_id
    labels = outcome.label(cohort.visits, is_training=np.ones(len(people), dtype=bool))
    found = {name: (int(s), bool(e)) for name, s, e in zip(people, labels.step, labels.event, strict=True)}
    return found, {rule.reason: (rule.subjects, rule.events) for rule in cohort.exclusions if rule.subjects}


def test_label_table_of_a_first_code():
    events = events_of(
        {
            "event at visit 1": record("X/a", "X/hit", "X/a"),
            "event at visit 3": record("X/a", "X/a", "X/a", "X/hit"),
            "at visit 0": record("X/hit", "X/a", "X/a"),
            "never, 4 visits": record("X/a", "X/a", "X/a", "X/a"),
            "never, 1 visit": record("X/a"),
        }
    )
    found, excluded = labelled(events, FirstCodeOutcome(["X/hit"]))
    assert found == {"event at visit 1": (0, True), "event at visit 3": (2, True), "never, 4 visits": (2, False)}
    assert excluded == {"outcome at the first visit (prevalent)": (1, 1), "no step at risk: no follow-up": (1, 0)}


def test_label_table_of_death():
    records = {"dead": record("X/a", "X/a", "X/a"), "alive": record("X/a", "X/a", "X/a"), "one visit": record("X/a")}
    deaths = {"dead": "2020-06-01", "one visit": "2020-06-01"}
    found, _ = labelled(events_of(records, deaths=deaths), DeathOutcome())
    assert found == {"dead": (2, True), "alive": (1, False), "one visit": (0, True)}


@pytest.mark.parametrize(("tolerance", "step"), [(0, 1), (1, 0)])
def test_nothing_from_the_day_of_death_on_is_an_input(tolerance, step):
    """If days are local and times in UTC, times of the day before can belong to the day of death."""
    records = {"dead": record("X/a", "X/a", "X/of that day"), "alive": record("X/a", "X/a", "X/a")}
    events = replace(events_of(records, deaths={"dead": "2020-01-03"}), day_tolerance=tolerance)
    assert labelled(events, DeathOutcome())[0]["dead"] == (step, True)


def test_a_dated_entry_of_the_day_of_death_is_no_input_though_its_encounter_began_before():
    visits = [(day(0), "e0", ["X/a"]), ("2020-01-02T23:50:00", "e1", ["X/b"])]
    records = {"dead": [*visits, ("2020-01-03", "e1", ["X/died"])], "alive": record("X/a", "X/a")}
    events = replace(events_of(records, deaths={"dead": "2020-01-03"}), day_tolerance=0)
    kept = group_observed(events, DeathOutcome(), SETTINGS).visits
    assert kept.codes[kept.code[kept.code_offsets[kept.visit_offsets[1]] :]].tolist() == ["X/a", "X/b"]


def test_min_visits_counts_observed_visits_only():
    records = {"early event": record("X/a", "X/hit", *["X/a"] * 9), "late": record("X/a", "X/a", "X/hit")}
    found, excluded = labelled(events_of(records), FirstCodeOutcome(["X/hit"]), min_visits=3)
    assert set(found) == {"late"}
    assert excluded == {"fewer than 3 observed visits": (1, 1)}


def test_codes_that_the_export_does_not_know():
    events = events_of({"a": record("SNOMED/1", "LOINC/2-2")})
    found = (
        r"at least one of its 1 codes in the export; found none of {} among the export's 2 codes\. {}Set other codes"
    )
    # Codes with similar digits do not have similar meanings, so only the name of a coding system is suggested.
    for code, hint in (
        ("SNOMED/11", r"Its coding systems: LOINC, SNOMED\. "),
        ("SNOMDE/1", r"Write SNOMED/ for SNOMDE/\. "),
        ("ICD10/N18", r"Its coding systems: LOINC, SNOMED\. "),
    ):
        with pytest.raises(OutcomeError, match=found.format(code, hint)):
            labelled(events, FirstCodeOutcome([code]))


def test_an_outcome_that_never_happens():
    events = events_of({"a": record("X/a", "X/a"), "b": record("X/hit", "X/a")})
    with pytest.raises(OutcomeError, match="found 0 events in 1 subjects"):
        labelled(events, FirstCodeOutcome(["X/hit"]))
    with pytest.raises(OutcomeError, match="found 0 in 2"):
        labelled(events, DeathOutcome())


def test_nobody_left():
    with pytest.raises(CohortError, match=r"found none of 1 \(fewer than 9 observed visits: 1, with the event 0\)"):
        labelled(events_of({"a": record("X/a", "X/a")}), DeathOutcome(), min_visits=9)


def test_history_factors_of_a_record_worked_by_hand():
    records = {
        "a": [("2020-01-01", "e0", ["X/1", "X/2"]), ("2021-01-01", "e1", ["X/1"]), ("2022-01-01", "e2", ["X/3"])]
    }
    visits, _ = group_visits(events_of(records), grouping="hybrid", window_hours=24.0)
    comorbidity, frequency, repetition = history_factors(visits)
    years = np.array([0, 366, 731]) / 365.25
    np.testing.assert_allclose(comorbidity, [2, 1.5, 4 / 3])
    np.testing.assert_allclose(frequency, np.array([1, 2, 3]) / (1 + years))
    np.testing.assert_allclose(repetition, [0, 1 / 3, 1 / 4])


@pytest.fixture(scope="module")
def synthetic():
    return prepare_uncached(RecordsSource(events_of(random_records(600, seed=0, mean_visits=25))), SYNTHETIC, SETTINGS)


def test_synthetic_event_rate_is_the_one_asked_for(synthetic):
    assert synthetic.flow.outcome_facts["event_rate_train"] == pytest.approx(0.7, abs=0.005)
    assert synthetic.flow.outcome_facts["event_rate"] == pytest.approx(0.7, abs=0.02)


def test_synthetic_facts_are_what_scipy_computes(synthetic):
    facts, tensors = synthetic.flow.outcome_facts, synthetic.tensors
    risk = (np.log(tensors.oracle_hazard / (1 - tensors.oracle_hazard)) - facts["intercept"]) / SYNTHETIC.effect
    mean_risk = np.add.reduceat(risk, tensors.visit_offsets[:-1]) / (tensors.step + 1)
    theirs = pearsonr(mean_risk[tensors.event], tensors.step[tensors.event]).statistic
    assert facts["risk_time_correlation"] == pytest.approx(theirs, abs=1e-5)
    assert facts["median_step"] == np.median(tensors.step)


def test_events_come_as_often_as_the_hazards_say(synthetic):
    hazard, tensors = synthetic.tensors.oracle_hazard, synthetic.tensors
    expected, variance = hazard.sum(), (hazard * (1 - hazard)).sum()
    assert abs(tensors.event.sum() - expected) < 3 * np.sqrt(variance)


def test_censoring_is_as_frequent_as_asked(synthetic):
    lengths = np.diff(
        prepare_uncached(
            RecordsSource(events_of(random_records(600, seed=0, mean_visits=25))), DeathLess(), SETTINGS
        ).tensors.visit_offsets
    )
    tensors = synthetic.tensors
    before_end = ~tensors.event & (tensors.step < lengths - 1)
    at_risk_after = (
        (tensors.step + 1).sum() - tensors.event.sum() - (~tensors.event & (tensors.step == lengths - 1)).sum()
    )
    chance = before_end.sum() / at_risk_after
    assert abs(chance - 1 / 60) < 3 * np.sqrt(1 / 60 / at_risk_after)


class DeathLess(RandomOutcome):
    """Outcome without censoring and almost without events: every record is followed to its last step."""

    def __init__(self):
        super().__init__(0.001, 0.0, 0)


def test_the_draws_of_a_subject_do_not_hang_on_the_others():
    records = random_records(300, seed=4)
    outcome = RandomOutcome(0.7, 1 / 60, seed=0)
    whole = prepare_uncached(RecordsSource(events_of(records)), outcome, SETTINGS).tensors
    without = prepare_uncached(
        RecordsSource(events_of({k: v for k, v in records.items() if k != "s0007"})), outcome, SETTINGS
    ).tensors
    both = np.isin(whole.subject_id, without.subject_id)
    # Without one subject the intercept changes slightly, so nearly every label stays the same.
    assert (whole.step[both] == without.step).mean() > 0.98


def test_random_hazards_know_no_history():
    found = prepare_uncached(
        RecordsSource(events_of(random_records(300, seed=4))), RandomOutcome(0.7, 1 / 60, seed=0), SETTINGS
    )
    assert np.ptp(found.tensors.oracle_hazard) == 0


def test_a_weak_effect_is_warned_of():
    weak = SyntheticOutcome(0.7, 0.0, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
    found = prepare_uncached(RecordsSource(events_of(random_records(300, seed=4))), weak, SETTINGS)
    assert any("must be below -0.3" in warning and "outcome.effect" in warning for warning in found.flow.warnings)


def test_an_event_rate_out_of_reach_is_warned_of():
    """The rate is fitted on the training subjects; that of the other eighteen can differ by more than the tolerance."""
    short = random_records(60, seed=4, mean_visits=0)
    found = prepare_uncached(RecordsSource(events_of(short)), RandomOutcome(0.8, 0.5, seed=3), SETTINGS)
    assert abs(found.flow.outcome_facts["event_rate"] - 0.8) > 0.02
    assert any("the event rate must lie within 2% of outcome.event_rate=0.8" in text for text in found.flow.warnings)


def test_a_risk_that_never_varies_is_refused():
    same = {f"s{n}": record("X/a", "X/b", "X/c", "X/d") for n in range(40)}
    only_repetition = SyntheticOutcome(0.7, 1.7, 0.0, 0.0, 1.0, 1 / 60, seed=0, planted_codes=[])
    with pytest.raises(OutcomeError, match=r"risk must differ .* found the same everywhere"):
        prepare_uncached(RecordsSource(events_of(same)), only_repetition, SETTINGS)


def test_an_entry_behind_the_event_moves_no_visit_of_the_same_day():
    morning = [(day(0), "e0", ["X/a"]), (day(1), "e1", ["X/a"]), ("2020-01-03T08:00:00", "e2", ["X/a"])]
    event = [("2020-01-03T10:00:00", "e3", ["X/hit"])]
    afternoon = [("2020-01-03T15:00:00", "e2", ["X/a"])]
    for entries in (morning + event, morning + event + afternoon):
        assert labelled(events_of({"a": entries}), FirstCodeOutcome(["X/hit"]))[0] == {"a": (2, True)}


def test_a_code_dated_to_the_day_keeps_the_visits_of_that_day():
    entries = [(day(0), "e0", ["X/a"]), ("2020-01-03T08:00:00", "e1", ["X/a"]), ("2020-01-03T10:00:00", "e2", ["X/a"])]
    diagnosis = [("2020-01-03", "e2", ["X/hit"])]
    assert labelled(events_of({"a": entries + diagnosis}), FirstCodeOutcome(["X/hit"]))[0] == {"a": (1, True)}


def test_a_code_of_a_known_system_that_never_occurs_is_told():
    events = events_of({"a": record("X/a", "X/hit"), "b": record("X/a", "X/hit")})
    outcome = FirstCodeOutcome(["X/hit", "X/typo", "Y/other system"])
    visits, _ = group_visits(events, grouping="hybrid", window_hours=24.0)
    labels = outcome.label(visits, is_training=np.ones(2, dtype=bool))
    assert labels.warnings == ("of the outcome's 3 codes these occur nowhere in the export: X/typo",)


def test_with_encounters_only_a_code_outside_them_neither_is_nor_ends_anything():
    records = {"a": [*record("X/a", "X/a", "X/a"), ("2020-01-02", None, ["X/hit"])], "b": record("X/a", "X/hit")}
    found, _ = labelled(events_of(records), FirstCodeOutcome(["X/hit"]), grouping="encounter")
    assert found == {"a": (1, False), "b": (0, True)}


@pytest.mark.parametrize("outcome", [FirstCodeOutcome(["X/hit"]), RandomOutcome(0.7, 1 / 60, seed=0)])
@pytest.mark.parametrize(("tolerance", "observed"), [(1, 3), (0, 2)])
def test_entries_after_the_day_of_death_are_cut_for_every_outcome(outcome, tolerance, observed):
    records = {"dead": record("X/a", "X/a", "X/a", "X/hit"), "alive": record("X/a", "X/a", "X/hit")}
    events = replace(events_of(records, deaths={"dead": "2020-01-02"}), day_tolerance=tolerance)
    # West of Greenwich, times of the day of death reach into the next day in UTC.
    visits = group_observed(events, outcome, SETTINGS).visits
    assert visits.visits_per_subject.tolist() == [3, observed]


@pytest.mark.parametrize("outcome", [SYNTHETIC, FirstCodeOutcome(["X/7"]), DeathOutcome()])
@pytest.mark.parametrize("grouping", ["hybrid", "encounter"])
def test_the_flow_accounts_for_every_entry_visit_and_subject(outcome, grouping):
    records = random_records(80, seed=2)
    for number, name in enumerate(records):
        records[name].append(("2015-06-01T10:00:00", None, ["X/1", "X/1"]))
        if number % 7 == 0:
            records[name] = records[name][:2]
    deaths = {name: "2015-01-01" for name in list(records)[::3]}
    settings = replace(SETTINGS, grouping=grouping, max_codes_per_visit=3)
    flow = prepare_uncached(RecordsSource(events_of(records, deaths=deaths)), outcome, settings).flow
    assert flow.entries_read == flow.entries_used + sum(flow.entries_left_out.values())
    assert flow.visits_made == flow.visits_used + sum(flow.visits_left_out.values())
    assert flow.subjects_read == flow.subjects_used + sum(rule.subjects for rule in flow.subjects_excluded)
    expected = {
        "in visits left out",
        "beyond max_codes_per_visit",
        "known at or after the event, or after the death",
    }
    expected |= {"no encounter"} if grouping == "encounter" else {"same visit, time, code and value as another row"}
    assert expected <= {reason for reason, count in flow.entries_left_out.items() if count > 0}
    assert flow.visits_left_out["of excluded subjects"] > 0
