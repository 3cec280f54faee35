"""prepare: the cache is used, told, made anew when anything changes, and whole with two runs at once."""

import csv
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest

from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.tensors import Tensors
from survlstm.errors import CohortError
from tests.records import SETTINGS, random_records

OUTCOME = RandomOutcome(0.7, 1 / 60, seed=0)


def write_export(folder, subjects=40, seed=0):
    records = random_records(subjects, seed=seed)
    folder.mkdir(exist_ok=True)
    with (folder / "patients.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["Id", "BIRTHDATE", "DEATHDATE"], *([name, "1960-01-01", ""] for name in records)]
        )
    with (folder / "procedures.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["START", "STOP", "PATIENT", "ENCOUNTER", "CODE"])
        for name, visits in records.items():
            for time, encounter, codes in visits:
                rows.writerows([f"{time}Z", "", name, f"{name}-{encounter}", code[2:]] for code in codes)
    return folder


def get(folder, cache, settings=SETTINGS, **described):
    source = SyntheaSource(str(folder), ["procedures"], 0.01)
    return prepare(source, OUTCOME, settings, described=described, cache=cache)


def assert_same(one, other):
    for field in fields(Tensors):
        np.testing.assert_array_equal(getattr(one.tensors, field.name), getattr(other.tensors, field.name))
    assert (one.vocabulary, one.flow, one.fingerprint) == (other.vocabulary, other.flow, other.fingerprint)


def entries(cache):
    return sorted(path.name for path in (cache / "prepared").iterdir())


def test_the_second_time_comes_from_the_cache_and_says_so(tmp_path, caplog):
    folder = write_export(tmp_path / "export")
    first = get(folder, tmp_path / "cache")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        second = get(folder, tmp_path / "cache")
    assert "taken from the cache" in caplog.text
    assert_same(first, second)


@pytest.mark.parametrize("changed", ["file", "setting", "outcome", "table"])
def test_a_change_makes_it_anew(tmp_path, changed, caplog):
    folder, cache = write_export(tmp_path / "export"), tmp_path / "cache"
    before = get(folder, cache, outcome="one")
    settings, outcome = SETTINGS, "one"
    if changed == "file":
        text = (folder / "procedures.csv").read_text()
        times = os.stat(folder / "procedures.csv")
        (folder / "procedures.csv").write_text(text.replace("2010", "2011", 1))
        # Same size and same time stamp: only the content tells.
        os.utime(folder / "procedures.csv", ns=(times.st_atime_ns, times.st_mtime_ns))
    elif changed == "setting":
        settings = replace(SETTINGS, min_frequency=3)
    elif changed == "outcome":
        outcome = "another"
    else:
        (folder / "patients.csv").write_text((folder / "patients.csv").read_text() + "s9999,1960-01-01,\n")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        after = get(folder, cache, settings, outcome=outcome)
    assert "made anew" in caplog.text
    assert after.fingerprint != before.fingerprint
    assert len(entries(cache)) == 2


def test_the_folders_name_is_no_part_of_the_fingerprint(tmp_path):
    one, other = write_export(tmp_path / "one"), write_export(tmp_path / "other")
    assert get(one, tmp_path / "cache").fingerprint == get(other, tmp_path / "cache").fingerprint


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn"])
def test_a_damaged_entry_is_told_and_made_anew(tmp_path, caplog, damage):
    folder, cache = write_export(tmp_path / "export"), tmp_path / "cache"
    first = get(folder, cache)
    (cache / "prepared" / first.fingerprint / "tensors.npz").write_bytes(damage)
    assert_same(first, get(folder, cache))
    assert "can't be read" in caplog.text
    caplog.clear()
    assert_same(first, get(folder, cache))
    assert "can't be read" not in caplog.text


def test_runs_at_once_end_with_one_whole_entry(tmp_path):
    folder, cache = write_export(tmp_path / "export"), tmp_path / "cache"
    with ProcessPoolExecutor(4) as pool:
        found = list(pool.map(get, [folder] * 4, [cache] * 4))
    for other in found[1:]:
        assert_same(found[0], other)
    assert entries(cache) == [found[0].fingerprint]


def test_a_split_without_subjects_is_refused(tmp_path):
    folder = write_export(tmp_path / "export", subjects=2)
    with pytest.raises(
        CohortError, match=r"each of train, val and test needs a subject; found \{.*Use a larger cohort"
    ):
        get(folder, tmp_path / "cache")
