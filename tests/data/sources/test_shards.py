"""Test shards: the parts together equal the whole export, memory is bounded, and no temporary file remains."""

from __future__ import annotations

import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.events import Events, SourceData, TableCount
from survlstm.data.sources.csv_table import CsvStream
from survlstm.data.sources.shards import check_unusable_shares, merge_counts, split_into_shards
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.sources.synthea_format import EVENT_TABLES
from survlstm.utils.errors import SourceError

DATA = Path(__file__).parents[3].parent / "shared" / "data"
TABLES = tuple(EVENT_TABLES)
HEADER = "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION"


def whole(path: Path) -> SourceData:
    return SyntheaSource(str(path), TABLES, 1.0).read()


def read_in_parts(path: Path, into: Path, *, subjects_at_once: int):
    with split_into_shards(path, tables=TABLES, subjects_at_once=subjects_at_once, into=into) as split:
        readings = [whole(folder) for folder in split.folders]
        return split, readings, merge_counts([*(reading.tables for reading in readings), split.malformed])


def columns(events: Events):
    """Return the columns of the events, sorted by subject and otherwise in the order of reading, and the encounters."""
    order = np.argsort(events.subject, kind="stable")
    names = (events.subjects.subject_id[events.subject], events.codes[events.code], events.time)
    return [array[order] for array in (*names, events.numeric_value)], events.encounter[order]


def assert_parts_are_the_whole(path: Path, into: Path, *, subjects_at_once: int):
    expected = whole(path)
    split, readings, counts = read_in_parts(path, into, subjects_at_once=subjects_at_once)
    subjects = [reading.events.subjects for reading in readings]
    for part in ("subject_id", "birth", "death"):
        joined = np.concatenate([getattr(each, part) for each in subjects])
        np.testing.assert_array_equal(joined, getattr(expected.events.subjects, part))
    assert max(len(each) for each in subjects) == min(subjects_at_once, split.subjects)
    assert split.subjects == len(expected.events.subjects)
    assert counts == expected.tables
    parts = [columns(reading.events) for reading in readings]
    expected_columns, encounter = columns(expected.events)
    for number, array in enumerate(expected_columns):
        np.testing.assert_array_equal(np.concatenate([each[0][number] for each in parts]), array)
    offsets = np.cumsum([0, *(each[1].max(initial=-1) + 1 for each in parts)])
    joined_encounter = np.concatenate(
        [np.where(part[1] < 0, -1, part[1] + o) for part, o in zip(parts, offsets, strict=False)]
    )
    np.testing.assert_array_equal(joined_encounter < 0, encounter < 0)
    pairs = np.unique(np.column_stack([joined_encounter, encounter]), axis=0)
    assert len(pairs) == len(np.unique(joined_encounter)) == len(np.unique(encounter))
    assert list(into.iterdir()) == []


@pytest.fixture
def several(export):
    """Write five patients, one of them unusable, and unsorted rows: also malformed, of no or of unknown patients."""
    people = ["eva,1970-01-01,,E", "dan,1940-01-01,,D", "carl,,,C", "short", "bert,1960-05-05,2010-01-01,B"]
    export.write("patients.csv", "Id,BIRTHDATE,DEATHDATE,FIRST", *people, "anna,1950-01-01,,A")
    export.conditions(
        "2001-02-03,,eva,e5,44054006,Diabetes",
        "2001-02-03,,anna,e1,44054006,Diabetes",
        "2001-02-03,,carl,e3,44054006,Diabetes",
        "2001-02-04,,anna,e1,38341003",
        "2001-02-04,,,e1,38341003,nobody's",
        "2001-02-04,,april,e1,38341003,a stranger's",
        "3/4/2001,,zoe,e1,38341003,a stranger's",
        "3/4/2001,,eva,e5,38341003,Hypertension",
        "2001-02-04,,anna,e1,38341003,Hypertension",
    )
    header = "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,VALUE,UNITS,TYPE"
    values = ["1.5,cm,numeric", "high,cm,numeric", '"pain, ""severe""",,text', ",,text"]
    lines = (f"2001-01-01,{name},,8302-2,d,{value}" for name in ("dan", "eva", "anna") for value in values)
    export.write("observations.csv.gz", header, *lines, "2001-01-01,anna,,QALY,d,1,,numeric")
    export.write("devices.csv", "START,PATIENT,ENCOUNTER,CODE")
    return export


@pytest.mark.parametrize("subjects_at_once", [1, 2, 3, 4])
def test_parts_are_the_whole(several, tmp_path_factory, subjects_at_once):
    into = tmp_path_factory.mktemp("into")
    assert_parts_are_the_whole(several.folder, into, subjects_at_once=subjects_at_once)


def test_every_part_has_its_subjects(several, tmp_path_factory):
    split, readings, counts = read_in_parts(several.folder, tmp_path_factory.mktemp("into"), subjects_at_once=2)
    assert split.subjects == 4
    assert [reading.events.subjects.subject_id.tolist() for reading in readings] == [["anna", "bert"], ["dan", "eva"]]
    assert [count.table for count in counts] == ["patients", "conditions", "observations", "devices"]
    assert {count.table: count.unusable.get("malformed row", 0) for count in split.malformed} == {
        "patients": 1,
        "conditions": 1,
    }
    # Rows of unknown patients are counted, and not all in one part.
    unknown = [reading.tables[1].unusable["unknown patient"] for reading in readings]
    assert unknown == [1, 1]


def test_an_empty_table_is_one_warning_and_subjects_without_events_are_no_error(several, tmp_path_factory):
    several.conditions("2001-02-03,,eva,e5,44054006,Diabetes")
    _, readings, _ = read_in_parts(several.folder, tmp_path_factory.mktemp("into"), subjects_at_once=1)
    warnings = [reading.warnings for reading in readings]
    assert sum("devices.csv has a header and no rows." in part for part in warnings) == 1
    # anna, bert, dan and eva; bert has none.
    assert [len(reading.events) > 0 for reading in readings] == [True, False, True, True]


def test_an_export_that_is_small_enough_is_its_own_only_part(several, tmp_path):
    with split_into_shards(several.folder, tables=TABLES, subjects_at_once=4, into=tmp_path / "no") as split:
        assert split == (4, (several.folder,), ())
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_and_old_headers(export, tmp_path_factory, ending):
    export.write_bytes(
        "patients.csv", ending.join(["ID,BIRTHDATE,DEATHDATE", "b,1950-01-01,", "a,1950-01-01,"]).encode()
    )
    rows = ["DATE,PATIENT,ENCOUNTER,CODE", "2001-02-03,b,e1,430193006", '"2001-02-03","a","e,1","430193006"']
    export.write_bytes("procedures.csv", b"\xef\xbb\xbf" + ending.join(rows).encode())
    assert_parts_are_the_whole(export.folder, tmp_path_factory.mktemp("into"), subjects_at_once=1)


def test_a_share_is_judged_over_all_parts(several, tmp_path_factory):
    _, _, counts = read_in_parts(several.folder, tmp_path_factory.mktemp("into"), subjects_at_once=1)
    with pytest.raises(SourceError, match=r"conditions: at most 0\.5 of the rows may be unusable; 5 of 9 are"):
        check_unusable_shares(counts, limit=0.5)
    check_unusable_shares(counts, limit=0.6)


def test_counts_are_added_up_by_table():
    first = (TableCount("devices", 3, 2, {"a": 1}, {}), TableCount("patients", 1, 1, {}, {}))
    second = (TableCount("devices", 4, 1, {"a": 1}, {"b": 2}),)
    assert merge_counts([first, (), second]) == (
        TableCount("patients", 1, 1, {}, {}),
        TableCount("devices", 7, 3, {"a": 2}, {"b": 2}),
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"conditions\.csv must hold a header and rows; it is empty"),
        (b"START,STOP,PATIENT,ENCOUNTER\n2001-02-03,,anna,e1\n", "CODE missing, found START, STOP, PATIENT, ENCOUNTER"),
        (f"{HEADER}\n2001-02-03,,andré,e1,1,d\n".encode("latin-1"), "must be UTF-8 text and isn't: .*Save it as UTF-8"),
        (
            f'{HEADER}\n2001-02-03,,anna,e1,1,"d\n'.encode() + b"2001-02-03,,bert,e,1,d\n" * 9,
            "it has 10 lines .* and 1 rows",
        ),
        (b"\x1f\x8b\x08", "it is gzip data; name it"),
    ],
)
def test_what_cannot_be_read_says_so_as_reading_does(export, tmp_path_factory, content, match):
    into = tmp_path_factory.mktemp("into")
    export.write_bytes("conditions.csv", content)
    with pytest.raises(SourceError, match=match) as read:
        whole(export.folder)
    with (
        pytest.raises(SourceError, match=match) as split,
        split_into_shards(export.folder, tables=TABLES, subjects_at_once=1, into=into),
    ):
        pass
    # pyarrow names the row only if it reads block by block.
    assert str(split.value).replace("Row #2: ", "") == str(read.value)
    assert list(into.iterdir()) == []


def test_cut_short_gzip(export, tmp_path_factory):
    # The file is longer than what is read before the first block is returned.
    path = export.write("conditions.csv.gz", HEADER, *(f"2001-02-03,,anna,e{n},{n * n},d" for n in range(200_000)))
    path.write_bytes(path.read_bytes()[:-9])
    into = tmp_path_factory.mktemp("into")
    with (
        pytest.raises(SourceError, match=r"conditions\.csv\.gz is cut short: its gzip data ends too early"),
        split_into_shards(export.folder, tables=TABLES, subjects_at_once=1, into=into),
    ):
        pass
    assert list(into.iterdir()) == []


def test_repeated_patients_are_named_in_their_own_file(export, tmp_path_factory):
    export.conditions()
    export.patients("anna,1950-01-01,,A", "bert,1950-01-01,,B", "anna,1951-01-01,,A")
    with (
        pytest.raises(SourceError, match=rf"name every patient once; 1 ids .*\({export.folder}"),
        split_into_shards(export.folder, tables=TABLES, subjects_at_once=1, into=tmp_path_factory.mktemp("into")),
    ):
        pass


def test_nothing_is_left_behind_by_an_error_of_the_reader(several, tmp_path_factory):
    into = tmp_path_factory.mktemp("into")
    with (
        pytest.raises(KeyError, match="mine, in 4 parts"),
        split_into_shards(several.folder, tables=TABLES, subjects_at_once=1, into=into) as split,
    ):
        raise KeyError(f"mine, in {len(split.folders)} parts")
    assert list(into.iterdir()) == []


def test_a_folder_that_cannot_be_written(several, tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(SourceError, match=r"is split in a folder that can be written; .*file can't: .*Set cache_dir"),
        split_into_shards(several.folder, tables=TABLES, subjects_at_once=1, into=tmp_path / "file"),
    ):
        pass


def test_a_full_disk(export, tmp_path_factory):
    into = tmp_path_factory.mktemp("into")
    export.conditions(*["2001-02-03,,anna,e1,44054006,d"] * 1000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with (
            pytest.raises(SourceError, match=r"which must have room .*Make room there, set cache_dir"),
            split_into_shards(export.folder, tables=TABLES, subjects_at_once=1, into=into),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(into.iterdir()) == []


def peak_of(work) -> int:
    """Return the most bytes that Python, numpy and Arrow held at once while ``work`` ran, beyond those held before."""
    default = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(default)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        work()
        return pool.max_memory() + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(default)


def test_memory_does_not_grow_with_the_export(export, tmp_path_factory):
    into = tmp_path_factory.mktemp("into")
    export.patients(*(f"patient-{number:05d},1950-01-01,,X" for number in range(1000)))
    rows = (f"2001-02-03T04:05:06Z,,patient-{n % 1000:05d},encounter-{n:07d},{n % 997},d" for n in range(300_000))
    export.conditions(*rows)

    def in_parts():
        with split_into_shards(export.folder, tables=TABLES, subjects_at_once=20, into=into) as split:
            assert len(split.folders) == 50
            assert sum(len(whole(folder).events) for folder in split.folders) == 300_000

    # All blocks of this table may be read ahead as bytes, which takes this memory; a longer table takes no more.
    assert peak_of(in_parts) < peak_of(lambda: whole(export.folder)) / 2


def test_a_stream_knows_its_malformed_rows_at_the_end(export):
    path = export.conditions("2001-02-03,,anna,e1,44054006,d", "2001-02-03,,anna")
    stream = CsvStream([path], EVENT_TABLES["conditions"].fields)
    assert [block.num_rows for block in stream.blocks()] == [1]
    assert (stream.malformed, list(stream.names)) == (1, ["time", "subject", "encounter", "code"])


def test_a_header_alone_has_no_blocks(export):
    path = export.write_bytes("conditions.csv", HEADER.encode())
    assert list(CsvStream([path], EVENT_TABLES["conditions"].fields).tables()) == []


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real exports are not at {DATA}")
def test_the_real_export(tmp_path):
    assert_parts_are_the_whole(DATA / "cohort_106", tmp_path, subjects_at_once=10)


def test_an_id_with_spaces_around_it_goes_to_its_patients_part(several, tmp_path):
    several.write(
        "devices.csv",
        "START,PATIENT,ENCOUNTER,CODE",
        *(f"2001-02-0{day}T10:00:00Z,{name},,1" for day, name in enumerate([" eva", "anna ", " dan "], start=1)),
    )
    assert_parts_are_the_whole(several.folder, tmp_path / "cache", subjects_at_once=1)


@pytest.mark.parametrize("words", [("commas",), ("semicolons", "parts")])
def test_other_spellings_are_split_as_they_are_read(several, tmp_path, words):
    if "semicolons" in words:
        path = several.folder / "conditions.csv"
        header, *rows = path.read_text().replace(",", ";").splitlines(keepends=True)
        path.unlink()
        for part in range(2):
            (several.folder / f"Conditions-{part}.CSV").write_text(header.lower() + "".join(rows[part::2]))
    assert_parts_are_the_whole(several.folder, tmp_path / "cache", subjects_at_once=2)


def test_parts_can_be_read_by_their_owner_alone(several, tmp_path):
    with split_into_shards(several.folder, tables=TABLES, subjects_at_once=1, into=tmp_path / "cache") as split:
        parts = [split.folders[0].parent, *split.folders[0].parent.rglob("*")]
        modes = {path.name: path.stat().st_mode & 0o777 for path in parts if not path.name.startswith(".")}
        assert {mode for name, mode in modes.items() if name.endswith(".csv")} == {0o600}
        assert {mode for name, mode in modes.items() if not name.endswith(".csv")} == {0o700}
