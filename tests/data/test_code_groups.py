"""Summaries of the history and code groups, against computations that are slow and obvious."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.data.code_groups import CodeGroup, FittedGroups, group_features
from survlstm.data.demographics import DemographicSettings
from survlstm.data.features import FEATURES, visit_features
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.preprocessing_state import PreprocessingState
from survlstm.data.split import Split
from survlstm.data.values.settings import ValueSettings
from survlstm.data.visits import group_visits
from tests.prepared import prepared_from
from tests.records import PREFIXES, SETTINGS, RecordsSource, events_of, random_records, with_static

GROUPS = (CodeGroup("heart", ("X/1", "X/2")), CodeGroup("kidney", ("X/3",)))
RANDOM = RandomOutcome(0.7, 1 / 60, seed=0)
# Days since the visit before, and the codes, of each visit.
visit = st.tuples(st.integers(1, 900), st.lists(st.sampled_from([f"X/{n}" for n in range(6)]), min_size=1, max_size=5))
cohorts = st.lists(st.lists(visit, min_size=1, max_size=6), min_size=1, max_size=4)


def dated(drawn):
    """Records of the drawn visits, each at noon."""
    records = {}
    for number, visits in enumerate(drawn):
        days = np.cumsum([gap for gap, _ in visits])
        records[f"s{number}"] = [
            (f"{np.datetime64('2010-01-01') + day}T12:00:00", f"e{place}", codes)
            for place, (day, (_, codes)) in enumerate(zip(days, visits, strict=True))
        ]
    return records


def days_between(earlier, later):
    return float((np.datetime64(later[0]) - np.datetime64(earlier[0])) / np.timedelta64(1, "D"))


def pasts_of(records):
    """The visits up to each, of all subjects in turn. Entries with the same code in one visit are one."""
    for name in sorted(records):
        for number in range(len(records[name])):
            yield [(time, encounter, sorted(set(codes))) for time, encounter, codes in records[name][: number + 1]]


def slow_features(past):
    codes = [code for _, _, of_visit in past for code in of_visit]
    years = days_between(past[0], past[-1]) / 365.25
    return {
        "log_days_since_last": math.log(1 + (days_between(past[-2], past[-1]) if len(past) > 1 else 0)),
        "log_days_since_first": math.log(1 + days_between(past[0], past[-1])),
        "age": days_between(("1960-01-01",), past[-1]) / 365.25,
        "log_codes": math.log(len(past[-1][2])),
        "log_visit_number": math.log(len(past)),
        "log_codes_so_far": math.log(len(codes)),
        "log_distinct_codes_so_far": math.log(len(set(codes))),
        "log_codes_per_visit": math.log(len(codes) / len(past)),
        "log_visits_per_year": math.log(len(past) / (1 + years)),
        "share_distinct_codes": len(set(codes)) / len(codes),
    }


def slow_group(past, group):
    with_one = [visit for visit in past if set(visit[2]) & set(group.codes)]
    return [1.0, math.log(1 + days_between(with_one[-1], past[-1]))] if with_one else [0.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(cohorts)
def test_features_and_groups_are_those_of_an_obvious_computation(drawn):
    records = dated(drawn)
    visits, _ = group_visits(events_of(records), grouping="encounter", window_hours=24.0)
    pasts = list(pasts_of(records))
    expected = [[slow_features(past)[name] for name in FEATURES] for past in pasts]
    np.testing.assert_allclose(visit_features(visits), expected, rtol=1e-9, atol=1e-9)
    of_groups = [[number for group in GROUPS for number in slow_group(past, group)] for past in pasts]
    np.testing.assert_allclose(group_features(visits, GROUPS), of_groups, rtol=1e-9, atol=1e-9)


def test_a_group_of_a_record_worked_by_hand():
    records = {
        "a": [("2020-01-01", "e0", ["X/3"]), ("2020-01-11", "e1", ["X/1", "X/9"]), ("2020-01-31", "e2", ["X/9"])],
        "b": [("2020-01-01", "e0", ["X/9"])],
    }
    visits, _ = group_visits(events_of(records), grouping="hybrid", window_hours=24.0)
    found = group_features(visits, GROUPS)
    np.testing.assert_allclose(found[:, 0], [0, 1, 1, 0])
    np.testing.assert_allclose(np.expm1(found[:, 1]), [0, 0, 20, 0])
    np.testing.assert_allclose(np.expm1(found[:, 3]), [0, 10, 30, 0])


def grouped(records=None, **parts):
    records = random_records(80, seed=0) if records is None else records
    return prepared_from(records, RANDOM, replace(SETTINGS, code_groups=GROUPS, **parts))


def test_columns_of_groups_are_standardised_on_training_visits_and_precede_those_of_values():
    prepared = grouped()
    data = prepared.tensors
    assert data.features.shape[1] == len(FEATURES) + 4 == prepared.preprocessing.first_value_column
    is_training = np.repeat(data.split, data.visits_per_subject) == Split.TRAIN
    columns = data.features[is_training, len(FEATURES) :]
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(columns.std(axis=0), 1, atol=1e-5)
    assert prepared.preprocessing.sizes.added_columns == 4
    assert data.features.dtype == np.float32


def test_without_groups_nothing_else_changes():
    plain = prepared_from(random_records(80, seed=0), RANDOM)
    with_groups = grouped()
    np.testing.assert_array_equal(plain.tensors.features, with_groups.tensors.features[:, : len(FEATURES)])
    assert "code_groups" not in plain.preprocessing.as_plain()
    assert {"code_groups", *plain.preprocessing.as_plain()} == set(with_groups.preprocessing.as_plain())


def test_static_codes_and_bins_of_values_are_in_no_group():
    records = {name: visits for name, visits in random_records(80, seed=0).items()}
    events = with_static(events_of(records), {name: ["SEX/F"] for name in records})
    groups = (CodeGroup("women", ("SEX/F",)),)
    demographics = DemographicSettings(PREFIXES, ("sex",))
    parts = replace(SETTINGS, code_groups=groups, demographics=demographics, values=ValueSettings("both"))
    prepared = prepare_uncached(RecordsSource(events), RANDOM, parts)
    assert prepared.tensors.static_codes.min() == 1
    assert (prepared.tensors.features[:, len(FEATURES) :] == 0).all()


def test_another_cohort_gets_the_groups_and_scales_of_the_state():
    own = grouped()
    state = PreprocessingState.from_plain(own.preprocessing.as_plain())
    others = random_records(20, seed=3)
    found = prepared_from(others, RANDOM, SETTINGS, preprocessing=state).tensors
    visits, _ = group_visits(events_of(others), grouping="hybrid", window_hours=24.0)
    scale = own.preprocessing.code_groups
    expected = (group_features(visits, GROUPS) - scale.mean) / scale.spread
    of_first = visits.visit_offsets[0], found.visit_offsets[1]
    np.testing.assert_allclose(found.features[slice(*of_first), len(FEATURES) :], expected[slice(*of_first)], atol=1e-5)


def test_codes_beyond_the_most_of_a_visit_have_not_occurred():
    records = {
        name: [(*visit[:2], ["X/0", "X/3"]) for visit in visits] for name, visits in random_records(80, seed=0).items()
    }
    assert grouped(records).preprocessing.code_groups.mean[2] == 1
    assert grouped(records, max_codes_per_visit=1).preprocessing.code_groups.mean[2] == 0


def test_codes_that_never_occur_are_named():
    groups = (CodeGroup("heart", ("X/1", "Y/1")), CodeGroup("none", ("Y/2",)))
    prepared = prepared_from(random_records(80, seed=0), RANDOM, replace(SETTINGS, code_groups=groups))
    found = [warning for warning in prepared.flow.warnings if "code_groups" in warning]
    assert [warning.partition(";")[0] for warning in found] == [
        "data.code_groups.heart has codes that occur in no visit that may be read: Y/1",
        "data.code_groups.none has codes that occur in no visit that may be read: Y/2",
    ]


def test_the_order_of_groups_is_stored():
    scale = np.arange(4.0), np.arange(1.0, 5.0)
    again = FittedGroups.from_plain(FittedGroups(GROUPS[::-1], *scale).as_plain())
    assert again.groups == GROUPS[::-1]
    np.testing.assert_array_equal([again.mean, again.spread], scale)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"more": 1}, "must have exactly the parts codes, mean, name, spread"),
        ({"name": 1}, "must have a name of its own"),
        ({"name": "kidney"}, "must have a name of its own"),
        ({"codes": ["X/1", 2]}, "must have a list of codes"),
        ({"mean": [0.0]}, "must have a mean of each of its 2 columns"),
        ({"spread": [0.0, 1.0, 1.0]}, "must have a spread of each of its 2 columns"),
        ({"mean": [0.0, "1"]}, "mean of a code group must be a list of numbers"),
        ({"spread": [0.0, 1e9]}, "spreads 0 or 1e-30 to 10000"),
    ],
)
def test_an_unsound_group_is_refused(change, said):
    heart, kidney = FittedGroups(GROUPS, np.zeros(4), np.ones(4)).as_plain()
    with pytest.raises(ValueError, match=said):
        FittedGroups.from_plain([heart | change, kidney])
