"""The parts of a dataset together are the whole, subject by subject and row by row."""

import logging
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from survlstm.data.source_parts import DivisibleSource, open_parts
from survlstm.data.sources.meds import shard_rows
from survlstm.data.sources.meds.source import MedsSource
from survlstm.data.sources.shards import merge_counts


def by_subject(data):
    """Subject → days, static codes, and the sorted events with their encounters compared within the subject."""
    events, subjects = data.events, data.events.subjects
    found = {}
    for number, name in enumerate(subjects.subject_id.tolist()):
        rows = np.flatnonzero(events.subject == number)
        rows = rows[np.lexsort([events.numeric_value[rows], events.code[rows], events.time[rows]])]
        _, encounter = np.unique(events.encounter[rows], return_inverse=True)
        start, stop = subjects.static.offsets[number : number + 2]
        found[name] = (
            [str(getattr(subjects, day)[number]) for day in ("birth", "death", "observed_until")],
            subjects.static.codes[subjects.static.code[start:stop]].tolist(),
            events.codes[events.code[rows]].tolist(),
            events.time[rows].tolist(),
            np.nan_to_num(events.numeric_value[rows], nan=-1).tolist(),
            encounter.tolist(),
        )
    return found


def assert_parts_are_the_whole(source: MedsSource, tmp_path, *, subjects_at_once):
    whole = source.read()
    assert isinstance(source, DivisibleSource)
    with open_parts(source, subjects_at_once=subjects_at_once, into=tmp_path) as cut:
        readings = [part.read() for part in cut.parts]
    found = [by_subject(reading) for reading in readings]
    together = {name: held for part in found for name, held in part.items()}
    assert sum(map(len, found)) == len(together) == cut.subjects
    assert together == by_subject(whole)
    assert max(map(len, found)) <= subjects_at_once
    assert merge_counts([*(reading.tables for reading in readings), cut.uncounted]) == whole.tables
    assert {reading.events.day_tolerance for reading in readings} == {whole.events.day_tolerance}
    return found


def random_rows(subjects, *, seed):
    generator = np.random.default_rng(seed)
    rows = []
    for subject in subjects:
        rows.append((subject, None, f"GENDER//{subject % 2}"))
        rows.append((subject, "1950-01-01", "MEDS_BIRTH"))
        rows += [
            (subject, f"20{year}-01-01T08:00:00", f"C//{generator.integers(9)}", float(year)) for year in range(10, 16)
        ]
    return rows


@pytest.mark.parametrize("subjects_at_once", [1, 3, 7, 100])
def test_small_shards_are_grouped_and_large_ones_divided(dataset, tmp_path, monkeypatch, subjects_at_once):
    monkeypatch.setattr(shard_rows, "BATCH_ROWS", 5)
    for number, subjects in enumerate([range(0, 2), range(10, 12), range(20, 31), range(40, 41)]):
        rows = random_rows(subjects, seed=number)
        table_rows = [*rows, (None, "2020-01-01", "X"), (subjects[0], "2020-01-01", None)]
        encounter = pa.array([row[0] if row[0] is None else row[0] // 2 for row in table_rows], pa.int64())
        path = dataset.write(f"{number}.parquet", table_rows, standard=False, encounter_id=encounter)
        dataset.put(path.name, pa.parquet.read_table(path), row_group_size=9)
    dataset.write("9.parquet", [])
    parts = assert_parts_are_the_whole(dataset.source(), tmp_path, subjects_at_once=subjects_at_once)
    assert len(parts) == {1: 16, 3: 6, 7: 3, 100: 1}[subjects_at_once]


def test_row_groups_of_other_subjects_are_not_read(dataset, tmp_path, monkeypatch):
    table_rows = random_rows(range(8), seed=0)
    path = dataset.write("0.parquet", table_rows)
    dataset.put("0.parquet", pa.parquet.read_table(path), row_group_size=8)
    read = []
    inner = shard_rows.pq.ParquetFile.iter_batches

    def counted(self, *words, **named):
        read.append(len(named["row_groups"]))
        return inner(self, *words, **named)

    monkeypatch.setattr(shard_rows.pq.ParquetFile, "iter_batches", counted)
    with open_parts(dataset.source(), subjects_at_once=2, into=tmp_path) as cut:
        for part in cut.parts:
            part.read()
    # All for the ids, then two for each of four parts.
    assert read == [8, 2, 2, 2, 2]


def test_a_part_without_events_is_read(dataset, tmp_path):
    dataset.write("0.parquet", [(1, None, "GENDER//F")])
    dataset.write("1.parquet", [(2, "2020-01-01", "A")])
    parts = assert_parts_are_the_whole(dataset.source(), tmp_path, subjects_at_once=1)
    assert list(map(len, parts)) == [1, 1]


def test_parts_keep_the_ids_of_the_source_and_accept_any_share_of_unusable_rows(dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    dataset.write(
        "0.parquet", [(1, "2020-01-01", "A"), (1, "2020-01-01", None), (2, "2020-01-01", "B")], standard=False
    )
    dataset.metadata("source_subjects.parquet", pa.table({"subject_id": [1, 2], "source_subject_id": ["b", "a"]}))
    with dataset.source(max_unusable_share=0.0).parts(subjects_at_once=1, into=tmp_path) as cut:
        assert [part.read().events.subjects.subject_id.tolist() for part in cut.parts] == [["b"], ["a"]]
        assert {path.name for part in cut.parts for path in part.files()} == {"0.parquet", "source_subjects.parquet"}


def test_the_parts_of_mimic_are_the_whole(mimic, tmp_path):
    source = MedsSource(str(mimic))
    parts = assert_parts_are_the_whole(source, tmp_path, subjects_at_once=30)
    assert len(parts) == 5
    sizes = list(map(len, parts))
    assert sum(sizes) == 100
    assert all(one + other > 10 for one, other in pairwise(sizes))
    assert source.subject_ids() == {name for part in parts for name in part}
