"""``survlstm convert`` as it is typed: the dataset is valid MEDS and gives the tensors of the source."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import meds
import numpy as np
import pyarrow.parquet as pq
import pytest

from survlstm.config.compose import check_overrides
from survlstm.config.schema.run import RunConfig
from survlstm.data.factory import build_prepared, build_source
from survlstm.data.sources.meds.source import MedsSource
from tests.real_data import shared_data

# Distinct units of the sources, "" among them.
UNITS_OF_TINY, UNITS_OF_106, UNITS_OF_27 = 37, 43, 25
CLOCKS = (
    ["outcome=death", "clock=landmark", "clock.visit=4", "clock.horizon_days=3650", "clock.edges=equidistant"],
    ["outcome=synthetic"],
)


def prepared(words):
    (config,) = check_overrides("train", words, RunConfig)
    return build_prepared(config)


def check_equal(one, other):
    """Every array and everything that was fitted is the same; the tables of the two sources differ."""
    for field in dataclasses.fields(one.tensors):
        np.testing.assert_array_equal(getattr(one.tensors, field.name), getattr(other.tensors, field.name), field.name)
    assert one.preprocessing.as_plain() == other.preprocessing.as_plain()
    same = ("entries_read", "entries_left_out", "visits_left_out", "subjects_excluded", "outcome_facts")
    for name in same:
        assert getattr(one.flow, name) == getattr(other.flow, name), name


def check_same_values(words, others, *, units):
    """Every event of two sources has the same subject, code, time, value and unit; return how many have a unit."""
    (config,), (other,) = (check_overrides("train", some, RunConfig) for some in (words, others))
    own, read = (build_source(one.data, Path(one.cache_dir)).read().events for one in (config, other))
    assert own.units.tolist() == read.units.tolist()
    assert len(own.units) == units
    columns = ("unit", "numeric_value", "code", "time", "subject")
    orders = [np.lexsort([getattr(events, column) for column in columns]) for events in (own, read)]
    for column in columns:
        np.testing.assert_array_equal(getattr(own, column)[orders[0]], getattr(read, column)[orders[1]], column)
    return int((own.unit > 0).sum())


def check_valid(folder: Path):
    """The files below the folder are those of the standard."""
    subjects: list[int] = []
    for shard in sorted(folder.glob("data/*.parquet")):
        table = pq.read_table(shard)
        meds.DataSchema.validate(table)
        ids = table["subject_id"].to_numpy()
        order = np.lexsort([table["time"].to_numpy(zero_copy_only=False).astype(np.int64), ids])
        assert (np.diff(order) == 1).all(), "rows are sorted by subject and time"
        subjects += np.unique(ids).tolist()
    assert len(set(subjects)) == len(subjects), "no subject is in two shards"
    meds.CodeMetadataSchema.validate(pq.read_table(folder / meds.code_metadata_filepath))
    return len(subjects)


@pytest.mark.parametrize("clock", CLOCKS, ids=["landmark", "visit"])
def test_a_converted_cohort_gives_the_same_tensors(survlstm, tmp_path, shared_cache, clock):
    assert survlstm("convert", "data=tiny", "output=dataset", "subjects_at_once=25") == 0
    folder = tmp_path / "dataset"
    assert check_valid(folder) == 60
    assert len(list(folder.glob("data/*.parquet"))) == 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    cache = f"cache_dir={shared_cache}"
    own = prepared(["data=tiny", cache, *clock])
    dataset = ["data=meds", f"data.path={folder}", "data.static=[]", cache]
    check_equal(own, prepared([*dataset, *clock]))
    assert check_same_values(["data=tiny", cache], dataset, units=UNITS_OF_TINY) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("clock", CLOCKS, ids=["landmark", "visit"])
def test_the_real_cohort_106_gives_the_same_tensors(survlstm, tmp_path, shared_cache, clock):
    export = shared_data("cohort_106")
    assert survlstm("convert", f"data.path={export}", "output=dataset", "subjects_at_once=40") == 0
    assert check_valid(tmp_path / "dataset") == 106
    cache = f"cache_dir={shared_cache}"
    own = prepared(["data=synthea", f"data.path={export}", "data.static=[sex]", cache, *clock])
    dataset = ["data=meds", f"data.path={tmp_path / 'dataset'}", "data.static=[sex]", cache]
    check_equal(own, prepared([*dataset, *clock]))
    assert check_same_values(["data=synthea", f"data.path={export}", cache], dataset, units=UNITS_OF_106) > 100_000


def test_units_of_omop_are_those_of_the_dataset(survlstm, tmp_path):
    source = ["data=omop", f"data.path={shared_data('omop_synthea27nj')}"]
    assert survlstm("convert", *source, "output=dataset", "subjects_at_once=10") == 0
    assert check_valid(tmp_path / "dataset") == 28
    dataset = ["data=meds", f"data.path={tmp_path / 'dataset'}"]
    assert check_same_values(source, dataset, units=UNITS_OF_27) > 7000


@pytest.mark.slow
def test_eunomia_gives_the_same_tensors(survlstm, tmp_path, shared_cache):
    database = shared_data("omop_eunomia") / "eunomia.duckdb"
    source = ["data=omop", f"data.path={database}"]
    assert survlstm("convert", *source, "output=dataset", "subjects_at_once=500") == 0
    assert check_valid(tmp_path / "dataset") == 2694
    cache = f"cache_dir={shared_cache}"
    outcome = ["outcome=first_code", "outcome.codes=[SNOMED/74474003]"]
    own = prepared([*source, cache, *outcome])
    read = prepared(["data=meds", f"data.path={tmp_path / 'dataset'}", "data.static=[sex]", cache, *outcome])
    check_equal(own, read)


def test_a_meds_dataset_keeps_its_splits_descriptions_and_parents(survlstm, tmp_path):
    demo = shared_data("mimic_iv_demo_meds")
    assert survlstm("convert", "data=meds", f"data.path={demo}", "output=dataset", "subjects_at_once=30") == 0
    assert check_valid(tmp_path / "dataset") == 100
    own, copied = (pq.read_table(folder / meds.subject_splits_filepath) for folder in (demo, tmp_path / "dataset"))
    assert copied.sort_by("subject_id").to_pylist() == own.sort_by("subject_id").to_pylist()
    assert MedsSource("dataset").descriptions() == MedsSource(str(demo)).descriptions()
    assert MedsSource("dataset").parents() == MedsSource(str(demo)).parents()
    read = [MedsSource(str(folder)).read().events for folder in (demo, tmp_path / "dataset")]
    assert [len(events) for events in read] == [915_935, 915_935]
    orders = [np.lexsort([events.numeric_value, events.code, events.time, events.subject]) for events in read]
    assert read[1].units.tolist() == [""]
    for column in ("subject", "code", "time", "numeric_value", "unit"):
        own, copied = (getattr(events, column)[order] for events, order in zip(read, orders, strict=True))
        np.testing.assert_array_equal(own, copied)


def test_a_folder_with_content_is_kept(survlstm, tmp_path, capsys):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "notes.txt").write_text("mine")
    assert survlstm("convert", "data=tiny", "output=dataset") == 2
    assert "output must be a new or empty folder; dataset has content" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["notes.txt"]


def test_nothing_is_left_of_a_conversion_that_fails(survlstm, tmp_path, capsys):
    assert survlstm("simulate", "patients=30", "output=export", "seed=3") == 0
    conditions = tmp_path / "export" / "conditions.csv"
    header, *rows = conditions.read_text().splitlines()
    column = header.split(",").index("CODE")
    emptied = [",".join("" if place == column else cell for place, cell in enumerate(row.split(","))) for row in rows]
    conditions.write_text("\n".join([header, *emptied]) + "\n")
    assert survlstm("convert", "data=synthea", "data.path=export", "output=dataset", "subjects_at_once=10") == 3
    assert "conditions: at most 0.01 of the rows may be unusable" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export"]
