"""Canaries 3 to 5 on real records, those of the MIMIC-IV demo: 100 patients, 31 deaths, rows after the deaths."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from survlstm.data.events import Events, SourceData
from survlstm.data.known_times import known_times
from survlstm.data.landmark import LandmarkSettings, landmark_time
from survlstm.data.observed_visits import group_observed
from survlstm.data.outcomes.clinical import DeathOutcome, FirstCodeOutcome
from survlstm.data.prepare import prepare_uncached
from survlstm.data.sources.meds.source import MedsSource
from survlstm.data.split import Split
from survlstm.data.values.settings import ValueSettings
from tests.canaries.test_canaries import assert_same_tensors, by_subject
from tests.records import SETTINGS

VISIT = replace(SETTINGS, split_by_dataset=True)
LANDMARK = replace(
    VISIT,
    min_visits=2,
    landmark=LandmarkSettings(day=None, visit=2, intervals=4, edges="equidistant", horizon_days=365.0),
)
VALUES = replace(VISIT, values=ValueSettings(form="both"))
CLOCKS = pytest.mark.parametrize("settings", [VISIT, LANDMARK, VALUES], ids=["visit", "landmark", "values"])
# Acute kidney failure, which comes after the first visit in a fifth of the patients.
RENAL_FAILURE = FirstCodeOutcome(["DIAGNOSIS//ICD//9//5849", "DIAGNOSIS//ICD//10//N179"])

FROM_THE_DAY_OF_DEATH = 13_735


@dataclass(frozen=True)
class Changed:
    """A source of events that a test has changed, with the split of the dataset."""

    data: SourceData

    def files(self):
        return []

    def read(self):
        return self.data


@pytest.fixture(scope="module")
def data(mimic):
    return MedsSource(str(mimic)).read()


def prepared(data, outcome, settings, events=None):
    return prepare_uncached(Changed(data if events is None else replace(data, events=events)), outcome, settings)


def assert_same(one, other):
    assert_same_tensors(one.tensors, other.tensors)
    assert one.preprocessing.as_plain() == other.preprocessing.as_plain()


def with_rows(events: Events, rows, subject, time, code="X/late"):
    """The events of a mask, and one more for each subject and time."""
    codes = np.append(events.codes, code).astype(np.str_)
    order = np.argsort(codes)
    number_of = np.argsort(order).astype(np.int32)
    count = len(subject)
    return replace(
        events,
        codes=codes[order],
        subject=np.concatenate([events.subject[rows], subject]).astype(np.int32),
        code=np.concatenate([number_of[events.code[rows]], np.full(count, number_of[-1])]).astype(np.int32),
        time=np.concatenate([events.time[rows], time]),
        encounter=np.concatenate([events.encounter[rows], np.full(count, -1)]).astype(np.int32),
        numeric_value=np.concatenate([events.numeric_value[rows], np.full(count, np.nan)]).astype(np.float32),
        unit=np.append(events.unit[rows], np.zeros(count, dtype=np.int32)),
        value_fault=np.append(events.value_fault[rows], np.zeros(count, dtype=np.int8)),
    )


def test_every_row_of_the_dataset_is_accounted_for(data):
    (count,) = data.tables
    assert (count.rows_read, count.rows_used, count.left_out, count.unusable) == (916_166, 916_166, {}, {})
    events, subjects = data.events, data.events.subjects
    # The others are births, deaths and static codes.
    assert len(events) == 916_166 - 100 - 31 - 100
    assert (len(subjects), int((~np.isnat(subjects.death)).sum()), int(np.isnat(subjects.birth).sum())) == (100, 31, 0)
    assert subjects.static.codes.tolist() == ["GENDER//F", "GENDER//M"]
    assert np.bincount(subjects.static.code).tolist() == [43, 57]
    assert [int((data.split == part).sum()) for part in Split] == [70, 20, 10]
    # Dates are shifted into the future and are no error.
    assert (events.time.min(), events.time.max()) > (np.datetime64("2100-01-01"), np.datetime64("2200-01-01"))
    assert data.warnings == ()
    assert int(np.count_nonzero(events.time >= subjects.death[events.subject])) == FROM_THE_DAY_OF_DEATH


@CLOCKS
def test_3_what_is_dated_to_the_day_of_death_or_later_changes_nothing(data, settings):
    events = data.events
    death = events.subjects.death
    before = prepared(data, DeathOutcome(), settings)
    assert before.tensors.event.sum() > 10
    is_late = events.time >= death[events.subject]
    # 626 of them are dated after the time of the death, the others to its day.
    assert int(is_late.sum()) == FROM_THE_DAY_OF_DEATH
    left_out = before.flow.entries_left_out
    by_death = ("code that only a death brings", "known at or after the event, or after the death")
    assert sum(left_out[reason] for reason in by_death) == FROM_THE_DAY_OF_DEATH
    assert not {"HOSPITAL_DISCHARGE//DIED", "MEDS_DEATH"} & set(before.vocabulary.entries)
    dead = np.flatnonzero(~np.isnat(death))
    hours = np.array([0, 1, 23, 24, 1000], "timedelta64[h]").astype("timedelta64[s]")
    subject, time = np.repeat(dead, len(hours)), (death[dead][:, None] + hours).ravel()
    # Without them, and with others in their place.
    for others in (slice(0), slice(None)):
        after = prepared(data, DeathOutcome(), settings, with_rows(events, ~is_late, subject[others], time[others]))
        assert_same(before, after)


@pytest.mark.parametrize("outcome", [DeathOutcome(), RENAL_FAILURE], ids=["death", "first_code"])
def test_3_what_is_known_after_the_landmark_changes_nothing(data, outcome):
    events = data.events
    before = prepared(data, outcome, LANDMARK)
    assert before.tensors.event.sum() > 3
    visits = group_observed(events, outcome, VISIT).visits
    landmark = landmark_time(visits, LANDMARK.landmark)
    is_later = known_times(events).latest.astype("datetime64[s]") > landmark[events.subject]
    # The codes of the outcome, and the times at which follow-up ends, are labels and stay.
    codes = np.append(events.codes, "X/late").astype(np.str_)
    is_label = np.isin(events.codes, getattr(outcome, "codes", []))[events.code]
    order = np.argsort(codes)
    number_of = np.argsort(order).astype(np.int32)
    code = np.where(is_later & ~is_label, number_of[-1], number_of[events.code]).astype(np.int32)
    assert np.count_nonzero(is_later) > 100_000
    assert_same(before, prepared(data, outcome, LANDMARK, replace(events, codes=codes[order], code=code)))


@pytest.fixture(scope="module")
def resharded(mimic, tmp_path_factory):
    """The dataset in seven shards, the rows of each in random order."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted((mimic / "data").rglob("*.parquet"))])
    ids = table["subject_id"].to_numpy()
    generator = np.random.default_rng(0)
    shard = generator.integers(0, 7, ids.max() - ids.min() + 1)[ids - ids.min()]
    shuffled = generator.permutation(len(ids))
    folder = tmp_path_factory.mktemp("resharded")
    (folder / "data" / "other").mkdir(parents=True)
    for number in range(7):
        rows = shuffled[shard[shuffled] == number]
        pq.write_table(table.take(pa.array(rows)), folder / "data" / "other" / f"{number}.parquet")
    (folder / "metadata").symlink_to(mimic / "metadata")
    return MedsSource(str(folder)).read()


@CLOCKS
def test_4_other_shards_and_another_order_of_rows_change_nothing(data, resharded, settings):
    assert resharded.tables == data.tables
    assert len(resharded.warnings) == 2
    assert_same(prepared(data, DeathOutcome(), settings), prepared(resharded, DeathOutcome(), settings))


@CLOCKS
def test_5_a_new_test_subject_changes_no_training_tensor_and_nothing_that_is_fitted(data, settings):
    before = prepared(data, DeathOutcome(), settings)
    # A twin of the last subject in the data, one that sorts last, with a code that nobody else has.
    events, subjects = data.events, data.events.subjects
    twin = len(subjects)
    model = before.tensors.subject_id[-1]
    rows = np.flatnonzero(events.subject == subjects.subject_id.tolist().index(model))
    everyone = np.arange(len(subjects))
    source = int(events.subject[rows[0]])
    grown = with_rows(events, slice(None), np.full(len(rows), twin), events.time[rows])
    taken = subjects.take(np.append(everyone, source))
    names = np.append(subjects.subject_id, "99999999")
    grown = replace(grown, subjects=replace(taken, subject_id=names))
    joined = replace(data, events=grown, split=np.append(data.split, Split.TEST).astype(np.int8))
    after = prepared(joined, DeathOutcome(), settings)
    assert "99999999" in after.tensors.subject_id
    assert before.preprocessing.as_plain() == after.preprocessing.as_plain()
    held, now = by_subject(before), by_subject(after)
    assert sum(parts[0] == Split.TRAIN for parts in held.values()) > 40
    for name, parts in held.items():
        assert str(parts) == str(now[name])
