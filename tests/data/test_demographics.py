"""Static codes as inputs of every visit and as groups of subjects, and the age at time zero."""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import validate_stored
from survlstm.data.checksums import write_checksums
from survlstm.data.demographics import (
    DemographicSettings,
    append_static_codes,
    completed_years,
    find_groups,
    input_codes,
)
from survlstm.data.events import StaticCodes
from survlstm.data.external_cohort import combine_with_cohort
from survlstm.data.factory import build_settings
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.prepared_cache import load_entry, store_prepared
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.visits import group_visits
from survlstm.utils.errors import ConfigError
from tests.records import LANDMARK_SETTINGS, PREFIXES, SETTINGS, RecordsSource, events_of, random_records, with_static

RECORDS = random_records(60, seed=3)
STATIC = {
    name: [("SEX/F", "SEX/M")[number % 2], ("RACE/white", "RACE//BLACK", "RACE/asian")[number % 3], "MARITAL/S"]
    for number, name in enumerate(RECORDS)
}
OUTCOME = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
SEX = DemographicSettings(PREFIXES, ("sex",))


def prepared_with(static=STATIC, *inputs, records=RECORDS, outcome=OUTCOME, settings=SETTINGS, **changes):
    settings = replace(settings, demographics=DemographicSettings(PREFIXES, inputs), **changes)
    return prepare_uncached(RecordsSource(with_static(events_of(records), static)), outcome, settings)


def codes_of(prepared):
    """Codes as texts, visit after visit."""
    names = np.array(prepared.vocabulary.entries)[prepared.tensors.code]
    return [part.tolist() for part in np.split(names, prepared.tensors.code_offsets[1:-1])]


def assert_same(first, second, *, but=()):
    for field in dataclasses.fields(Tensors):
        if field.name not in but:
            np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), field.name)


def test_static_codes_come_after_the_entries_of_every_visit():
    events = events_of(
        {
            "a": [("2010-01-01", "e1", ["X/2", "Z/1"]), ("2010-01-02", "e2", ["X/1"])],
            "b": [("2010-01-01", "e1", ["X/1"])],
            "c": [("2010-01-01", "e1", ["X/2"])],
        }
    )
    events = with_static(events, {"a": ["SEX/F", "RACE/white"], "c": ["SEX/M", "X/1"]})
    visits, _ = group_visits(events, grouping="hybrid", window_hours=24.0)
    static = input_codes(visits.subjects.static, DemographicSettings(PREFIXES, ("sex", "race", "other")))
    found = append_static_codes(visits, static)
    texts = [part.tolist() for part in np.split(found.codes[found.code], found.code_offsets[1:-1])]
    assert texts == [
        ["X/2", "Z/1", "RACE/white", "SEX/F"],
        ["X/1", "RACE/white", "SEX/F"],
        ["X/1"],
        ["X/2", "SEX/M", "X/1"],
    ]
    assert found.codes.tolist() == ["RACE/white", "SEX/F", "SEX/M", "X/1", "X/2", "Z/1"]
    assert found.visit_offsets.tolist() == visits.visit_offsets.tolist()


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ((), []),
        (("sex",), ["SEX/F"]),
        (("race",), ["RACE//B"]),
        (("other",), ["LANGUAGE//EN"]),
        (("other", "sex"), ["LANGUAGE//EN", "SEX/F"]),
    ],
)
def test_only_the_chosen_kinds_are_inputs_and_never_a_code_of_a_death(inputs, expected):
    names = np.array(["SEX/F", "LANGUAGE//EN", "RACE//B", "SNOMED/308646001"])
    static = StaticCodes.from_rows(np.array([1, 1, 1, 0]), names, subjects=3)
    found = input_codes(static, DemographicSettings(PREFIXES, inputs))
    assert found.codes[found.code].tolist() == expected
    assert found.per_subject.tolist() == [0, len(expected), 0]


def test_a_code_of_the_outcome_is_no_input_and_its_subjects_are_counted():
    static = {name: ["SEX/F", *(["X/hit"] if number < 5 else [])] for number, name in enumerate(RECORDS)}
    settings = DemographicSettings(PREFIXES, ("sex", "other"), outcome_codes=("X/hit", "X/other"))
    prepared = prepare_uncached(
        RecordsSource(with_static(events_of(RECORDS), static)), OUTCOME, replace(SETTINGS, demographics=settings)
    )
    assert "SEX/F" in prepared.vocabulary.entries
    assert "X/hit" not in prepared.vocabulary.entries
    without = prepared_with({name: ["SEX/F"] for name in RECORDS}, "sex", "other")
    assert_same(prepared.tensors, without.tensors)
    (warning,) = set(prepared.flow.warnings) - set(without.flow.warnings)
    assert warning.startswith("codes of the outcome without a time: 5 subjects have one")


def test_the_codes_of_the_outcome_come_from_the_config():
    words = ["data=tiny", "outcome=first_code", "outcome.codes=[X/hit]", "data.static=[other]"]
    (config,) = check_overrides("train", words, RunConfig)
    assert build_settings(config).demographics.outcome_codes == ("X/hit",)


def test_the_rest_after_the_longest_prefix_is_the_group_and_several_groups_are_none():
    rows = [
        (0, "SEX/F"),
        (0, "RACE//WHITE"),
        (1, "SEX/F"),
        (1, "SEX/M"),
        (2, "GENDER//M"),
        (2, "SEX/M"),
        (3, "SEX/"),
        (4, "ETHNICITY/hispanic"),
    ]
    static = StaticCodes.from_rows(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), subjects=5)
    found = find_groups(static, SEX)
    assert found.names.tolist() == [
        ["F", "WHITE", ""],
        ["", "", ""],
        ["M", "", ""],
        ["", "", ""],
        ["", "", "hispanic"],
    ]
    assert found.several == {"sex": 1}


@pytest.mark.parametrize(
    ("birth", "at", "years"),
    [
        ("2000-02-29", "2018-02-28T23:59:59", 17),
        ("2000-02-29", "2018-03-01", 18),
        ("1990-06-15", "2030-06-14", 39),
        ("1990-06-15", "2030-06-15T00:00:01", 40),
        ("2020-01-31", "2020-01-31", 0),
        ("2020-02-01", "2020-01-31", np.nan),
        ("NaT", "2020-01-31", np.nan),
        ("2020-01-31", "NaT", np.nan),
    ],
)
def test_age_in_completed_years(birth, at, years):
    found = completed_years(*(np.array([time], dtype="datetime64[s]") for time in (birth, at)))
    np.testing.assert_array_equal(found, [years])


def test_without_inputs_static_codes_change_groups_only():
    with_codes, without = prepared_with(), prepared_with({})
    assert_same(with_codes.tensors, without.tensors, but=("groups",))
    assert with_codes.preprocessing.as_plain() == without.preprocessing.as_plain()
    assert with_codes.flow == without.flow
    names = {name: codes for name, *codes in zip(with_codes.tensors.subject_id, with_codes.tensors.groups, strict=True)}
    assert len(names) > 40
    for name, (groups,) in names.items():
        sex, race, _ = STATIC[name]
        assert groups.tolist() == [sex.removeprefix("SEX/"), race.rsplit("/", 1)[1], ""]


def test_inputs_leave_labels_splits_and_features_as_they_are():
    found, without = prepared_with(STATIC, "sex"), prepared_with()
    assert_same(found.tensors, without.tensors, but=("code", "code_offsets", "static_codes"))
    assert found.preprocessing.feature_mean.tolist() == without.preprocessing.feature_mean.tolist()
    owner = np.repeat(found.tensors.subject_id, found.tensors.visits_per_subject)
    for name, visit, own in zip(owner, codes_of(found), codes_of(without), strict=True):
        assert visit == [*own, STATIC[name][0]]
    assert set(found.vocabulary.entries) - set(without.vocabulary.entries) == {"SEX/F", "SEX/M"}
    assert found.tensors.added_codes.sum() == len(found.tensors.visit_time)


def test_max_codes_per_visit_neither_cuts_static_codes_nor_counts_them():
    found = prepared_with(STATIC, "sex", max_codes_per_visit=1)
    assert set(np.diff(found.tensors.code_offsets)) == {2}
    assert all(visit[1].startswith("SEX/") for visit in codes_of(found))


def test_entries_read_and_added_are_those_left_out_and_used():
    flow, without = prepared_with(STATIC, "sex", "other").flow, prepared_with().flow
    assert flow.entries_added == 2 * flow.visits_used
    assert flow.entries_read + flow.entries_added == sum(flow.entries_left_out.values()) + flow.entries_used
    assert flow.entries_left_out == without.entries_left_out
    assert without.entries_added == 0


def test_a_static_code_counts_once_a_visit_towards_the_least_frequency():
    some = {name: ["SEX/F" if number < 2 else "SEX/M"] for number, name in enumerate(sorted(RECORDS))}
    tensors = prepared_with(some, "sex").tensors
    few = tensors.visits_per_subject[(tensors.split == Split.TRAIN) & (tensors.groups[:, 0] == "F")].sum()
    assert few > 0
    assert "SEX/F" in prepared_with(some, "sex", min_frequency=int(few)).vocabulary.entries
    assert "SEX/F" not in prepared_with(some, "sex", min_frequency=int(few) + 1).vocabulary.entries


def test_the_codes_of_a_subject_change_its_own_visits_only():
    """Swapping the sex of one test subject changes no other subject's row, no label and no fitted value."""
    before = prepared_with(STATIC, "sex")
    subject = int(before.tensors.members(Split.TEST)[0])
    name = str(before.tensors.subject_id[subject])
    sex, *others = STATIC[name]
    after = prepared_with(STATIC | {name: [{"SEX/F": "SEX/M", "SEX/M": "SEX/F"}[sex], *others]}, "sex")
    assert_same(before.tensors, after.tensors, but=("code", "groups"))
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    first, last = before.tensors.visit_offsets[[subject, subject + 1]]
    differs = np.flatnonzero(before.tensors.code != after.tensors.code)
    assert differs.tolist() == (before.tensors.code_offsets[first + 1 : last + 1] - 1).tolist()
    changed = (before.tensors.groups != after.tensors.groups).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [subject]


def test_the_age_is_that_at_the_first_visit_or_at_the_landmark():
    records = {
        f"s{number:02d}": [
            (f"20{year}-03-01", f"e{year}", ["X/1", "X/7"][: 1 + (year == 19)]) for year in range(10, 20)
        ]
        for number in range(40)
    }
    settings = replace(LANDMARK_SETTINGS, landmark=replace(LANDMARK_SETTINGS.landmark, edges="equidistant"))
    settings = replace(settings, landmark=replace(settings.landmark, horizon_days=4000.0))
    at_first = prepared_with({}, records=records, outcome=FirstCodeOutcome(["X/7"]))
    at_landmark = prepared_with({}, records=records, outcome=FirstCodeOutcome(["X/7"]), settings=settings)
    # Born on 1 January 1960; the landmark is visit 4.
    assert set(at_first.tensors.age_years) == {50.0}
    assert set(at_landmark.tensors.age_years) == {54.0}


def test_several_codes_of_a_kind_are_told_and_are_all_inputs():
    prepared = prepared_with({name: ["SEX/F", "SEX/M"] for name in list(RECORDS)[:5]}, "sex")
    assert any("5 subjects have several static codes of the kind sex" in warning for warning in prepared.flow.warnings)
    assert set(prepared.tensors.static_codes) == {0, 2}
    assert set(prepared.tensors.groups[:, 0]) == {""}


def test_the_cache_keeps_groups_and_reads_entries_of_older_versions(tmp_path):
    prepared = replace(prepared_with(STATIC, "sex"), fingerprint="f" * 24)
    store_prepared(prepared, tmp_path / "entry")
    found = load_entry(tmp_path / "entry", prepared.fingerprint)
    assert_same(found.tensors, prepared.tensors)
    assert found.flow == prepared.flow

    older = replace(prepared_with(), fingerprint="f" * 24)
    store_prepared(older, tmp_path / "older")
    with np.load(tmp_path / "older" / "tensors.npz") as arrays:
        kept = {name: arrays[name] for name in arrays if name not in {"static_codes", "groups", "age_years"}}
    np.savez(tmp_path / "older" / "tensors.npz", **kept)
    about = json.loads((tmp_path / "older" / "about.json").read_text())
    del about["flow"]["entries_added"], about["flow"]["fused_added"]
    (tmp_path / "older" / "about.json").write_text(json.dumps(about))
    write_checksums(tmp_path / "older")
    found = load_entry(tmp_path / "older", older.fingerprint)
    assert_same(found.tensors, older.tensors, but=("groups", "age_years"))
    assert set(found.tensors.groups.ravel()) == {""}
    assert np.isnan(found.tensors.age_years).all()
    assert found.flow == older.flow


def test_another_cohort_keeps_its_groups_and_counts_the_static_codes_of_the_subjects_kept():
    own, other = prepared_with(STATIC, "sex"), prepared_with(STATIC, "sex", split_seed=1)
    found = combine_with_cohort(own, other)
    tensors, flow = found.tensors, found.flow
    # Every visit of the other cohort's subjects has one static code.
    assert flow.entries_added == tensors.visits_per_subject[tensors.split == Split.TEST].sum() == flow.visits_used
    assert 0 < flow.entries_added < other.flow.entries_added
    assert flow.entries_read + flow.entries_added == sum(flow.entries_left_out.values()) + flow.entries_used
    for name, groups in zip(tensors.subject_id, tensors.groups, strict=True):
        assert f"SEX/{groups[0]}" == STATIC[str(name)][0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.static=[sex,sex]", "data.static: must name each kind once"),
        ("data.static=[gender]", "data.static"),
        ("data.demographics.race=[SEX/]", "each prefix must belong to one of sex, race and ethnicity"),
        ("evaluation.groups=[sex,sex]", "evaluation.groups: must name each kind once"),
        ("evaluation.age_groups=[40,18]", "evaluation.age_groups: must rise"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        check_overrides("train", ["experiment=smoke", override], RunConfig)


def test_a_config_of_an_older_run_reads_no_static_code():
    (config,) = check_overrides("train", ["experiment=smoke"], RunConfig)
    stored = config.model_dump(by_alias=True)
    for section, name in (
        ("data", "static"),
        ("data", "demographics"),
        ("evaluation", "groups"),
        ("evaluation", "age_groups"),
    ):
        del stored[section][name]
    assert validate_stored(stored, RunConfig, finished=True) == config
    assert config.data.static == []
