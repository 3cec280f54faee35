"""Tensors, vocabulary, features, split, windows and batches."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from survlstm.data import packing
from survlstm.data.batches import Batches, feature_columns, latest_windows, make_windows
from survlstm.data.features import FEATURES, standardise, visit_features
from survlstm.data.outcomes.labels import step_end_times
from survlstm.data.outcomes.protocol import Labels
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split, split_subjects
from survlstm.data.targets import visit_targets
from survlstm.data.tensors import build_tensors
from survlstm.data.visits import group_visits
from survlstm.data.vocabulary import Vocabulary, fit_vocabulary
from survlstm.training.prediction import predict_split
from survlstm.utils.ragged import flat_positions
from tests.records import LANDMARK_SETTINGS, RecordsSource, events_of, random_records

RECORDS = random_records(60, seed=0)


def built(*, step=None, max_codes_per_visit=None, min_frequency=2, records=RECORDS):
    visits, _ = group_visits(events_of(records), grouping="hybrid", window_hours=24.0)
    subjects = len(records)
    step = visits.visits_per_subject - 2 if step is None else np.minimum(step, visits.visits_per_subject - 2)
    labels = Labels(step, np.arange(subjects) % 2 == 0, end_time=step_end_times(visits, step))
    split = np.array([0, 0, 0, 1, 2] * (subjects // 5), dtype=np.int8)
    found = build_tensors(
        visits,
        visit_targets(visits, labels),
        split,
        max_codes_per_visit=max_codes_per_visit,
        min_frequency=min_frequency,
    )
    return visits, found.tensors, found.preprocessing.vocabulary, found.codes_left_out


def test_nothing_behind_the_last_at_risk_step_is_held():
    _, tensors, _, _ = built(step=4)
    assert np.diff(tensors.visit_offsets).tolist() == (tensors.step + 1).tolist()
    assert len(tensors.code) == tensors.code_offsets[-1]
    assert len(tensors.features) == len(tensors.visit_time) == tensors.visit_offsets[-1]


def test_max_codes_per_visit_keeps_the_first_codes_and_counts_the_rest():
    _, whole, _, _ = built(min_frequency=1)
    _, capped, _, left_out = built(max_codes_per_visit=3, min_frequency=1)
    sizes = np.diff(whole.code_offsets)
    assert np.diff(capped.code_offsets).tolist() == np.minimum(sizes, 3).tolist()
    assert left_out == (sizes - np.minimum(sizes, 3)).sum() > 0
    assert capped.code[:3].tolist() == whole.code[:3].tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(2, 20))
def test_windows_count_every_visit_once_and_look_back_half_a_window(lengths, max_visits):
    visits = np.array(lengths)
    found = make_windows(visits, max_visits)
    for subject, length in enumerate(lengths):
        rows = np.flatnonzero(found.owner == subject)
        counted = []
        for row in rows:
            begin, size, first = found.start[row], found.length[row], found.counted_from[row]
            assert size <= max_visits
            for position in range(first, size):
                counted.append(begin + position)
                assert begin == 0 or position >= max_visits - max_visits // 2
        assert counted == list(range(length))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(2, 20))
def test_the_window_of_a_step_does_not_hang_on_how_long_the_record_is(length, more, max_visits):
    short, long = make_windows(np.array([length]), max_visits), make_windows(np.array([length + more]), max_visits)
    rows = len(short.start)
    assert long.start[:rows].tolist() == short.start.tolist()
    assert long.counted_from[:rows].tolist() == short.counted_from.tolist()


def test_windows_give_the_hazards_of_the_whole_record_to_a_model_that_looks_at_one_visit():
    """For a model without memory, windows make no difference: each hazard is returned once, at its own step."""

    class Memoryless(torch.nn.Module):
        def forward(self, inputs):
            slot = inputs.slot
            logits = torch.full((inputs.slots,), torch.nan)
            logits[slot] = inputs.visit_features[slot, 0] + inputs.codes[inputs.code_offsets[slot].long()]
            return logits

    _, tensors, _, _ = built()
    members = tensors.members(Split.TRAIN)
    whole = predict_split(Memoryless(), Batches(tensors, members, 8, (0, 1)), torch.device("cpu"))
    cut = predict_split(Memoryless(), Batches(tensors, members, 8, (0, 1), max_visits=5), torch.device("cpu"))
    assert whole.step.max() > 10
    np.testing.assert_array_equal(whole.hazard, cut.hazard)
    np.testing.assert_array_equal(whole.nll, cut.nll)


def test_the_vocabulary_is_that_of_the_training_visits_held():
    visits, tensors, vocabulary, _ = built(step=4, min_frequency=3)
    counts = {}
    for number in np.flatnonzero(tensors.split == Split.TRAIN):
        first = visits.visit_offsets[number]
        for visit in range(first, first + tensors.step[number] + 1):
            for code in visits.code[slice(*visits.code_offsets[visit : visit + 2])]:
                counts[visits.codes[code]] = counts.get(visits.codes[code], 0) + 1
    frequent = sorted(code for code, count in counts.items() if count >= 3)
    assert vocabulary.entries == ("[PAD]", "[UNK]", *frequent)


def test_unknown_codes_get_their_own_number_and_padding_none():
    vocabulary = fit_vocabulary(np.array([0, 0, 1, 2, 2]), np.array(["A", "B", "C"], dtype=object), min_frequency=2)
    assert vocabulary == Vocabulary(("[PAD]", "[UNK]", "A", "C"))
    assert vocabulary.number(np.array(["C", "B", "Z", "A"])).tolist() == [3, 1, 1, 2]


def test_features_are_standardised_on_the_training_visits():
    _, tensors, _, _ = built()
    owner = np.repeat(tensors.split, tensors.step + 1)
    training = tensors.features[owner == Split.TRAIN].astype(float)
    np.testing.assert_allclose(training.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(training.std(axis=0), 1, atol=1e-5)


def test_features_of_a_record_worked_by_hand():
    record = [("2020-01-01", "e0", ["X/1", "X/2"]), ("2020-01-31", "e1", ["X/1"]), ("2021-01-01", "e2", ["X/3"])]
    visits, _ = group_visits(events_of({"a": record * 1, "b": record}), grouping="hybrid", window_hours=24.0)
    found = visit_features(visits)
    # An entry dated to the day was known at the end of that day.
    raw = np.array(
        [
            [0, 0, 21916 / 365.25, np.log(2), np.log(1)],
            [np.log(31), np.log(31), 21946 / 365.25, 0, np.log(2)],
            [np.log(337), np.log(367), 22282 / 365.25, 0, np.log(3)],
        ]
    )
    years = np.array([0, 30, 366]) / 365.25
    codes, distinct, number = np.array([2, 3, 4]), np.array([2, 2, 3]), np.array([1, 2, 3])
    history = [codes, distinct, codes / number, number / (1 + years), np.exp(distinct / codes)]
    np.testing.assert_allclose(found[:3], np.column_stack([raw, np.log(history).T]), atol=1e-6)
    np.testing.assert_array_equal(found[:3], found[3:])


def test_standardise_takes_what_it_is_given_and_a_column_without_spread_is_0():
    features = np.array([[1.0, 5.0], [4.0, 7.0]])
    found = standardise(features, mean=np.array([2.0, 5.0]), spread=np.array([2.0, 0.0]))
    assert found.tolist() == [[-0.5, 0.0], [1.0, 0.0]]


def test_the_split_has_its_shares_and_no_subject_moves_when_others_come():
    names = np.array([f"p{number}" for number in range(20_000)])
    split = split_subjects(names, train=0.7, val=0.15, seed=0)
    shares = np.bincount(split) / len(names)
    np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.01)
    np.testing.assert_array_equal(split[5000:6000], split_subjects(names[5000:6000], train=0.7, val=0.15, seed=0))
    assert (split != split_subjects(names, train=0.7, val=0.15, seed=1)).mean() > 0.3


@pytest.mark.parametrize("cost", [0, 100, 10**9])
@pytest.mark.parametrize("max_visits", [None, 5])
def test_batches_hold_every_subject_once_and_its_own_visits(monkeypatch, max_visits, cost):
    monkeypatch.setattr(packing, "SLICE_COST", cost)
    _, tensors, _, _ = built()
    members = tensors.members(Split.TRAIN)
    batches = Batches(tensors, members, 8, feature_columns(["age", "log_codes"], tensors), max_visits)
    seen = []
    for chosen in batches.in_order():
        seen += chosen.tolist()
        batch = batches.collate(chosen)
        assert batch.subjects == len(chosen)
        found = make_windows(np.diff(tensors.visit_offsets)[chosen], max_visits)
        assert batch.inputs.visits_per_row.tolist() == found.length.tolist()
        ends = torch.cat([batch.inputs.code_offsets, torch.tensor([len(batch.inputs.codes)])])
        counted = [[] for _ in chosen]
        for row, places in enumerate(batch.inputs.slot.split(batch.inputs.visits_per_row.tolist())):
            first = tensors.visit_offsets[chosen[found.owner[row]]] + found.start[row]
            for visit, place in enumerate(places.tolist(), first):
                codes = batch.inputs.codes[ends[place] : ends[place + 1]]
                assert codes.tolist() == tensors.code[slice(*tensors.code_offsets[visit : visit + 2])].tolist()
                assert batch.inputs.visit_features[place].tolist() == tensors.features[visit, [2, 3]].tolist()
            counted[found.owner[row]] += batch.event[places][batch.at_risk[places]].tolist()
        step, event = tensors.step[chosen].tolist(), tensors.event[chosen].tolist()
        assert counted == [[False] * last + [happened] for last, happened in zip(step, event, strict=True)]
        padding = np.setdiff1d(np.arange(batch.inputs.slots), batch.inputs.slot)
        assert (len(padding) == 0) == (cost == 0 or batch.inputs.visits_per_row.unique().numel() == 1)
        assert (ends[padding] == ends[padding + 1]).all()
        assert not batch.inputs.visit_features[padding].any()
        assert not batch.at_risk[padding].any()
        assert not batch.event[~batch.at_risk].any()
    assert sorted(seen) == members.tolist()
    assert len(batches) == len(batches.in_order()) == -(-len(members) // 8)


def test_batches_in_order_hold_subjects_of_similar_length():
    _, tensors, _, _ = built()
    batches = Batches(tensors, tensors.members(Split.TRAIN), 8, (0,))
    visits = np.diff(tensors.visit_offsets)
    ordered = [visits[subject] for chosen in batches.in_order() for subject in chosen]
    assert ordered == sorted(ordered)


def test_shuffled_batches_differ_between_epochs_and_not_between_runs():
    _, tensors, _, _ = built()
    batches = Batches(tensors, tensors.members(Split.TRAIN), 8, (0,))

    def epochs(seed):
        return [[chosen.tolist() for chosen in batches.shuffled(seed=seed, epoch=epoch)] for epoch in (1, 2)]

    assert epochs(0) == epochs(0)
    first, second = epochs(0)
    # Not only the order of the batches differs, but also the subjects in them.
    assert {frozenset(chosen) for chosen in first} != {frozenset(chosen) for chosen in second}
    assert epochs(1)[0] not in (first, second)
    for epoch in (first, second):
        assert len(epoch) == len(batches)
        assert sorted(chain.from_iterable(epoch)) == sorted(batches.members.tolist())


def test_an_epoch_is_the_same_whatever_came_before():
    """Batches of an epoch depend on seed and epoch only, so a resumed run needs no state of a generator."""
    _, tensors, _, _ = built()
    batches = Batches(tensors, tensors.members(Split.TRAIN), 8, (0,))
    straight = [batches.shuffled(seed=0, epoch=epoch) for epoch in range(3)][2]
    resumed = batches.shuffled(seed=0, epoch=2)
    assert [chosen.tolist() for chosen in straight] == [chosen.tolist() for chosen in resumed]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=10))
def test_ranges(rows):
    starts, sizes = (np.array([row[part] for row in rows], dtype=np.int64) for part in (0, 1))
    expected = [value for start, size in rows for value in range(start, start + size)]
    assert flat_positions(starts, sizes).tolist() == expected


def test_columns_of_groups_and_values_come_after_the_features_that_a_model_names():
    _, tensors, _, _ = built()
    assert feature_columns(["age", "log_visit_number"], tensors) == (2, 4)
    with_values = replace(tensors, features=np.zeros((len(tensors.features), 13), dtype=np.float32))
    assert feature_columns(["age", "log_visit_number"], with_values) == (2, 4, 10, 11, 12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.one_of(st.none(), st.integers(2, 20)))
def test_the_latest_visits_are_one_row_a_subject_that_ends_with_its_record(lengths, max_visits):
    visits = np.array(lengths)
    found = latest_windows(visits, max_visits)
    assert found.owner.tolist() == list(range(len(lengths)))
    assert (found.start + found.length).tolist() == lengths
    assert found.length.tolist() == [min(length, max_visits or length) for length in lengths]


@pytest.mark.parametrize("max_visits", [None, 3])
def test_batches_on_the_landmark_clock_hold_the_most_recent_visits_and_every_interval(max_visits):
    outcome = RandomOutcome(0.7, 1 / 60, seed=0)
    tensors = prepare_uncached(
        RecordsSource(events_of(random_records(100, seed=0))), outcome, LANDMARK_SETTINGS
    ).tensors
    members = tensors.members(Split.TRAIN)
    batches = Batches(tensors, members, 8, (0, 1), max_visits)
    seen = []
    for chosen in batches.in_order():
        seen += chosen.tolist()
        batch = batches.collate(chosen)
        assert len(batch.inputs.visits_per_row) == batch.subjects == len(chosen)
        assert batch.at_risk.shape == batch.event.shape == (len(chosen), 5)
        assert batch.at_risk.sum(dim=1).tolist() == (tensors.step[chosen] + 1).tolist()
        assert batch.event.sum(dim=1).tolist() == tensors.event[chosen].tolist()
        assert batch.event.nonzero()[:, 1].tolist() == tensors.step[chosen][tensors.event[chosen]].tolist()
        held = [range(*tensors.visit_offsets[subject : subject + 2])[-(max_visits or 99) :] for subject in chosen]
        assert batch.inputs.visits_per_row.tolist() == [len(row) for row in held]
        expected = [tensors.features[visit, :2].tolist() for row in held for visit in row]
        assert batch.inputs.visit_features[batch.inputs.slot].tolist() == expected
    assert sorted(seen) == members.tolist()
    assert sum(len(chosen) for chosen in batches.shuffled(seed=0, epoch=1)) == len(members)


def test_a_feature_that_is_the_same_at_every_training_visit_is_not_divided_by_a_rounding_error():
    """The standard deviation of equal numbers is not always 0: that of 110 times log(2) is about 1e-16."""
    records = {
        f"s{one:02d}": [(f"2020-01-{day:02d}T10:00", None, ["X/1", "X/2"]) for day in (1, 9)] for one in range(55)
    }
    visits, _ = group_visits(events_of(records), grouping="same_day", window_hours=24.0)
    labels = Labels(
        np.zeros(55, dtype=int), np.arange(55) % 2 == 0, end_time=step_end_times(visits, np.zeros(55, dtype=int))
    )
    split = np.zeros(55, dtype=np.int8)
    found = build_tensors(visits, visit_targets(visits, labels), split, max_codes_per_visit=None, min_frequency=1)
    log_codes = FEATURES.index("log_codes")
    assert np.log(visits.codes_per_visit).std() > 0
    assert found.preprocessing.feature_spread[log_codes] == 0
    assert (found.tensors.features[:, log_codes] == 0).all()
