"""Files of a cohort: forms of ids and times, rows that are left out, contradictions with the clock, and the cache."""

import datetime
import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from survlstm.data.chosen_subjects import choose_subjects, open_cohort_file
from survlstm.data.cohort_file import read_cohort_file
from survlstm.data.cohort_rules import CohortSettings
from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.clinical import FirstCodeOutcome
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare, prepare_uncached
from survlstm.utils.errors import CohortError, ConfigError, SurvlstmError
from tests.prepared import unscaled_state
from tests.records import SETTINGS, RecordsSource, events_of, random_records

GIVEN = LandmarkSettings(day=None, visit=None, intervals=2, edges="equidistant", horizon_days=60.0)
DAY_30 = replace(GIVEN, day=30.0)
# An id that no message may show.
SECRET = "id-of-a-patient"
RANDOM = RandomOutcome(0.7, 1 / 60, seed=0)


@pytest.fixture
def written(tmp_path):
    """Write a CSV file of a cohort and return its path."""

    def write(text):
        (tmp_path / "cohort.csv").write_text(text)
        return str(tmp_path / "cohort.csv")

    return write


def parquet(tmp_path, **columns):
    path = tmp_path / "cohort.parquet"
    pa.parquet.write_table(pa.table(columns), path)
    return str(path)


def rows_of(file):
    times = [None] * len(file.subject_id) if file.time is None else file.time.astype(str).tolist()
    return dict(zip(file.subject_id.tolist(), times, strict=True))


def test_ids_alone(written):
    file = read_cohort_file(written("subject_id\n007\nb\n12\n"))
    assert (rows_of(file), file.warnings) == ({"007": None, "12": None, "b": None}, ())


def test_times_as_text(written):
    text = (
        "prediction_time,subject_id\n2020-01-31,day\n2020-01-31T12:00:00,time\n2020-01-31 12:00:00.250,space\n"
        "2020-01-31T12:00:00+02:00,offset\n2105-06-01T00:00:00,midnight\n"
    )
    assert rows_of(read_cohort_file(written(text))) == {
        "day": "2020-01-31T23:59:59",
        "midnight": "2105-06-01T00:00:00",
        "offset": "2020-01-31T10:00:00",
        "space": "2020-01-31T12:00:00",
        "time": "2020-01-31T12:00:00",
    }


def test_times_follow_the_zone_of_the_source_and_days_do_not(written):
    text = "subject_id,prediction_time\nday,2020-01-31\ntime,2020-01-31T23:30:00\n"
    assert rows_of(read_cohort_file(written(text), timezone="Australia/Melbourne")) == {
        "day": "2020-01-31T23:59:59",
        "time": "2020-02-01T10:30:00",
    }


@pytest.mark.parametrize("ids", [pa.array([3, 1]), pa.array(["3", "1"]), pa.array(["3", "1"]).dictionary_encode()])
def test_labels_of_meds_in_parquet(tmp_path, ids):
    times = pa.array([datetime.datetime(2150, 1, 2, 3, 4, 5, 678), None], pa.timestamp("us"))
    path = parquet(tmp_path, subject_id=ids, prediction_time=times, boolean_value=[True, False])
    file = read_cohort_file(path)
    assert rows_of(file) == {"3": "2150-01-02T03:04:05"}
    assert file.warnings == (
        "1 of 2 rows of cohort.file are left out: without a prediction_time 1",
        "of cohort.file only subject_id and prediction_time are read; ignored: boolean_value. The outcome is that of "
        "the config",
    )


def test_days_in_parquet(tmp_path):
    path = parquet(tmp_path, subject_id=[1], prediction_time=pa.array([datetime.date(2020, 1, 31)]))
    assert rows_of(read_cohort_file(path)) == {"1": "2020-01-31T23:59:59"}


def test_rows_that_are_left_out_are_counted_without_a_value(written):
    rows = ["a,2020-01-31", "a,2020-01-31", ",2020-01-31", "b,", "c,soon", "d,2020-02-30", f"{SECRET},31.01.2020"]
    file = read_cohort_file(written("\n".join(["subject_id,prediction_time", *rows, ""])))
    assert rows_of(file) == {"a": "2020-01-31T23:59:59"}
    assert file.warnings == (
        "6 of 7 rows of cohort.file are left out: without a subject_id 1, without a prediction_time 1, with a "
        "prediction_time that is no day or time 3, repeated 1",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be a table in the format of its ending; cohort.csv can't be read"),
        ("subject_id\n", "must name at least one subject; of its 0 rows none can be used"),
        (
            "subject_id,prediction_time\na,\nb,never\n",
            "of its 2 rows none.*without a prediction_time 1, with .* time 1",
        ),
        ("id\na\n", r"must have one column subject_id and at most one.*found 1 name not shown here \(1 text\)"),
        ("subject_id,subject_id\na,b\n", "must have one column subject_id"),
        (f"subject_id;prediction_time\n{SECRET};2020-01-31\n", "must have one column subject_id"),
        (f"subject_id,prediction_time\n{SECRET}\n", "must be a table in the format of its ending"),
        (
            "subject_id,prediction_time\na,2020-01-31\na,2020-02-01\nb,2020-01-31\n",
            "must hold one prediction_time for each subject; 1 of 2 subjects have several",
        ),
    ],
)
def test_files_that_can_not_be_used(written, text, sentence):
    with pytest.raises(CohortError, match=sentence) as refused:
        read_cohort_file(written(text))
    assert SECRET not in str(refused.value)


def test_other_types_and_files_that_are_no_tables(tmp_path):
    with pytest.raises(
        CohortError, match=r"subject_id of cohort.file must hold texts or whole numbers; found the type doub"
    ):
        read_cohort_file(parquet(tmp_path, subject_id=[1.0, 2.5]))
    (tmp_path / "other.parquet").write_text("subject_id\n1\n")
    with pytest.raises(CohortError, match=r"other.parquet can't be read \(ArrowInvalid\)"):
        read_cohort_file(str(tmp_path / "other.parquet"))
    with pytest.raises(CohortError, match=r"must be readable; the system says of .*No such file"):
        read_cohort_file(str(tmp_path / "missing.csv"))


@pytest.mark.parametrize(
    ("text", "landmark", "sentence"),
    [
        ("subject_id,prediction_time\na,2020-01-31\n", None, "the visit clock does not have. Set clock=landmark"),
        ("subject_id,prediction_time\na,2020-01-31\n", DAY_30, "found both, the latter as clock.day=30"),
        ("subject_id\na\n", GIVEN, "the file has no such column"),
    ],
)
def test_a_file_that_does_not_fit_the_clock(written, text, landmark, sentence):
    with pytest.raises(ConfigError, match=sentence):
        open_cohort_file(CohortSettings(file=written(text)), landmark)


def test_subjects_of_the_file_and_a_sample_of_them(written):
    cohort = CohortSettings(file=written("subject_id\ns1\ns2\ns3\nx\ny\n"), sample=2)
    names = np.array([f"s{number}" for number in range(6)], dtype=object)
    chosen = choose_subjects(cohort, open_cohort_file(cohort, None), names)
    (not_named, left_out), (not_drawn, beyond) = chosen.exclusions
    assert (not_named, left_out.tolist()) == ("not in cohort.file", [True, False, False, False, True, True])
    assert (not_drawn, int((~beyond).sum())) == ("not in the sample of 2 subjects", 2)
    assert not (~beyond & left_out).any()
    assert chosen.warnings == ("subjects of cohort.file that are not in the source: 2 of 5",)
    assert chosen.landmark is None


def at(day):
    return str(np.datetime64("2020-01-01T08:00:00") + np.timedelta64(day, "D"))


def record(*days, hit=None):
    visits = [(at(day), f"e{day}", ["X/a"]) for day in days]
    return visits if hit is None else [*visits, (at(hit), f"e{hit}", ["X/hit"])]


def test_landmarks_of_a_file(written):
    """Each subject has its own landmark, a visit that spans it is split, and the rules of the clock apply."""
    records = {
        "a": [*record(0, 10, 80), (at(10)[:11] + "12:00:00", "e10", ["X/b"])],
        "b": record(0, 20, 40, hit=90),
        "before the first visit": record(50, 200),
        "after the end": record(0, 10),
        "after the event": record(0, 5, hit=9),
        "not named": record(0, 10, 100),
    }
    times = {
        "a": at(10),
        "b": at(45),
        "before the first visit": at(20),
        "after the end": at(11),
        "after the event": at(9),
    }
    rows = "".join(f"{name},{time}\n" for name, time in times.items())
    settings = replace(
        SETTINGS,
        landmark=GIVEN,
        min_visits=1,
        cohort=CohortSettings(file=written(f"subject_id,prediction_time\n{rows}")),
    )
    fitted = unscaled_state(("[PAD]", "[UNK]", "X/a"), edges=[0, 30.0, 60.0])
    prepared = prepare_uncached(
        RecordsSource(events_of(records)), FirstCodeOutcome(["X/hit"]), settings, preprocessing=fitted
    )
    tensors = prepared.tensors
    found = zip(tensors.subject_id.tolist(), tensors.duration_days, tensors.visits_per_subject, strict=True)
    assert [(name, float(days), int(visits)) for name, days, visits in found] == [("a", 70, 2), ("b", 45, 3)]
    assert len(tensors.code) == 5
    assert [rule[:2] for rule in prepared.flow.subjects_excluded if rule.subjects] == [
        ("not in cohort.file", 1),
        ("event or end of follow-up at or before the landmark", 2),
        ("fewer than 1 visits on or before the landmark", 1),
    ]


def test_the_content_of_the_file_is_part_of_the_fingerprint_and_its_folder_is_not(tmp_path, caplog):
    source, names = RecordsSource(events_of(random_records(60, seed=0))), [f"s{number:04d}" for number in range(40)]

    def prepared(folder, subjects):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "cohort.csv").write_text("\n".join(["subject_id", *subjects, ""]))
        settings = replace(SETTINGS, cohort=CohortSettings(file=str(tmp_path / folder / "cohort.csv")))
        return prepare(source, RANDOM, settings, described={}, cache=tmp_path / "cache")

    first = prepared("one", names)
    with caplog.at_level(logging.INFO, logger="survlstm"):
        assert prepared("other", names).fingerprint == first.fingerprint
    assert "taken from the cache" in caplog.text
    fewer = prepared("one", names[:-1])
    assert fewer.fingerprint != first.fingerprint
    assert (len(first.tensors.step), len(fewer.tensors.step)) == (40, 39)


def test_no_id_of_a_file_is_in_a_message(written):
    """A file of ids that are not in the source ends in a sentence with counts alone."""
    settings = replace(SETTINGS, cohort=CohortSettings(file=written(f"subject_id\n{SECRET}\n")))
    with pytest.raises(SurvlstmError, match=r"found none of 60 \(not in cohort.file: 60") as refused:
        prepare_uncached(RecordsSource(events_of(random_records(60, seed=0))), RANDOM, settings)
    assert SECRET not in str(refused.value)
