"""The canaries of docs/conventions.md: each dies where a leak or a wrong convention gets in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from survlstm.data.batches import Batches
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.outcomes.labels import step_end_times
from survlstm.data.outcomes.protocol import Labels
from survlstm.data.outcomes.synthetic import SyntheticOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.split import Split, split_subjects
from survlstm.data.targets import visit_targets
from survlstm.data.tensors import build_tensors
from survlstm.data.values.settings import ValueSettings
from survlstm.data.visits import group_visits
from survlstm.models.lstm import DiscreteTimeSurvivalLSTM
from survlstm.survival.concordance import concordance_td
from survlstm.training.initial_hazard import initial_hazard
from survlstm.training.prediction import predict_split
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

SYNTHETIC = SyntheticOutcome(0.7, 1.7, 0.4, 0.4, 0.2, 1 / 60, seed=0, planted_codes=[])
HIT = "X/7"


DAY_200 = LandmarkSettings(day=200.0, visit=None, intervals=4, edges="quantile", horizon_days=900.0)
PER_EVENT = ("subject", "code", "time", "encounter", "numeric_value", "unit", "value_fault")
# Entries of a subject unlike any other.
STRANGE = ["A/never seen", "A/never seen", ("A/never seen", 1.0, "a"), ("X/1", 1e6, "mg"), ("X/2", 1.0, "never seen")]
# Without the values of the records, and with all that is made of them.
FORMS = [ValueSettings(), ValueSettings("both", min_values_per_bin=5)]
VALUES = pytest.mark.parametrize("values", FORMS, ids=["codes", "values"])
CLOCKS = pytest.mark.parametrize(
    "settings",
    [
        replace(settings, values=values, code_groups=GROUPS)
        for values in FORMS
        for settings in (SETTINGS, LANDMARK_SETTINGS)
    ],
    ids=["visit", "landmark", "visit with values", "landmark with values"],
)


def drawn_records(subjects):
    """Half of the codes have a number at most of their entries, the code of the outcome too."""
    codes = [f"X/{number}" for number in range(20)]
    return with_random_values(random_records(subjects, seed=2), seed=0, codes=codes)


def has_values(prepared):
    """Whether bins and columns of values are among the inputs."""
    fused, columns = prepared.tensors.fused_codes.sum(), prepared.preprocessing.value_columns
    assert (fused > 0) == (columns > 0)
    return bool(fused)


def assert_same_predictions(one, other):
    """Of a model that has seen neither, on every subject."""
    found = []
    for prepared in (one, other):
        torch.manual_seed(0)
        model = DiscreteTimeSurvivalLSTM(
            vocabulary_size=len(prepared.vocabulary),
            embedding_dim=4,
            hidden_dim=4,
            num_layers=1,
            dropout=0.0,
            visit_features=prepared.tensors.features.shape[1],
            intervals=prepared.preprocessing.intervals,
            mean_hazard=initial_hazard(prepared.tensors),
        )
        columns = tuple(range(prepared.tensors.features.shape[1]))
        batches = Batches(prepared.tensors, np.arange(len(prepared.tensors.step)), 32, columns)
        found.append(predict_split(model, batches, torch.device("cpu")).hazard)
    np.testing.assert_array_equal(*found)


def appended(records, *, start, names=None, codes=("X/late", HIT, "X/1", ("X/1", 1e6, "mg"), ("X/2", 0.0, "late"))):
    """Ten more visits after each record, with codes, values and units that were never seen and codes that matter."""
    more = {}
    for name, visits in records.items():
        times = np.datetime64(start) + np.arange(10) * np.timedelta64(3, "D")
        extra = [(str(time), f"late{n}", list(codes)) for n, time in enumerate(times)]
        more[name] = visits + (extra if names is None or name in names else [])
    return more


@pytest.mark.parametrize("emitted", ["constant", "random"])
def test_1_equal_true_hazards_give_one_half_whatever_the_follow_up(emitted):
    generator = np.random.default_rng(0)
    subjects, steps, estimates, naive = 400, 80, [], []
    for _ in range(40):
        # Heavy-tailed follow-up; the event comes with the same hazard to everybody at every step.
        follow_up = np.minimum(generator.geometric(1 / generator.gamma(1, 20, subjects).clip(2)), steps) - 1
        event_step = generator.geometric(0.05, subjects) - 1
        step, event = np.minimum(event_step, follow_up), event_step <= follow_up
        hazard = (
            np.full((subjects, steps), 0.05) if emitted == "constant" else generator.uniform(0, 0.1, (subjects, steps))
        )
        estimates.append(concordance_td(np.cumprod(1 - hazard, axis=1), step=step, event=event).c_td)
        record_sum = np.where(np.arange(steps) <= step[:, None], hazard, 0).sum(axis=1)
        fixed_score = np.repeat(1 - record_sum[:, None] / steps, steps, axis=1)
        naive.append(concordance_td(fixed_score, step=step, event=event).c_td)
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - 0.5) <= 3 * error
    # The canary is alive: summing hazards over the record, as the guide's code did, is caught at once.
    assert abs(np.mean(naive) - 0.5) > 10 * np.std(naive, ddof=1) / np.sqrt(len(naive))


@VALUES
def test_3_entries_after_a_first_code_change_nothing(values):
    records, outcome, settings = (
        drawn_records(120),
        FirstCodeOutcome([HIT]),
        replace(SETTINGS, values=values, code_groups=GROUPS),
    )
    before = prepared_from(records, outcome, settings)
    assert has_values(before) == values.with_bins
    with_event = {str(name) for name in before.tensors.subject_id[before.tensors.event]}
    after = prepared_from(appended(records, start="2300-01-01", names=with_event), outcome, settings)
    assert len(with_event) > 50
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()


@VALUES
def test_3_entries_from_the_day_of_death_on_change_nothing(values):
    records, settings = drawn_records(120), replace(SETTINGS, values=values, code_groups=GROUPS)
    deaths = {name: "2300-01-01" for name in list(records)[::2]}
    before = prepared_from(records, DeathOutcome(), settings, deaths=deaths)
    grown = appended(records, start="2300-01-01", names=set(deaths))
    after = prepared_from(grown, DeathOutcome(), settings, deaths=deaths)
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()


@VALUES
def test_3_entries_after_a_drawn_event_or_censoring_change_nothing(values):
    """A drawn outcome belongs to the record it was drawn on, so its labels are held while the record grows."""
    records = drawn_records(120)
    drawn = prepared_from(records, SYNTHETIC)
    split = drawn.tensors.split
    grown = appended(records, start="2300-01-01")
    step, event = drawn.tensors.step, drawn.tensors.event
    assert (~event).sum() > 20
    found = []
    for kept in (records, grown):
        visits, _ = group_visits(events_of(kept), grouping="hybrid", window_hours=24.0)
        targets = visit_targets(visits, Labels(step, event, end_time=step_end_times(visits, step)))
        found.append(
            build_tensors(
                visits, targets, split, max_codes_per_visit=None, min_frequency=2, values=values, code_groups=GROUPS
            )
        )
    assert_same_tensors(found[0].tensors, found[1].tensors)
    assert found[0].preprocessing.as_plain() == found[1].preprocessing.as_plain()


@VALUES
@pytest.mark.parametrize("grouping", ["hybrid", "same_day", "time_window", "encounter"])
@pytest.mark.parametrize("outcome", [FirstCodeOutcome([HIT]), DeathOutcome()])
def test_3_entries_between_the_landmark_and_the_end_of_follow_up_change_nothing(outcome, grouping, values):
    records = drawn_records(150)
    for visits in records.values():
        morning = np.datetime64(visits[0][0]) + np.timedelta64(200 * 24 - 1, "h")
        visits.append((str(morning), "morning", ["X/3"]))
    # Every other one dies, five days after its last visit.
    deaths = {name: str(np.datetime64(records[name][-2][0][:10]) + 5) for name in list(records)[::2]}
    edges = "quantile" if isinstance(outcome, FirstCodeOutcome) else "equidistant"
    landmark = replace(DAY_200, edges=edges, horizon_days=2000.0)
    settings = replace(SETTINGS, grouping=grouping, min_visits=2, landmark=landmark, values=values, code_groups=GROUPS)
    before = prepared_from(records, outcome, settings, deaths=deaths)
    assert has_values(before) == values.with_bins
    assert before.tensors.event.sum() > 20
    assert (~before.tensors.event).sum() > 20
    seconds = (before.tensors.duration_days * 86400).astype("timedelta64[s]")
    grown = dict(records)
    for name, lasts in zip(before.tensors.subject_id, seconds, strict=True):
        landmark = np.datetime64(records[name][0][0]) + np.timedelta64(200, "D")
        times = [landmark + 1, landmark + 3600, landmark + lasts // 2, landmark + lasts - 1]
        late = ["X/late", "X/1", ("X/1", 1e6, "mg"), ("X/2", 0.0, "late")]
        more = [(str(time), f"late{n}", late) for n, time in enumerate(times)]
        # On the day of the landmark, in the encounter of that morning too, and in none.
        more += [(str(landmark + 60), encounter, late) for encounter in ("morning", None)]
        grown[str(name)] = records[str(name)] + more
    after = prepared_from(grown, outcome, settings, deaths=deaths)
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    assert_same_predictions(before, after)


@VALUES
def test_3_entries_after_the_event_change_nothing_on_the_landmark_clock(values):
    records, outcome = drawn_records(150), FirstCodeOutcome([HIT])
    settings = replace(SETTINGS, landmark=replace(DAY_200, horizon_days=2000.0), values=values, code_groups=GROUPS)
    before = prepared_from(records, outcome, settings)
    with_event = {str(name) for name in before.tensors.subject_id[before.tensors.event]}
    assert len(with_event) > 30
    after = prepared_from(appended(records, start="2300-01-01", names=with_event), outcome, settings)
    assert_same_tensors(before.tensors, after.tensors)
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()


@CLOCKS
@pytest.mark.parametrize("outcome", [SYNTHETIC, FirstCodeOutcome([HIT])])
def test_4_the_order_of_subjects_and_rows_changes_nothing(outcome, settings):
    records = drawn_records(120)
    events = events_of(records)
    order = np.random.default_rng(0).permutation(len(events))
    parts = {name: getattr(events, name)[order] for name in PER_EVENT}
    mixed = prepare_uncached(RecordsSource(replace(events, **parts)), outcome, settings)
    assert_same_tensors(prepared_from(records, outcome, settings).tensors, mixed.tensors)


@CLOCKS
def test_4_the_names_of_subjects_change_nothing_but_their_order(settings):
    records = drawn_records(120)
    names = np.array(list(records))
    split = split_subjects(names, train=0.7, val=0.15, seed=0)
    # A new name for each that sorts elsewhere and hashes into the same part.
    candidates = np.array([f"n{number}" for number in range(5000)])
    landed = split_subjects(candidates, train=0.7, val=0.15, seed=0)
    pools = {part: iter(candidates[landed == part][::-1]) for part in Split}
    renamed = {name: str(next(pools[Split(part)])) for name, part in zip(names, split, strict=True)}
    before = by_subject(prepared_from(records, FirstCodeOutcome([HIT]), settings))
    after = by_subject(prepared_from({renamed[k]: v for k, v in records.items()}, FirstCodeOutcome([HIT]), settings))
    assert [renamed[name] for name in before] != list(after)
    for name, held in before.items():
        other = after[renamed[name]]
        assert held[:6] == other[:6]
        # The sums behind the mean of a feature run in another order.
        np.testing.assert_allclose(np.array(held[6]), np.array(other[6]), atol=1e-6)


@CLOCKS
@pytest.mark.parametrize("outcome", [SYNTHETIC, FirstCodeOutcome([HIT])])
def test_5_a_new_test_subject_changes_no_training_tensor_and_nothing_that_is_fitted(outcome, settings):
    records = drawn_records(120)
    names = np.array([f"new{number}" for number in range(100)])
    newcomer = str(names[split_subjects(names, train=0.7, val=0.15, seed=0) == Split.TEST][0])
    visits = random_records(1, seed=99)["s0000"]
    # Without the outcome, so that it is at risk at any landmark.
    strange = [
        (time, encounter, [*STRANGE, *(code for code in codes if code != HIT)]) for time, encounter, codes in visits
    ]
    before, after = (prepared_from(kept, outcome, settings) for kept in (records, {**records, newcomer: strange}))
    assert newcomer in after.tensors.subject_id
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    held, now = by_subject(before), by_subject(after)
    training = [name for name, parts in held.items() if parts[0] == Split.TRAIN]
    assert len(training) > 30
    for name in training:
        assert held[name] == now[name]
