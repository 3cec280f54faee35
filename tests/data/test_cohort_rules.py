"""Rules of the cohort: a table of cases for each kind, their order and counts, and no influence of the future."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.chosen_subjects import sampled
from survlstm.data.cohort_rules import (
    AgeRule,
    CodesRule,
    CohortSettings,
    DatesRule,
    HistoryRule,
    VisitsRule,
    absent_code_warnings,
    resolve_descendants,
    rule_exclusions,
    with_codes,
)
from survlstm.data.events import StaticCodes
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare, prepare_uncached
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.split import split_subjects
from survlstm.data.visits import group_visits
from survlstm.utils.errors import CohortError, ConfigError
from tests.cohorts import HIT, LANDMARK, at, edges_given, excluded, record
from tests.prepared import unscaled_state
from tests.records import SETTINGS, RecordsSource, events_of, random_records

RANDOM = RandomOutcome(0.7, 1 / 60, seed=0)


def age(at_least=None, below=None):
    return AgeRule(*(None if bound is None else float(bound) for bound in (at_least, below)))


def codes(*names, match="exact", within=None, fewest=1, resolved=None):
    return CodesRule(names, match, None if within is None else float(within), fewest, resolved)


def history(days):
    return HistoryRule(float(days))


def visits_of(records, *, births=None):
    events = events_of(records)
    if births is not None:
        birth = np.array([births.get(name, "1960-01-01") for name in events.subjects.subject_id], "datetime64[s]")
        events = replace(events, subjects=replace(events.subjects, birth=birth))
    return group_visits(events, grouping="hybrid", window_hours=24.0)[0]


def decided(rule, records, *, time, births=None):
    """The subjects for whom a rule holds."""
    visits = visits_of(records, births=births)
    times = np.full(len(visits.subjects), np.datetime64(time, "s"))
    return [
        str(name)
        for name, holds in zip(
            visits.subjects.subject_id, rule.holds(visits, times, np.arange(len(times))), strict=True
        )
        if holds
    ]


@pytest.mark.parametrize(
    ("rule", "time", "expected"),
    [
        # Births: on 2002-03-15, on 29 February 2004, unknown.
        (age(18, None), "2020-03-14T23:59:59", []),
        (age(18, None), "2020-03-15", ["in march"]),
        (age(None, 18), "2020-03-14T23:59:59", ["in march", "leap day"]),
        (age(None, 18), "2020-03-15", ["leap day"]),
        # In a year without 29 February the birthday is 1 March.
        (age(19, None), "2023-02-28T23:59:59", ["in march"]),
        (age(19, None), "2023-03-01", ["in march", "leap day"]),
        # The part of an age after its whole years is counted in days of a mean year.
        (age(18.5, None), "2020-09-12", []),
        (age(18.5, None), "2020-09-14", ["in march"]),
        (age(18, 18.5), "2020-09-14", []),
    ],
)
def test_age(rule, time, expected):
    births = {"in march": "2002-03-15", "leap day": "2004-02-29", "unknown": "NaT"}
    assert decided(rule, {name: [(at(0), "e", ["X/a"])] for name in births}, time=time, births=births) == expected


CODES = {
    "once": [(at(0), "e0", ["X/1"]), (at(90), "e1", ["X/12"])],
    "one visit twice": [(at(90), "e0", ["X/1", "X/1", "X/2"])],
    "two visits": [(at(10), "e0", ["X/1"]), (at(90), "e1", ["X/2"])],
    "later only": [(at(0), "e0", ["X/3"]), (at(101), "e1", ["X/1", "X/2"])],
    "at the time": [(at(100), "e0", ["X/2"])],
}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (codes("X/1"), ["once", "one visit twice", "two visits"]),
        (codes("X/1", "X/2"), ["at the time", "once", "one visit twice", "two visits"]),
        (codes("X/12"), ["once"]),
        (codes("X/1", match="prefix", fewest=2), ["once"]),
        # Two rows of a visit are one visit with the code.
        (codes("X/1", "X/2", fewest=2), ["two visits"]),
        (codes("X/1", within=10), ["one visit twice"]),
        (codes("X/1", within=90), ["one visit twice", "two visits"]),
        (codes("X/1", within=89.9), ["one visit twice"]),
        (codes("X/2", within=0), ["at the time"]),
        (codes("Y/1", match="descendants", resolved=("X/2", "Y/1")), ["at the time", "one visit twice", "two visits"]),
        (codes("X"), []),
    ],
)
def test_codes(rule, expected):
    assert decided(rule, CODES, time=at(100)) == expected


def test_visits_history_and_dates():
    records = {
        name: [(at(day), f"e{day}", ["X/a"]) for day in days]
        for name, days in {"a": (0, 50, 100), "b": (0, 101), "c": (101,)}.items()
    }
    assert decided(VisitsRule(3), records, time=at(100)) == ["a"]
    assert decided(VisitsRule(1), records, time=at(100)) == ["a", "b"]
    assert decided(history(100), records, time=at(100)) == ["a", "b"]
    assert decided(history(100.1), records, time=at(100)) == []
    # At the first visit of c there is a history of no length; before it there is none.
    assert decided(history(0), records, time=at(101)) == ["a", "b", "c"]
    assert decided(history(0), records, time=at(100)) == ["a", "b"]
    assert decided(DatesRule("2020-04-10", "2020-04-10"), records, time="2020-04-10T23:59:59") == ["a", "b", "c"]
    assert decided(DatesRule("2020-04-11", None), records, time="2020-04-10T23:59:59") == []
    assert decided(DatesRule(None, "2020-04-09"), records, time="2020-04-10T00:00:00") == []


def test_a_subject_without_a_prediction_time_fulfils_no_rule():
    rules = (
        age(1, None),
        age(None, 99),
        codes("X/1"),
        codes("X/1", within=9),
        VisitsRule(1),
        history(0),
        DatesRule("1900-01-01", None),
    )
    assert [decided(rule, CODES, time="NaT") for rule in rules] == [[]] * len(rules)


RULES = CohortSettings(
    include=(
        age(51, 70),
        codes("X/1", "X/2", "X/3", "X/4", "X/5"),
        codes("X/1", match="prefix", within=90, fewest=2),
        VisitsRule(2),
        history(50),
        DatesRule("2010-06-01", "2012-06-01"),
    ),
    exclude=(codes("X/17", within=60), codes("X/38"), age(52, None)),
)


def decisions(records, landmark):
    """The mask of every rule for every subject, at landmarks that are given."""
    visits = visits_of(records)
    times = np.array([landmark[name] for name in visits.subjects.subject_id], dtype="datetime64[s]")
    return {reason: mask.tolist() for reason, mask in rule_exclusions(RULES, visits, times)}


@pytest.mark.parametrize("change", ["add", "remove", "alter"])
def test_nothing_dated_after_the_prediction_time_decides(change):
    """The canary of rules: the future of every subject is changed, and no decision of any kind of rule with it."""
    records = random_records(150, seed=4)
    landmark = {
        name: np.datetime64(visits[0][0], "s") + np.timedelta64(20 + 3 * number, "D")
        for number, (name, visits) in enumerate(records.items())
    }
    before = decisions(records, landmark)
    # Each rule decides differently for different subjects, so that a leak would be seen.
    assert [reason for reason, mask in before.items() if not 0 < sum(mask) < len(mask)] == []
    changed = {}
    for name, visits in records.items():
        past = [visit for visit in visits if np.datetime64(visit[0]) <= landmark[name]]
        future = [visit for visit in visits if np.datetime64(visit[0]) > landmark[name]]
        if change == "add":
            times = [landmark[name] + np.timedelta64(seconds, "s") for seconds in (1, 3600, 10**6, 10**8)]
            future += [(str(time), f"late{n}", [f"X/{code}" for code in range(40)]) for n, time in enumerate(times)]
            # In the encounter of the last visit, and in none: visits are split at a landmark before rules are applied.
        elif change == "alter":
            future = [
                (str(np.datetime64(time) + 7200), encounter, ["X/17", "X/1", "X/99"]) for time, encounter, _ in future
            ]
        else:
            future = []
        changed[name] = past + future
    assert decisions(changed, landmark) == before


@pytest.mark.parametrize("clock", ["visit", "landmark"])
def test_entries_after_the_prediction_time_change_no_count_of_a_rule(clock):
    """The same through the whole preparation, where an entry could join the visit at the prediction time."""
    records = random_records(150, seed=4)
    deaths = {name: str(np.datetime64(visits[-1][0][:10]) + 5) for name, visits in list(records.items())[::2]}
    grown = {}
    for name, visits in records.items():
        landmark = np.datetime64(visits[0][0]) + np.timedelta64(100, "D")
        visits.append((str(landmark - 3600), "morning", ["X/20"]))
        late = [str(landmark + seconds) for seconds in (1, 60, 90000)]
        if clock == "visit":
            late = [str(np.datetime64(visits[0][0]) + np.timedelta64(days, "D")) for days in (1, 2)]
        more = [(time, encounter, ["X/9", "X/1", "X/4"]) for time in late for encounter in ("morning", None)]
        grown[name] = visits + (more if clock == "landmark" else more[1::2])
    landmark = None if clock == "visit" else replace(LANDMARK, horizon_days=2000.0)
    rules = CohortSettings(
        include=(age(50), codes("X/1", match="prefix" if clock == "visit" else "exact")),
        exclude=(codes("X/9"), codes("X/4", within=90)),
    )
    settings = replace(SETTINGS, landmark=landmark, cohort=rules, min_visits=1)
    counted = []
    for kept in (records, grown):
        flow = prepare_uncached(RecordsSource(events_of(kept, deaths=deaths)), DeathOutcome(), settings).flow
        counted.append([rule for rule in flow.subjects_excluded if rule.reason.startswith("cohort.")])
    assert counted[0] == counted[1]
    assert [rule.reason for rule in counted[0] if not rule.subjects and "age" not in rule.reason] == []


def test_rules_are_counted_in_order_after_those_of_the_landmark():
    """Each subject is left out once, by the first rule that applies, and its event is counted there."""
    records = {
        "kept": record(0, 50, 200, hit=300),
        "early": record(0, 50, hit=90),
        "too young and without the code": record(0, 50, 200, code="X/b", hit=300),
        "without the code": record(0, 50, 200, code="X/b"),
        "washed out": [*record(0, 200, hit=300), (at(95), "w", ["X/w"])],
        "washed out long ago": [*record(0, 200, hit=300), (at(5), "w", ["X/w"])],
        "of unknown age": record(0, 50, 200),
    }
    events = events_of(records)
    births = {"too young and without the code": "2010-01-01", "of unknown age": "NaT"}
    birth = np.array([births.get(name, "1960-01-01") for name in events.subjects.subject_id], "datetime64[s]")
    events = replace(events, subjects=replace(events.subjects, birth=birth))
    rules = CohortSettings(include=(age(18), codes("X/a")), exclude=(codes("X/w", within=30), age(90)))
    settings = replace(SETTINGS, landmark=LANDMARK, cohort=rules, min_visits=2)
    prepared = prepare_uncached(RecordsSource(events), HIT, settings, preprocessing=edges_given())
    assert prepared.tensors.subject_id.tolist() == ["kept", "washed out long ago"]
    reasons = [rule.reason for rule in prepared.flow.subjects_excluded]
    assert reasons.index("fewer than 2 visits on or before the landmark") < reasons.index(
        "cohort.include 1: age unknown"
    )
    assert reasons[-1] == "censored before the first edge: no interval fully observed"
    assert excluded(prepared) == [
        ("event or end of follow-up at or before the landmark", 1, 1),
        ("cohort.include 1: age unknown", 1, 0),
        ("cohort.include 1: age at least 18", 1, 1),
        ("cohort.include 2: code X/a", 1, 0),
        ("cohort.exclude 1: code X/w within 30 days before", 1, 1),
    ]
    assert "cohort.exclude 2: age at least 90" in reasons


def test_on_the_visit_clock_rules_apply_at_the_first_visit():
    rules = CohortSettings(include=(codes("X/a"),), exclude=(DatesRule("2020-01-02", None),))
    records = {"a": record(0, 10, 20), "later": record(0, code="X/b") + record(10, 20, 30), "b": record(1, 10, 20)}
    settings = replace(SETTINGS, cohort=rules, min_visits=1)
    prepared = prepare_uncached(RecordsSource(events_of(records)), RANDOM, settings, preprocessing=_of_visits())
    assert prepared.tensors.subject_id.tolist() == ["a"]
    assert [reason for reason, _, _ in excluded(prepared)] == [
        "cohort.include 1: code X/a",
        "cohort.exclude 1: dates from 2020-01-02",
    ]


def _of_visits():
    return unscaled_state(("[PAD]", "[UNK]", "X/a"))


def test_the_words_of_a_rule_name_three_codes():
    assert codes("X/1", "X/2", "X/3", "X/4", "X/5", match="prefix", within=30, fewest=2).words == (
        "2 visits with codes X/1, X/2, X/3 and 2 more (prefix) within 30 days before"
    )


def test_a_rule_whose_codes_occur_nowhere_is_told():
    settings = replace(SETTINGS, landmark=LANDMARK, min_visits=1)
    records = {"a": record(0, 50, 200), "b": record(0, 200, hit=300)}
    outside = replace(settings, cohort=CohortSettings(exclude=(codes("Y/1"), codes("X/a", match="prefix", within=20))))
    prepared = prepare_uncached(
        RecordsSource(events_of(records)), HIT, outside, preprocessing=edges_given(("X/hit", "X/a"))
    )
    said = [warning for warning in prepared.flow.warnings if "cohort." in warning]
    assert said == [
        "cohort.exclude 1 (code Y/1) has none of its codes in the records that may be read, so that it leaves nobody "
        "out; check the coding system and the codes"
    ]
    nobody = replace(settings, cohort=CohortSettings(include=(codes("Y/1"),)))
    with pytest.raises(
        CohortError, match=r"found none of 2 \(cohort.include 1: code Y/1: 2.*other rules of the cohort"
    ):
        prepare_uncached(RecordsSource(events_of(records)), HIT, nobody, preprocessing=edges_given())


class SourceOfTree(RecordsSource):
    """A source in whose hierarchy X/a is above X/b."""

    def descendants(self, codes):
        return frozenset(codes) | ({"X/b"} if "X/a" in codes else set())


def test_descendants_come_from_the_source_and_stay_with_the_model():
    below = CohortSettings(include=(codes("X/a", match="descendants"),))
    records = random_records(60, seed=0)
    for number, name in enumerate(records):
        records[name][1][2].append(("X/a", "X/b", "X/c")[number % 3])
    settings = replace(SETTINGS, landmark=LANDMARK, min_visits=1, cohort=below)
    outcome = FirstCodeOutcome(["X/7"])
    prepared = prepare_uncached(SourceOfTree(events_of(records)), outcome, settings)
    assert prepared.preprocessing.descendants == {"cohort.include 1": ("X/a", "X/b")}
    (counted,) = [rule for rule in prepared.flow.subjects_excluded if rule.reason.startswith("cohort.")]
    assert counted.reason == "cohort.include 1: code X/a (descendants)"
    assert counted.subjects > 5
    # Another cohort, of a source without a hierarchy, is selected with the stored codes.
    stored = PreprocessingState.from_plain(prepared.preprocessing.as_plain())
    other = prepare_uncached(RecordsSource(events_of(records)), outcome, settings, preprocessing=stored)
    assert other.flow.subjects_excluded == prepared.flow.subjects_excluded
    np.testing.assert_array_equal(other.tensors.code, prepared.tensors.code)


def test_descendants_without_a_hierarchy_and_without_stored_codes():
    below = CohortSettings(exclude=(codes("X/b"), codes("X/a", match="descendants")))
    with pytest.raises(
        ConfigError, match=r"cohort.exclude 2: match: descendants needs .*RecordsSource does not. List the"
    ):
        resolve_descendants(below, RecordsSource(events_of({"a": record(0)})))
    with pytest.raises(
        ConfigError, match=r"codes below those of cohort.exclude 2 must be stored.*Train the model again"
    ):
        with_codes(below, {})


def test_a_state_of_an_earlier_version_has_no_codes_of_rules():
    plain = edges_given().as_plain()
    assert "descendants" not in plain
    assert PreprocessingState.from_plain(plain).descendants == {}
    with pytest.raises(ValueError, match="descendants must hold a list of codes"):
        PreprocessingState.from_plain(plain | {"descendants": {"cohort.include 1": [1]}})


def test_a_sample_is_stable_and_independent_of_the_split():
    names = np.array([f"s{number}" for number in range(1000)], dtype=object)
    everybody = np.ones(1000, dtype=bool)
    chosen = sampled(names, everybody, 200)
    assert chosen.sum() == 200
    order = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(sampled(names[order], everybody, 200), chosen[order])
    # A larger sample holds the smaller one, and 100 more subjects displace about a tenth of it.
    assert (sampled(names, everybody, 300) & chosen).sum() == 200
    grown = sampled(np.append(names, [f"t{number}" for number in range(100)]), np.ones(1100, dtype=bool), 200)
    assert 170 <= (grown[:1000] & chosen).sum() <= 195
    split = split_subjects(names, train=0.7, val=0.15, seed=0)
    assert abs((split[chosen] == 0).mean() - 0.7) < 0.1
    assert sampled(names, everybody, 5000).all()


def test_a_sample_is_the_first_rule_and_part_of_the_fingerprint(tmp_path):
    source, cohort = RecordsSource(events_of(random_records(60, seed=0))), CohortSettings(sample=40)
    found = {
        size: prepare(
            source, RANDOM, replace(SETTINGS, cohort=replace(cohort, sample=size)), described={}, cache=tmp_path
        )
        for size in (40, 50, None)
    }
    assert len({prepared.fingerprint for prepared in found.values()}) == 3
    assert found[40].flow.subjects_excluded[0][:2] == ("not in the sample of 40 subjects", 20)
    assert set(found[40].tensors.subject_id) < set(found[50].tensors.subject_id)
    settings = replace(SETTINGS, landmark=LANDMARK, min_visits=1)
    rules = [replace(settings, cohort=CohortSettings(include=(rule,))) for rule in (VisitsRule(2), history(2))]
    prints = {prepare(source, RANDOM, each, described={}, cache=tmp_path).fingerprint for each in rules}
    assert len(prints) == 2


def test_a_static_code_fulfils_a_rule_that_neither_counts_visits_nor_limits_their_age():
    visits = visits_of({"a": record(0, 1), "b": record(0, 1), "c": record(0, 1)})
    static = StaticCodes.from_rows(np.array([0, 2]), np.array(["SEX/F", "SEX/M"]), subjects=3)
    visits = replace(visits, subjects=replace(visits.subjects, static=static))
    time = visits.visit_time[visits.visit_offsets[1:] - 1].copy()
    assert codes("SEX/F").holds(visits, time, np.arange(len(time))).tolist() == [True, False, False]
    assert codes("SEX/", match="prefix").holds(visits, time, np.arange(len(time))).tolist() == [True, False, True]
    for counting in (codes("SEX/F", within=30), codes("SEX/F", fewest=2)):
        assert not counting.holds(visits, time, np.arange(len(time))).any()
    time[0] = np.datetime64("NaT")
    assert not codes("SEX/F").holds(visits, time, np.arange(len(time))).any()
    rules = CohortSettings(include=(codes("SEX/F"), codes("SEX/X")))
    assert [warning.split(" (")[0] for warning in absent_code_warnings(rules, visits)] == ["cohort.include 2"]
