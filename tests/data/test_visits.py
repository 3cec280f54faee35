"""``group_visits``: the visits of each grouping, their order, and the entries left out."""

from dataclasses import replace

import numpy as np
import pytest

from survlstm.data.visit_splits import split_in_turns
from survlstm.data.visits import cut_visits, group_visits, groupable_events
from tests.records import events_of, random_records


def group(events, grouping="hybrid", window_hours=24.0):
    return group_visits(events, grouping=grouping, window_hours=window_hours)


def shown(visits):
    """Return the visits of each subject as a list of (time, codes)."""
    found = {}
    for number, name in enumerate(visits.subjects.subject_id):
        found[name] = [
            (
                str(visits.visit_time[visit]),
                [str(visits.codes[code]) for code in visits.code[slice(*visits.code_offsets[visit : visit + 2])]],
            )
            for visit in range(*visits.visit_offsets[number : number + 2])
        ]
    return found


DAY = {
    "a": [
        ("2020-01-01T08:00:00", "e1", ["X/1"]),
        ("2020-01-01T09:30:00", "e1", ["X/2"]),
        ("2020-01-01T20:00:00", "e2", ["X/3"]),
        ("2020-01-01T12:00:00", None, ["X/4"]),
        ("2020-01-03T00:00:01", None, ["X/5"]),
    ]
}


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        ("encounter", [("2020-01-01T09:30:00", ["X/1", "X/2"]), ("2020-01-01T20:00:00", ["X/3"])]),
        ("same_day", [("2020-01-01T20:00:00", ["X/1", "X/2", "X/4", "X/3"]), ("2020-01-03T00:00:01", ["X/5"])]),
        (
            "hybrid",
            [
                ("2020-01-01T12:00:00", ["X/1", "X/2", "X/4"]),
                ("2020-01-01T20:00:00", ["X/3"]),
                ("2020-01-03T00:00:01", ["X/5"]),
            ],
        ),
    ],
)
def test_groupings(grouping, expected):
    events = groupable_events(events_of(DAY), grouping=grouping)
    assert len(events) == (3 if grouping == "encounter" else 5)
    assert shown(group(events, grouping)[0])["a"] == expected


@pytest.mark.parametrize(
    ("hours", "sizes"), [(1.0, [1, 1, 1, 1, 1]), (2.0, [2, 1, 1, 1]), (4.0, [2, 1, 1, 1]), (5.0, [3, 1, 1])]
)
def test_time_window_reaches_from_the_first_entry(hours, sizes):
    visits, _ = group(events_of(DAY), "time_window", window_hours=hours)
    assert visits.codes_per_visit.tolist() == sizes


def test_time_windows_never_join_two_subjects():
    records = {"a": [("2020-01-01T08:00:00", None, ["X/1"])], "b": [("2020-01-01T08:00:00", None, ["X/1"])]}
    visits, _ = group(events_of(records), "time_window", window_hours=1000.0)
    assert visits.visits_per_subject.tolist() == [1, 1]


def test_a_long_encounter_is_split_and_dated_by_its_last_entry():
    stay = {
        "a": [
            ("2020-01-01T08:00:00", "stay", ["X/in"]),
            ("2020-01-20T08:00:00", "stay", ["X/end"]),
            ("2020-01-10T08:00:00", "other", ["X/between"]),
        ]
    }
    visits, _ = group(events_of(stay))
    assert [codes for _, codes in shown(visits)["a"]] == [["X/in"], ["X/between"], ["X/end"]]


def test_nothing_in_a_visit_is_dated_after_it_and_visits_are_in_order():
    events = events_of(random_records(30, seed=3))
    visits, _ = group(events)
    gaps = np.diff(visits.visit_time.astype(np.int64))
    inside = np.diff(visits.visit_subject) == 0
    assert (gaps[inside] >= 0).all()
    encounter = events.subject.astype(np.int64) * 1000 + events.encounter
    last_entries = [events.time[encounter == number].max() for number in np.unique(encounter)]
    # Every encounter of these records ends on the day it begins.
    assert sorted(last_entries) == sorted(visits.visit_time)


def test_repeated_rows_count_once_and_are_counted():
    twice = {"a": [("2020-01-01T00:30:00", "e", ["X/1", "X/1"]), ("2020-01-01T01:00:00", "e", ["X/1"])]}
    visits, repeated = group(events_of(twice))
    assert visits.codes_per_visit.tolist() == [2]
    assert repeated == 1


def test_the_same_code_with_another_value_is_no_repetition():
    events = events_of({"a": [("2020-01-01", "e", ["X/1", "X/1", "X/1"])]})
    events = replace(events, numeric_value=np.array([1.0, 2.0, 1.0], dtype=np.float32))
    visits, repeated = group(events)
    assert visits.codes_per_visit.tolist() == [2]
    assert repeated == 1


def test_an_entry_dated_to_the_day_was_known_with_its_encounter():
    records = {
        "a": [
            ("2020-01-01T20:00:00", "e0", ["X/evening"]),
            ("2020-01-02T08:00:00", "e1", ["X/morning"]),
            ("2020-01-02T09:00:00", "e1", ["X/later"]),
            ("2020-01-02", "e1", ["X/diagnosis"]),
            ("2020-01-03", None, ["X/alone"]),
        ]
    }
    for grouping in ("hybrid", "time_window"):
        visits, _ = group(events_of(records), grouping, window_hours=10.0)
        assert shown(visits)["a"] == [
            ("2020-01-01T20:00:00", ["X/evening"]),
            ("2020-01-02T09:00:00", ["X/morning", "X/diagnosis", "X/later"]),
            ("2020-01-03T23:59:59", ["X/alone"]),
        ]


def test_visits_at_the_same_time_are_ordered_by_what_they_hold():
    """The names of encounters and the codes of other subjects have no influence."""
    pairs = (["X/a", "X/d"], ["X/b", "X/c"])
    for first, second in (pairs, pairs[::-1]):
        for others in ([], [("2020-01-01T08:00:00", "e", ["X/c1", "X/c2", "X/c3", "X/zz"])]):
            records = {"a": [("2020-01-01T08:00:00", "e1", first), ("2020-01-01T08:00:00", "e2", second)], "b": others}
            visits, _ = group(events_of(records))
            assert [codes for _, codes in shown(visits)["a"]] == [["X/a", "X/d"], ["X/b", "X/c"]]


@pytest.mark.parametrize("grouping", ["encounter", "same_day", "time_window", "hybrid"])
def test_the_order_of_rows_changes_nothing(grouping):
    records = random_records(20, seed=1)
    twins = {}
    for name, visits in records.items():
        twins[name] = visits + [(time, f"twin of {e}", [*codes[1:], "X/39"]) for time, e, codes in visits]
    events = events_of(twins)
    order = np.random.default_rng(0).permutation(len(events))
    renumbered = np.random.default_rng(1).permutation(events.encounter.max() + 1).astype(np.int32)
    mixed = replace(
        events,
        subject=events.subject[order],
        code=events.code[order],
        time=events.time[order],
        encounter=renumbered[events.encounter[order]],
        numeric_value=events.numeric_value[order],
    )
    one, other = group(events, grouping)[0], group(mixed, grouping)[0]
    np.testing.assert_array_equal(one.code, other.code)
    np.testing.assert_array_equal(one.visit_time, other.visit_time)
    np.testing.assert_array_equal(one.code_offsets, other.code_offsets)


def test_cut_visits_keeps_the_first_visits_of_the_named_subjects():
    visits, _ = group(events_of(random_records(4, seed=5)))
    kept = cut_visits(visits, np.array([1, 3]), stop=np.array([3, 2]))
    whole = shown(visits)
    assert shown(kept) == {"s0001": whole["s0001"][:3], "s0003": whole["s0003"][:2]}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        # (encounter, hour) of each entry, and the visits as hours.
        ([("a", 1), ("a", 3), ("b", 2)], [[1], [2], [3]]),
        ([("a", 1), ("a", 3), ("a", 5), ("b", 2), ("b", 4)], [[1], [2], [3], [4], [5]]),
        ([("a", 1), ("a", 5), ("b", 2), ("b", 3)], [[1], [2, 3], [5]]),
        ([("a", 1), ("a", 2), ("b", 3), ("b", 4)], [[1, 2], [3, 4]]),
        # Two encounters at one moment are two visits, and neither goes on.
        ([("a", 1), ("a", 2), ("b", 2), ("a", 3)], [[1], [2], [2], [3]]),
        ([("a", 1), ("a", 1), ("a", 2)], [[1, 1, 2]]),
    ],
)
def test_visits_that_overlap_take_turns(entries, expected):
    group = np.array([ord(name) for name, _ in entries])
    hours = np.array([hour for _, hour in entries])
    for subject in (np.zeros(len(entries), dtype=np.int64), np.arange(len(entries)) * 0 + 7):
        pieces = split_in_turns(group, subject, hours)
        found = sorted(sorted(hours[pieces == piece].tolist()) for piece in np.unique(pieces))
        assert found == sorted(expected)
        assert set(pieces) == set(range(len(found)))


def test_turns_up_to_a_moment_do_not_depend_on_what_follows():
    generator = np.random.default_rng(0)
    for _ in range(200):
        group, hours = generator.integers(0, 3, 12), generator.integers(0, 10, 12)
        subject = group // 2
        whole = split_in_turns(group, subject, hours)
        for end in range(10):
            kept = hours <= end
            part = split_in_turns(group[kept], subject[kept], hours[kept])
            # The same entries are together.
            assert ((whole[kept, None] == whole[kept]) == (part[:, None] == part)).all()
