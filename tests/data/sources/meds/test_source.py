"""What each row of a MEDS dataset becomes: worked tables, counts and warnings."""

import logging

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.events import TableCount, ValueFault
from survlstm.data.sources.meds import shard_rows
from survlstm.data.split import Split

NAT = np.datetime64("NaT")


def rows_of(data):
    """The events as sorted tuples: subject, code, time, value."""
    events = data.events
    names = events.subjects.subject_id[events.subject].tolist()
    codes = events.codes[events.code].tolist()
    return sorted(zip(names, codes, events.time.astype(str).tolist(), events.numeric_value.tolist(), strict=True))


def static_of(data):
    static = data.events.subjects.static
    return [
        static.codes[static.code[start:stop]].tolist()
        for start, stop in zip(static.offsets[:-1], static.offsets[1:], strict=True)
    ]


RECORD = [
    (7, None, "GENDER//F"),
    (7, "2110-05-05T13:00:00", "MEDS_BIRTH"),
    (7, "2150-01-01T00:00:00", "LAB//1//mg/dL", 2.5),
    (7, "2150-01-02T10:20:30.999999", "Height (Inches)"),
    (7, "2150-03-01T12:00:00", "MEDS_DEATH//HOSPITAL"),
    (7, "2150-03-02T00:00:00", "LAB//1//mg/dL", 1.0),
]


def test_each_row_becomes_an_event_a_static_code_or_a_day_of_its_subject(dataset):
    dataset.write("0.parquet", RECORD)
    dataset.write(
        "train/1.parquet", [(10, "2149-01-01T08:00:00", "B"), (10, "2149-06-30T23:00:00", "SURVLSTM_OBSERVED_UNTIL")]
    )
    data = dataset.read()
    subjects = data.events.subjects
    # Sorted as text, as the ids of every other source are.
    assert subjects.subject_id.tolist() == ["10", "7"]
    np.testing.assert_array_equal(subjects.birth, np.array([NAT, "2110-05-05"], "datetime64[s]"))
    np.testing.assert_array_equal(subjects.death, np.array([NAT, "2150-03-01"], "datetime64[s]"))
    np.testing.assert_array_equal(subjects.observed_until, np.array(["2149-06-30", NAT], "datetime64[s]"))
    assert static_of(data) == [[], ["GENDER//F"]]
    np.testing.assert_array_equal(data.events.codes, ["B", "Height (Inches)", "LAB//1//mg/dL"])
    assert rows_of(data)[1:] == [
        ("7", "Height (Inches)", "2150-01-02T10:20:30", pytest.approx(np.nan, nan_ok=True)),
        ("7", "LAB//1//mg/dL", "2150-01-01T00:00:00", 2.5),
        ("7", "LAB//1//mg/dL", "2150-03-02T00:00:00", 1.0),
    ]
    assert data.events.day_tolerance == 0
    assert data.tables == (TableCount("data", 8, 8, {}, {}),)
    assert (data.warnings, data.split) == ((), None)


@pytest.mark.parametrize("rows_at_once", [1, 2, 1 << 18])
def test_batches_and_row_groups_of_any_size_give_the_same(dataset, monkeypatch, rows_at_once):
    dataset.write("0.parquet", RECORD)
    whole = dataset.read()
    monkeypatch.setattr(shard_rows, "BATCH_ROWS", rows_at_once)
    table = pa.table({name: dataset_column(RECORD, name) for name in ("subject_id", "time", "code", "numeric_value")})
    dataset.put("0.parquet", table, row_group_size=4)
    cut = dataset.read()
    assert str(rows_of(cut)) == str(rows_of(whole))
    assert cut.tables == whole.tables
    assert cut.warnings == whole.warnings == ()


def dataset_column(rows, name):
    position = ["subject_id", "time", "code", "numeric_value"].index(name)
    values = [row[position] if len(row) > position else None for row in rows]
    if name == "time":
        return pa.array([None if text is None else np.datetime64(text, "us") for text in values], pa.timestamp("us"))
    return pa.array(values, {"subject_id": pa.int64(), "code": pa.string()}.get(name, pa.float32()))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_other_units_dictionaries_and_other_widths_are_read_the_same(dataset, caplog, unit):
    times = np.array(["1969-12-31T23:59:59", "2150-01-01T00:00:01"], "datetime64[s]")
    caplog.set_level(logging.INFO)
    dataset.write(
        "0.parquet",
        [(1, None, "A"), (1, None, "B")],
        standard=False,
        subject_id=pa.array([1, 1], pa.int32()),
        time=pa.array(times.astype(f"datetime64[{unit}]")),
        code=pa.array(["A", "B"]).dictionary_encode(),
        numeric_value=pa.array([1, 2], pa.int16()),
    )
    assert rows_of(dataset.read()) == [("1", "A", str(times[0]), 1.0), ("1", "B", str(times[1]), 2.0)]
    assert (f"times have the unit {unit} in place of us" in caplog.text) == (unit != "us")


def test_zoned_times_are_converted_to_utc_and_logged(dataset, caplog):
    caplog.set_level(logging.INFO)
    time = pa.array([np.datetime64("2020-01-01T12:00:00", "us")]).cast(pa.timestamp("us", tz="Asia/Tokyo"))
    dataset.write("0.parquet", [(1, None, "A")], standard=False, time=time)
    assert rows_of(dataset.read())[0][2] == "2020-01-01T12:00:00"
    assert "the times of 1 of 1 shards have a zone and are read in UTC" in caplog.text


def test_columns_that_are_not_read_are_named_but_not_those_that_may_be_data(dataset, caplog):
    caplog.set_level(logging.INFO)
    column = pa.array(["x"])
    dataset.write(
        "0.parquet",
        [(1, "2020-01-01", "A")],
        text_value=pa.array(["note"], pa.large_string()),
        stay_id=column,
        **{"1950-03-04": column},
    )
    dataset.write("1.parquet", [(2, "2020-01-01", "A")], numeric_value=None)
    assert np.isnan(dataset.read().events.numeric_value).all()
    assert "the texts in text_value are not read" in caplog.text
    assert "columns not read: stay_id and 1 name not shown here (1 date)" in caplog.text
    assert "1950" not in caplog.text


def test_the_encounters_of_a_subject_are_its_own(dataset):
    rows = [
        (1, "2020-01-01T10:00:00", "A"),
        (1, "2020-01-01T11:00:00", "B"),
        (1, "2020-01-01T12:00:00", "C"),
        (2, "2020-01-01T10:00:00", "A"),
    ]
    dataset.write(
        "0.parquet", rows, hadm_id=pa.array([5, 5, None, 5], pa.int64()), stay_id=pa.array(["x", "y", " NULL ", "x"])
    )

    def numbers(column):
        events = dataset.read(column).events
        return [int(n) for n in events.encounter[np.lexsort([events.time, events.subject])]]

    one, two, none, other = numbers("auto")
    assert one == two >= 0 > none
    assert other not in (one, none)
    assert numbers(None) == [-1] * 4
    assert [n >= 0 for n in numbers("stay_id")] == [True, True, False, True]
    assert len(set(numbers("stay_id"))) == 4


def test_auto_takes_the_first_of_the_usual_columns(dataset, caplog):
    caplog.set_level(logging.INFO)
    column = pa.array([1.0, np.nan])
    rows = [(1, "2020-01-01T10:00:00", "A"), (1, "2020-01-01T11:00:00", "B")]
    dataset.write("0.parquet", rows, hadm_id=pa.array([1, 1]), visit_id=column)
    # Another shard has no such column, and its events no encounter.
    dataset.write("1.parquet", [(2, "2020-01-01", "A")])
    assert sorted(dataset.read().events.encounter.tolist()) == [-1, -1, 0]
    assert "encounters are those of the column visit_id" in caplog.text


def test_unusable_rows_are_left_out_and_counted_by_reason(dataset):
    rows = [
        (1, "2020-01-01", "A"),
        (1, "2020-01-01", None),
        (1, "2020-01-01", "  "),
        (1, "2020-01-01", "x" * 1001),
        (1, "2020-01-01", "A\x00"),
        (1, "2020-01-01", "2020-01-01"),
        (1, "1799-12-31T23:59:59", "A"),
        (1, "2301-01-01", "A"),
        (1, "1800-01-01", "A"),
        (1, "2300-12-31T23:59:59", "A"),
        (1, None, "MEDS_BIRTH"),
        (None, "2020-01-01", "A"),
    ]
    dataset.write("0.parquet", rows, standard=False)
    data = dataset.read()
    (count,) = data.tables
    assert count == TableCount(
        "data",
        12,
        3,
        {},
        {
            "no subject_id": 1,
            "no code": 2,
            "code longer than 1,000 characters": 1,
            "control character in a code, or a code that is not UTF-8": 1,
            "a UUID or a date in place of a code": 1,
            "birth, death or end of observation without a time": 1,
            "time outside the years 1800 to 2300": 2,
        },
    )
    assert len(data.events) == 3
    assert data.events.codes.tolist() == ["A"]


def test_bytes_that_are_no_text_make_a_code_unusable(dataset):
    raw = pa.array([b"A\xff", b"A", b" B "], pa.binary())
    code = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    dataset.write("0.parquet", [(1, f"2020-01-0{day}", "") for day in (1, 2, 3)], standard=False, code=code)
    data = dataset.read()
    assert data.events.codes.tolist() == ["A", "B"]
    assert data.tables[0].unusable == {"control character in a code, or a code that is not UTF-8": 1}


def test_infinite_values_are_counted_and_read_as_missing(dataset):
    dataset.write(
        "0.parquet", [(1, "2020-01-01", "A", np.inf), (1, "2020-01-01", "B", -np.inf), (1, "2020-01-02", "C", 1.0)]
    )
    data = dataset.read()
    np.testing.assert_array_equal(np.sort(data.events.numeric_value), [1.0, np.nan, np.nan])
    assert np.sort(data.events.value_fault).tolist() == [0, ValueFault.INFINITE, ValueFault.INFINITE]
    assert data.warnings == ("2 values are infinite; they are read as missing.",)
    assert data.tables[0].rows_used == 3


def test_of_several_days_the_earliest_death_counts_and_no_birth(dataset):
    dataset.write(
        "0.parquet",
        [
            (1, "1950-01-01", "MEDS_BIRTH"),
            (1, "1951-01-01", "MEDS_BIRTH//x"),
            (1, "2020-01-01", "A"),
            (1, "2021-01-01T10:00:00", "MEDS_DEATH"),
            (1, "2021-05-05", "MEDS_DEATH"),
            (2, "1950-01-01T01:00:00", "MEDS_BIRTH"),
            (2, "1950-01-01T09:00:00", "MEDS_BIRTH"),
            (2, "2020-06-01", "SURVLSTM_OBSERVED_UNTIL"),
            (2, "2021-06-01", "SURVLSTM_OBSERVED_UNTIL"),
        ],
    )
    data = dataset.read()
    subjects = data.events.subjects
    assert np.isnat(subjects.birth).tolist() == [True, False]
    assert subjects.death[0] == np.datetime64("2021-01-01")
    assert subjects.observed_until[1] == np.datetime64("2020-06-01")
    assert data.warnings == (
        "MEDS_BIRTH: 1 of 2 subjects have several days; their birth, and so their age, is unknown.",
        "MEDS_DEATH: 1 of 2 subjects have several days; the earliest is taken.",
        "SURVLSTM_OBSERVED_UNTIL: 1 of 2 subjects have several days; the earliest is taken.",
    )


def test_a_subject_whose_death_cannot_be_used_is_left_out_and_told(dataset):
    dataset.write(
        "0.parquet",
        [
            (1, None, "GENDER//M"),
            (1, None, "MEDS_DEATH"),
            (1, "2020-01-01", "A"),
            (2, "1949-12-31", "MEDS_DEATH"),
            (2, "1950-01-01", "MEDS_BIRTH"),
            (2, "1950-01-02", "B"),
            # A second row dates the death.
            (3, None, "MEDS_DEATH"),
            (3, "2020-01-01", "C"),
            (3, "2021-01-01", "MEDS_DEATH"),
            (4, "2020-01-01", "D"),
            (4, "2400-01-01", "MEDS_DEATH"),
        ],
    )
    data = dataset.read()
    assert data.events.subjects.subject_id.tolist() == ["3"]
    assert data.events.codes.tolist() == ["C"]
    assert data.tables == (
        TableCount(
            "data",
            11,
            2,
            {"subject left out (unusable death)": 5},
            {
                "birth, death or end of observation without a time": 2,
                "time outside the years 1800 to 2300": 1,
                "day of death before the day of birth": 1,
            },
        ),
    )
    assert [text.split(" because")[0] for text in data.warnings] == [
        "SELECTED BY OUTCOME: 3 of 4 subjects are left out"
    ]


def test_rows_out_of_order_are_read_and_told(dataset):
    first, second = (1, "2020-01-01", "A"), (1, "2020-01-02", "B")
    dataset.write("0.parquet", [first, second, (2, "2019-01-01", "A")])
    sorted_data = dataset.read()
    dataset.write("0.parquet", [second, (2, "2019-01-01", "A"), first])
    dataset.write("1.parquet", [(3, "2020-01-02", "A"), (3, None, "GENDER//F")])
    data = dataset.read()
    assert str(rows_of(data)[:2]) == str(rows_of(sorted_data)[:2])
    assert [text.split(",")[0] for text in data.warnings] == [
        "in 1 of 2 shards the rows of a subject are not together",
        "in 1 of 2 shards the rows of a subject are not in order of time",
    ]
    assert sorted_data.warnings == ()


def test_the_order_of_batches_does_not_hide_a_shard_out_of_order(dataset, monkeypatch):
    monkeypatch.setattr(shard_rows, "BATCH_ROWS", 1)
    dataset.write(
        "0.parquet", [(1, "2020-01-02", "A"), (1, "2020-01-01", "B"), (2, "2020-01-01", "A"), (1, "2020-01-03", "A")]
    )
    assert len(dataset.read().warnings) == 2


def test_the_split_of_the_dataset(dataset):
    dataset.write("0.parquet", [(subject, "2020-01-01", "A") for subject in (3, 4, 5, 6, 11)])
    dataset.splits({4: "tuning", 3: "train", 5: "held_out", 6: "extra", 99: "train"})
    data = dataset.read()
    assert data.events.subjects.subject_id.tolist() == ["11", "3", "4", "5", "6"]
    assert data.split.tolist() == [-1, Split.TRAIN, Split.VAL, Split.TEST, -1]
    assert [text.split(" in ")[0] for text in data.warnings] == ["1 of 5 subjects are not", "1 of 5 subjects are"]


def test_the_ids_of_the_source_and_its_tolerance_are_restored(dataset):
    dataset.write("0.parquet", [(1, "2020-01-01", "A"), (2, "2020-01-01", "B")])
    table = pa.table({"subject_id": [2, 1, 3], "source_subject_id": ["anna", "bert", "carl"]})
    dataset.metadata("source_subjects.parquet", table)
    dataset.metadata("survlstm.json", {"format": 1, "day_tolerance": 1})
    events = dataset.read().events
    assert events.subjects.subject_id.tolist() == ["anna", "bert"]
    assert events.codes[events.code[events.subject == 0]].tolist() == ["B"]
    assert events.day_tolerance == 1
    assert dataset.source().subject_ids() == {"anna", "bert"}


def test_descriptions_are_texts_of_a_code_and_no_other_content(dataset):
    dataset.write("0.parquet", [(1, "2020-01-01", "A")])
    assert dataset.source().descriptions() == {}
    codes = ["A", "B", "C", "D", "E", "A", None]
    texts = [" Fever ", None, "2020-01-01", "x" * 256, "7", "Other", "Nobody's"]
    dataset.metadata("codes.parquet", pa.table({"code": codes, "description": texts}))
    assert dataset.source().descriptions() == {"A": "Fever"}


def test_descendants_are_found_through_several_levels_and_cycles(dataset):
    dataset.write("0.parquet", [(1, "2020-01-01", "A")])
    parents = {"A": ["B"], "B": ["ATC/1", "C"], "C": ["A"], "D": None, "E": ["D", None]}
    dataset.metadata(
        "codes.parquet",
        pa.table({"code": list(parents), "parent_codes": pa.array(list(parents.values()), pa.list_(pa.string()))}),
    )
    source = dataset.source()
    assert source.descendants(["ATC/1"]) == {"ATC/1", "A", "B", "C"}
    assert source.descendants(["D", "unknown"]) == {"D", "E", "unknown"}
    assert source.descendants([]) == frozenset()


def test_files_are_the_shards_and_the_metadata_that_is_read(dataset):
    dataset.write("b/0.parquet", [(1, "2020-01-01", "A")])
    for name in ("a/.hidden.parquet", "_temporary/0.parquet", ".cache/0.parquet"):
        dataset.write(name, [(9, "2020-01-01", "A")])
    dataset.splits({1: "train"})
    dataset.metadata("notes.json", {})
    found = [str(path.relative_to(dataset.folder)) for path in dataset.source().files()]
    assert found == ["data/b/0.parquet", "metadata/subject_splits.parquet"]
    assert len(dataset.read().events) == 1


def test_a_path_in_the_home_folder(dataset, monkeypatch):
    monkeypatch.setenv("HOME", str(dataset.folder.parent))
    dataset.write("0.parquet", [(1, "2020-01-01", "A")])
    assert len(type(dataset.source())("~/dataset").read().events) == 1
