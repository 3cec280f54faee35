"""The canaries on rows of the days clock: each fails where a later entry, another subject or a name changes a row."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from survlstm.data import row_arrays, row_targets
from survlstm.data.batches import Batches
from survlstm.data.landmark import interval_labels
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.prediction_times import DaysClock
from survlstm.data.prepare import prepare_uncached
from survlstm.data.row_targets import exposure_after
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES
from survlstm.data.split import Split, split_subjects
from survlstm.data.values.settings import ValueSettings
from survlstm.data.visits import take_events
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.survival.concordance import concordance_td
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.prediction import predict_split
from tests.days import days_settings
from tests.prepared import assert_same_tensors, prepared_from
from tests.real_data import shared_data
from tests.records import GROUPS, RecordsSource, events_of, random_records, with_random_values

HIT = FirstCodeOutcome(["X/7"])
VALUED = [f"X/{number}" for number in range(20)]
VALUES = ValueSettings("both", min_values_per_bin=5)
# Nobody dies before the end of the records, so that every row is at risk and no label differs.
NEVER = "2300-01-01"
EDGES = (30.0, 365.0)


def messy_records(subjects, *, seed):
    """Encounters of some hours that overlap, entries without an encounter, and values."""
    generator = np.random.default_rng(seed)
    records = {}
    for number in range(subjects):
        # Never at midnight, which stands for a day without a time.
        start = np.datetime64("2015-03-01T06:10:00") + np.timedelta64(int(generator.integers(0, 300)), "D")
        entries = []
        for encounter in range(12):
            start = start + np.timedelta64(int(generator.choice([2, 5, 24 * 9, 24 * 40])), "h")
            name = None if generator.random() < 0.2 else f"e{encounter}"
            for _ in range(int(generator.integers(1, 4))):
                time = start + np.timedelta64(int(generator.integers(0, 11)), "h")
                entries.append((str(time), name, [f"X/{code}" for code in generator.integers(0, 30, 2)]))
        records[f"s{number:04d}"] = entries
    return with_random_values(records, seed=seed, codes=VALUED)


def moments(records, *, seed):
    """For each subject a time of one of its entries, or between two, in the middle of its record."""
    generator = np.random.default_rng(seed)
    found = {}
    for name, entries in records.items():
        times = np.sort(np.array([time for time, _, _ in entries], dtype="datetime64[s]"))
        middle = times[int(generator.integers(len(times) // 3, 2 * len(times) // 3))]
        found[name] = middle + np.timedelta64(int(generator.choice([0, 0, 1800])), "s")
    return found


def removed(later, begun, generator):
    return []


def recoded(later, begun, generator):
    return [(time, encounter, ["X/3", ("X/1", 1e6, "mg"), "A/never seen"]) for time, encounter, _ in later]


def delayed(later, begun, generator):
    return [(str(np.datetime64(time) + np.timedelta64(7, "h")), encounter, codes) for time, encounter, codes in later]


def prolonged(later, begun, generator):
    """Every encounter that has begun goes on for some hours, beside what is there already."""
    times = [begun["at"] + np.timedelta64(int(generator.integers(1, 6 * 3600)), "s") for _ in begun["encounters"]]
    more = [(str(time), name, ["X/5", "X/7"]) for time, name in zip(times, begun["encounters"], strict=True)]
    return [*later, *more]


CHANGES = pytest.mark.parametrize("change", [removed, recoded, delayed, prolonged])


def changed_after(records, at, change):
    generator = np.random.default_rng(3)
    found = {}
    for name, entries in records.items():
        before = [entry for entry in entries if np.datetime64(entry[0]) <= at[name]]
        later = [entry for entry in entries if np.datetime64(entry[0]) > at[name]]
        begun = {"at": at[name], "encounters": sorted({entry[1] for entry in before if entry[1] is not None})}
        found[name] = [*before, *change(later, begun, generator)]
    return found


def file_of(at, folder):
    path = folder / "times.csv"
    rows = "".join(f"{name},{str(time).replace('T', ' ')}\n" for name, time in at.items())
    path.write_text("subject_id,prediction_time\n" + rows)
    return str(path)


def hazards_of(prepared):
    """The hazards of a model that has seen nothing, for every row."""
    torch.manual_seed(0)
    model = DiscreteTimeSurvivalLSTM(
        vocabulary_size=len(prepared.vocabulary),
        embedding_dim=4,
        hidden_dim=4,
        num_layers=1,
        dropout=0.0,
        visit_features=prepared.tensors.features.shape[1],
        intervals=prepared.preprocessing.intervals,
        mean_hazard=[0.1] * prepared.preprocessing.intervals,
        prediction_features=1,
    )
    model.embedding.set_fused(prepared.preprocessing.fused_codes)
    columns = tuple(range(prepared.tensors.features.shape[1]))
    batches = Batches(prepared.tensors, np.arange(len(prepared.tensors.subject_id)), 32, columns, all_rows=True)
    return predict_split(model, batches, torch.device("cpu")).hazard


def rows_up_to(prepared, at, *, one_in=1):
    """Everything that the tensors hold of each row whose time is at most that of its subject, by subject and time.

    Of ``one_in`` rows about one is taken, by its time. The hazards come last.
    """
    data, entries, found = prepared.tensors, np.array(prepared.vocabulary.entries), {}
    hazards = hazards_of(prepared)
    for row, owner in enumerate(data.row_subject):
        name, time = str(data.subject_id[owner]), data.row_time[row]
        if time > at[name] or int(time.astype(np.int64)) % one_in:
            continue
        visits = slice(data.visit_offsets[owner], data.visit_offsets[owner] + data.row_visits[row])
        codes = slice(data.code_offsets[visits.start], data.code_offsets[visits.stop])
        found[name, str(time)] = (
            np.diff(data.code_offsets[visits.start : visits.stop + 1]).tolist(),
            entries[data.code[codes]].tolist(),
            data.visit_time[visits].tolist(),
            data.features[visits].tolist(),
            data.prediction_features[row].tolist(),
            (int(data.step[row]), bool(data.event[row]), float(data.exposure[row]), float(data.duration_days[row])),
            hazards[row],
        )
    return found


def differing(held, now):
    """The rows of both that are not the same; batches of other lengths add in another order."""
    return {
        row
        for row in held.keys() & now.keys()
        if held[row][:-1] != now[row][:-1] or not np.allclose(held[row][-1], now[row][-1], rtol=1e-5, atol=1e-7)
    }


def rows_that_move(records, at, rules, change, *, grouping="hybrid"):
    """The rows that are among those of the changed records too, and those of them that hold something else there."""
    settings = days_settings(
        *rules, min_visits=1, grouping=grouping, values=VALUES, code_groups=GROUPS, edges_days=EDGES
    )
    deaths = dict.fromkeys(records, NEVER)
    before = prepared_from(records, DeathOutcome(), settings, deaths=deaths)
    grown = changed_after(records, at, change)
    after = prepared_from(grown, DeathOutcome(), settings, deaths=deaths, preprocessing=before.preprocessing)
    held, now = rows_up_to(before, at), rows_up_to(after, at)
    both = held.keys() & now.keys()
    # A row whose visit goes on is none any more.
    assert len(both) > 0.8 * len(held)
    assert before.tensors.fused_codes.sum() > 100
    return both, differing(held, now)


@CHANGES
@pytest.mark.parametrize("grouping", ["hybrid", "same_day", "time_window"])
def test_3_entries_after_the_one_time_of_a_subject_change_nothing_of_its_row(change, grouping, tmp_path):
    records = messy_records(60, seed=1)
    at = moments(records, seed=2)
    rules = (file_of(at, tmp_path),)
    both, moved = rows_that_move(records, at, rules, change, grouping=grouping)
    assert len(both) == len(records)
    assert not moved


@CHANGES
def test_3_entries_after_a_row_among_many_change_nothing_of_it(change, tmp_path):
    """Visits of one subject overlap, and its record is split at each of its rows."""
    records = messy_records(40, seed=3)
    at = moments(records, seed=4)
    both, moved = rows_that_move(records, at, ("every_visit", file_of(at, tmp_path)), change)
    assert not moved
    assert len(both) > 4 * len(records)
    assert {(name, str(time)) for name, time in at.items()} <= both


def test_3_an_encounter_that_goes_on_would_be_seen_without_turns(tmp_path, monkeypatch):
    """The canary above is alive: split at the ends of visits only, the record tells that an encounter went on."""
    monkeypatch.setattr(DaysClock, "in_turns", False)
    records = messy_records(40, seed=3)
    at = moments(records, seed=4)
    assert rows_that_move(records, at, ("every_visit", file_of(at, tmp_path)), prolonged)[1]


def test_3_a_row_that_sees_a_visit_more_is_caught(tmp_path, monkeypatch):
    """The canary is alive: later entries change a row that sees the first visit after its time."""
    counted = row_targets.count_earlier
    records = messy_records(60, seed=1)
    at = moments(records, seed=2)
    late = np.timedelta64(60, "D")
    monkeypatch.setattr(
        row_targets, "count_earlier", lambda owner, time, subject, at: counted(owner, time, subject, at + late)
    )
    monkeypatch.setattr(row_arrays, "prediction_features", lambda time, last: np.zeros((len(time), 1)))
    assert rows_that_move(records, at, (file_of(at, tmp_path),), recoded)[1]


def test_3_entries_after_the_event_change_nothing():
    records = with_random_values(random_records(120, seed=2), seed=0, codes=VALUED)
    settings = days_settings("every_visit", "every_days:45", edges_days=EDGES, values=VALUES, code_groups=GROUPS)
    before = prepared_from(records, HIT, settings)
    data = before.tensors
    hit = {str(name) for name in np.unique(data.subject_id[data.row_subject[data.event]])}
    assert len(hit) > 40
    late = [(f"2300-01-{day:02}", f"late{day}", ["X/late", "X/7", ("X/1", 1e6, "mg")]) for day in range(1, 9)]
    after = prepared_from({k: v + (late if k in hit else []) for k, v in records.items()}, HIT, settings)
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()


def everything(prepared):
    far = dict.fromkeys(map(str, prepared.tensors.subject_id), np.datetime64("2999-01-01"))
    return rows_up_to(prepared, far)


def test_4_the_order_of_entries_changes_nothing():
    records = messy_records(60, seed=5)
    events = events_of(records)
    order = np.random.default_rng(0).permutation(len(events))
    names = ("subject", "code", "time", "encounter", "numeric_value", "unit", "value_fault")
    mixed = replace(events, **{name: getattr(events, name)[order] for name in names})
    settings = days_settings("every_visit", "day:40", evaluated=("last", "every_days:33"), edges_days=EDGES)
    one, other = (prepare_uncached(RecordsSource(each), HIT, settings) for each in (events, mixed))
    assert_same_tensors(one.tensors, other.tensors)


def test_4_the_names_of_subjects_change_nothing_but_their_order():
    records = messy_records(80, seed=6)
    names = np.array(list(records))
    split = split_subjects(names, train=0.7, val=0.15, seed=0)
    candidates = np.array([f"n{number}" for number in range(3000)])
    landed = split_subjects(candidates, train=0.7, val=0.15, seed=0)
    pools = {part: iter(candidates[landed == part][::-1]) for part in Split}
    renamed = {name: str(next(pools[Split(part)])) for name, part in zip(names, split, strict=True)}
    settings = days_settings("every_visit", evaluated=("every_days:33",), edges_days=EDGES)
    one = prepared_from(records, HIT, settings)
    state = one.preprocessing
    # The sums behind the scales run in another order, so that both have the same ones.
    one, other = (
        prepared_from(kept, HIT, settings, preprocessing=state)
        for kept in (records, {renamed[name]: entries for name, entries in records.items()})
    )
    before, after = everything(one), everything(other)
    before = {(renamed[name], time): held for (name, time), held in before.items()}
    assert (before.keys(), differing(before, after)) == (after.keys(), set())
    assert list(before) != list(after)


def test_5_a_new_test_subject_changes_no_training_row_and_nothing_that_is_fitted():
    records = messy_records(80, seed=7)
    names = np.array([f"new{number}" for number in range(100)])
    newcomer = str(names[split_subjects(names, train=0.7, val=0.15, seed=0) == Split.TEST][0])
    strange = [
        (time, name, ["A/never seen", ("A/never seen", 1.0, "a"), ("X/1", 1e6, "mg")])
        for time, name, _ in messy_records(1, seed=99)["s0000"]
    ]
    settings = days_settings(
        "every_visit", evaluated=("every_days:33",), intervals=3, edges="quantile", values=VALUES, code_groups=GROUPS
    )
    before, after = (prepared_from(kept, HIT, settings) for kept in (records, {**records, newcomer: strange}))
    assert newcomer in after.tensors.subject_id
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    now = everything(after)
    assert {row for row in now if row[0] == newcomer}
    held = everything(before)
    assert held.keys() == {row for row in now if row[0] != newcomer}
    assert not differing(held, now)
    assert initial_hazard(before.tensors) == initial_hazard(after.tensors)


def same_hazard_a_day(subjects, *, seed, daily=1 / 400):
    """Rows every 30 days of subjects that die with the same hazard every day; their follow-up differs much.

    Returns:
        Subject, days to the death or the end of follow-up, and whether it is the death, of each row.
    """
    generator = np.random.default_rng(seed)
    follow_up = generator.gamma(1.0, 500.0, subjects)
    death = generator.exponential(1 / daily, subjects)
    end, died = np.minimum(death, follow_up), death <= follow_up
    rows = [(one, end[one] - day) for one in range(subjects) for day in np.arange(0.0, end[one], 30.0)]
    subject, duration = (np.array(column) for column in zip(*rows, strict=True))
    return subject, duration, died[subject]


@pytest.mark.parametrize("emitted", ["constant", "random"])
def test_1_equal_true_hazards_give_one_half_whatever_the_follow_up(emitted):
    edges, estimates, peeking = np.array([0.0, 100.0, 250.0, 700.0]), [], []
    for seed in range(25):
        _, duration, died = same_hazard_a_day(150, seed=seed)
        step, event = interval_labels(duration, died, edges)
        seen = step >= 0
        shape = (int(seen.sum()), 3)
        hazard = np.full(shape, 0.2)
        if emitted == "random":
            hazard = np.random.default_rng(seed).uniform(0, 0.4, shape)
        labels = {"step": step[seen], "event": event[seen]}
        estimates.append(concordance_td(np.cumprod(1 - hazard, axis=1), **labels).c_td)
        known = 1 - 1 / (1 + np.repeat(duration[seen, None], 3, axis=1))
        peeking.append(concordance_td(known, **labels).c_td)
    if emitted == "constant":
        assert set(estimates) == {0.5}
    else:
        error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
        assert abs(np.mean(estimates) - 0.5) <= 3 * error < 0.02
    # The canary is alive: a model that knows the follow-up is far from one half.
    assert np.mean(peeking) > 0.9


def test_1_the_likelihood_of_shared_intervals_finds_the_hazard_of_a_day():
    """Events over the observed shares of an interval; counted from its start, the censored raise every hazard."""
    daily, edges, partly, wholly = 1 / 400, np.array([0.0, 100.0, 250.0, 700.0]), [], []
    for seed in range(20):
        _, duration, died = same_hazard_a_day(400, seed=seed, daily=daily)
        step, event = interval_labels(duration, died, edges)
        exposure = exposure_after(step, event, duration, edges)
        number = np.arange(3)
        happened = (event[:, None] & (step[:, None] == number)).sum(axis=0)
        whole = (step[:, None] >= number).sum(axis=0)
        part = np.where(step[:, None] + 1 == number, exposure[:, None], 0).sum(axis=0)
        partly.append(happened / (whole + part))
        wholly.append(happened / whole)
    true = 1 - np.exp(-daily * np.diff(edges))
    shared, from_start = np.mean(partly, axis=0), np.mean(wholly, axis=0)
    assert np.abs(shared - true).max() < 0.04
    assert (from_start - true > 3 * np.abs(shared - true)).all()


def inputs_of(prepared, at):
    """As ``rows_up_to``, of a row in 17 and without its label."""
    return {row: (*held[:5], held[6]) for row, held in rows_up_to(prepared, at, one_in=17).items()}


@pytest.mark.slow
@pytest.mark.parametrize("change", ["recoded", "removed"])
def test_3_on_a_real_cohort_entries_after_a_row_change_none_of_its_inputs(change):
    """Every row up to the middle of a record, after three days: days without a time take that of their encounter."""
    folder = shared_data("cohort_1000")
    events = SyntheaSource(str(folder), tuple(EVENT_TABLES), 0.01, None).read().events
    settings = days_settings("every_visit", edges_days=(365.0, 1825.0))
    before = prepare_uncached(RecordsSource(events), DeathOutcome(), settings)
    data = before.tensors
    middle = data.row_time[data.row_offsets[:-1] + data.trained_rows // 2]
    at = dict(zip(map(str, data.subject_id), middle, strict=True))
    limit = np.full(len(events.subjects), np.datetime64("2999-01-01", "s"))
    limit[np.searchsorted(events.subjects.subject_id.astype(str), data.subject_id)] = middle
    later = events.time > limit[events.subject] + np.timedelta64(3, "D")
    assert later.mean() > 0.2
    if change == "removed":
        changed = take_events(events, ~later)
    else:
        code = events.code.copy()
        code[later] = np.random.default_rng(0).permutation(code[later])
        changed = replace(events, code=code)
    after = prepare_uncached(RecordsSource(changed), DeathOutcome(), settings, preprocessing=before.preprocessing)
    held, now = inputs_of(before, at), inputs_of(after, at)
    assert len(held.keys() & now.keys()) > 1_500
    assert not differing(held, now)
