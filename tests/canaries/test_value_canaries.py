"""Canaries of values: no value from after a row, of another subject or of the outcome reaches the inputs of a row."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.events import ValueFault
from survlstm.data.features import FEATURES
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split, split_subjects
from survlstm.data.values.settings import ValueSettings
from tests.prepared import assert_same_tensors, by_subject, prepared_from
from tests.records import (
    GROUPS,
    LANDMARK_SETTINGS,
    SETTINGS,
    RecordsSource,
    events_of,
    random_records,
    with_random_values,
)

HIT = FirstCodeOutcome(["X/7"])
PLANTED = SyntheticOutcome(0.7, 1.7, 0.0, 0.0, 0.0, 1 / 60, seed=0, planted_codes=[], planted_values=["X/1", "X/2"])
BOTH = ValueSettings("both", min_values_per_bin=5)
ON_VISITS, AT_LANDMARK = (
    replace(settings, values=BOTH, code_groups=GROUPS) for settings in (SETTINGS, LANDMARK_SETTINGS)
)
CLOCKS = pytest.mark.parametrize("settings", [ON_VISITS, AT_LANDMARK], ids=["visit", "landmark"])
GROUPINGS = ["hybrid", "same_day", "time_window", "encounter"]


@pytest.fixture(scope="module")
def records():
    """Half of the codes have a number at most of their entries, the code of the outcome too."""
    return with_random_values(random_records(120, seed=2), seed=0, codes=[f"X/{number}" for number in range(20)])


def name_of(entry):
    return entry if isinstance(entry, str) else entry[0]


def changed_entry(entry, generator):
    """Another value, unit or code, or a value where there was none; entries of the outcome stay."""
    if name_of(entry) == "X/7":
        return entry
    number, unit = (0.5, "mg") if isinstance(entry, str) else entry[1:]
    other_value = (name_of(entry), number + generator.choice([-1e6, -0.5, 0.5, 1e6]), unit)
    changes = [other_value, (name_of(entry), number, "other"), ("X/other", number, unit), f"{name_of(entry)}0"]
    return changes[generator.integers(4)]


def changed_visits(visits, generator):
    return [
        (time, encounter, [changed_entry(entry, generator) for entry in codes]) for time, encounter, codes in visits
    ]


def rows_of(prepared):
    """Subject → codes, features and time of each visit."""
    found = {}
    for name, (_, _, _, sizes, codes, times, features, _, _, fused) in by_subject(prepared).items():
        ends = np.cumsum(sizes)
        of_visits = [codes[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        found[name] = list(zip(of_visits, fused, features, times, strict=True))
    return found


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("outcome", [HIT, DeathOutcome()], ids=["first code", "death"])
def test_entries_after_a_visit_change_nothing_in_its_row(records, outcome, grouping):
    settings = replace(ON_VISITS, grouping=grouping)
    deaths = {name: str(np.datetime64(records[name][-1][0][:10]) + 5) for name in list(records)[::2]}
    generator = np.random.default_rng(1)
    kept = {name: int(generator.integers(1, len(visits))) for name, visits in records.items()}
    changed = {
        name: visits[: kept[name]] + changed_visits(visits[kept[name] :], generator) for name, visits in records.items()
    }
    before = prepared_from(records, outcome, settings, deaths=deaths)
    # With what was fitted on the records as they were, because training subjects have changed too.
    after = prepared_from(changed, outcome, settings, deaths=deaths, preprocessing=before.preprocessing)
    rows, now = rows_of(before), rows_of(after)
    assert rows.keys() == now.keys()
    assert all(rows[name][: kept[name]] == now[name][: kept[name]] for name in rows)
    later = [
        (row, other)
        for name in rows
        for row, other in zip(rows[name][kept[name] :], now[name][kept[name] :], strict=True)
    ]
    assert np.mean([row[0] != other[0] and row[2] != other[2] for row, other in later]) > 0.9
    # The later rows show that the summaries of the history and the groups of changed codes see the changes.
    summaries = FEATURES.index("log_distinct_codes_so_far"), FEATURES.index("share_distinct_codes")
    common, _, strange = ((len(FEATURES) + 2 * place, len(FEATURES) + 2 * place + 1) for place in range(len(GROUPS)))
    differs = np.array([np.array(row[2]) != np.array(other[2]) for row, other in later])
    assert differs[:, [*summaries, *common, *strange]].any(axis=0).all()


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("outcome", [HIT, DeathOutcome()], ids=["first code", "death"])
def test_entries_after_the_landmark_change_nothing(records, outcome, grouping):
    settings = replace(AT_LANDMARK, grouping=grouping)
    deaths = {name: str(np.datetime64(records[name][-1][0][:10]) + 5) for name in list(records)[::2]}
    generator = np.random.default_rng(1)
    changed = {name: visits[:5] + changed_visits(visits[5:], generator) for name, visits in records.items()}
    before, after = (prepared_from(each, outcome, settings, deaths=deaths) for each in (records, changed))
    assert before.tensors.fused_codes.sum() > 100
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()


def other_subjects(records, change):
    """The records with one validation and one test subject added, removed or changed, and the names of the two."""
    strange = [("A/never seen", 1.0, "a"), ("X/1", 1e6, "mg"), ("X/1", -1e6, "mg"), ("X/2", 1.0, "never seen"), "X/3"]
    candidates = np.array([f"new{number}" for number in range(100)] if change == "added" else list(records))
    parts = split_subjects(candidates, train=0.7, val=0.15, seed=0)
    names = [str(candidates[parts == part][0]) for part in (Split.VAL, Split.TEST)]
    if change == "removed":
        return {name: visits for name, visits in records.items() if name not in names}, names
    visits = random_records(1, seed=99)["s0000"]
    new = [
        (time, encounter, [*strange, *(code for code in codes if code != "X/7")]) for time, encounter, codes in visits
    ]
    return records | dict.fromkeys(names, new), names


@CLOCKS
@pytest.mark.parametrize("change", ["added", "removed", "changed"])
@pytest.mark.parametrize("outcome", [HIT, PLANTED], ids=["first code", "planted"])
def test_validation_and_test_subjects_change_nothing_that_is_fitted_and_no_other_subject(
    records, outcome, change, settings
):
    others, names = other_subjects(records, change)
    before, after = (prepared_from(each, outcome, settings) for each in (records, others))
    assert any(measure.edges for measure in before.preprocessing.values.measures)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    held, now = (
        {name: parts for name, parts in by_subject(each).items() if name not in names} for each in (before, after)
    )
    assert len(held) > 60
    assert held == now


@CLOCKS
@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("outcome", [HIT, PLANTED], ids=["first code", "planted"])
def test_the_order_of_rows_with_values_changes_nothing(records, outcome, grouping, settings):
    # A second encounter at the same time as each: of the same size, with other values or units of the same codes.
    twins = {
        name: visits
        + [
            (time, f"twin of {e}", changed_visits([(time, e, codes)], np.random.default_rng(len(codes)))[0][2])
            for time, e, codes in visits
        ]
        for name, visits in records.items()
    }
    events = events_of(twins)
    faults = np.random.default_rng(3).choice(list(ValueFault), len(events)).astype(np.int8)
    events = replace(events, value_fault=np.where(np.isnan(events.numeric_value), faults, 0).astype(np.int8))
    order = np.random.default_rng(0).permutation(len(events))
    renamed = np.random.default_rng(1).permutation(events.encounter.max() + 1).astype(np.int32)
    names = ("subject", "code", "time", "numeric_value", "unit", "value_fault")
    mixed = replace(
        events, encounter=renamed[events.encounter[order]], **{name: getattr(events, name)[order] for name in names}
    )
    found = [
        prepare_uncached(RecordsSource(each), outcome, replace(settings, grouping=grouping)) for each in (events, mixed)
    ]
    assert_same_tensors(found[0].tensors, found[1].tensors)
    assert found[0].preprocessing.as_plain() == found[1].preprocessing.as_plain()
    assert found[0].flow == found[1].flow


@CLOCKS
@pytest.mark.parametrize("grouping", GROUPINGS)
def test_values_of_the_outcomes_code_and_of_what_comes_with_it_reach_no_input(records, grouping, settings):
    def with_outcome_at(place, number):
        """A result that is the outcome, in the visit ``place`` of every second subject, and other results with it."""
        found = {}
        for name, visits in list(records.items()):
            time, encounter, _ = visits[min(place, len(visits) - 1)]
            plain = [(t, e, [entry for entry in c if name_of(entry) != "X/7"]) for t, e, c in visits]
            more = [("X/7", number, "mg"), ("X/7", -number, "g"), ("X/1", number, "mg"), ("X/seen late", number, "")]
            later = str(np.datetime64(time) + 3600)
            found[name] = plain if int(name[1:]) % 2 else [*plain, (time, encounter, more), (later, None, more)]
        return found

    settings = replace(settings, grouping=grouping)
    before, after = (prepared_from(with_outcome_at(6, number), HIT, settings) for number in (0.25, 1e6))
    assert before.tensors.event.sum() > 40
    assert before.tensors.fused_codes.sum() > 100
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    assert not [entry for entry in before.vocabulary.entries if entry.startswith(("X/7", "X/seen late"))]
    assert not [each for each in before.preprocessing.values.measures if each.code in {"X/7", "X/seen late"}]
