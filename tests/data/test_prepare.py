"""``prepare``: use of the cache, its log lines, damaged and changed entries, runs at the same time, other cohorts."""

import csv
import logging
import os
import re
import shutil
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from survlstm.data.landmark import LandmarkSettings
from survlstm.data.outcomes.synthetic import RandomOutcome
from survlstm.data.prepare import prepare, prepare_uncached, refuse_empty_split
from survlstm.data.prepared_cache import load_prepared
from survlstm.data.sources.synthea import SyntheaSource
from survlstm.data.split import Fold, Split
from survlstm.data.tensors import Tensors
from survlstm.utils.errors import CohortError, ConfigError
from tests.records import LANDMARK_SETTINGS, SETTINGS, RecordsSource, events_of, random_records

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


def get(folder, cache, settings=SETTINGS, *, preprocessing=None, **described):
    source = SyntheaSource(str(folder), ["procedures"], 0.01)
    return prepare(source, OUTCOME, settings, described=described, cache=cache, preprocessing=preprocessing)


def assert_same(one, other):
    for field in fields(Tensors):
        np.testing.assert_array_equal(getattr(one.tensors, field.name), getattr(other.tensors, field.name))
    assert one.preprocessing.as_plain() == other.preprocessing.as_plain()
    assert (one.flow, one.fingerprint) == (other.flow, other.fingerprint)


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
        # Same size and same time stamp: only the content differs.
        os.utime(folder / "procedures.csv", ns=(times.st_atime_ns, times.st_mtime_ns))
    elif changed == "setting":
        settings = replace(SETTINGS, min_frequency=3)
    elif changed == "outcome":
        outcome = "another"
    else:
        (folder / "patients.csv").write_text((folder / "patients.csv").read_text() + "s9999,1960-01-01,\n")
    with caplog.at_level(logging.INFO, logger="survlstm"):
        after = get(folder, cache, settings, outcome=outcome)
    assert "computed and stored in the cache" in caplog.text
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
    assert "can't be used" in caplog.text
    caplog.clear()
    assert_same(first, get(folder, cache))
    assert "can't be used" not in caplog.text


def test_no_changed_byte_of_an_entry_becomes_data(tmp_path, caplog):
    cache = tmp_path / "cache"
    whole = get(write_export(tmp_path / "export"), cache)
    entry, generator = cache / "prepared" / whole.fingerprint, np.random.default_rng(12)
    assert sorted(path.name for path in entry.iterdir()) == ["about.json", "sums.json", "tensors.npz"]
    for path in entry.iterdir():
        content = path.read_bytes()
        # One byte in each of 40 regions, so that every part of the file is tried.
        bounds = np.linspace(0, len(content), 41).astype(int)
        for place in (int(generator.integers(*region)) for region in pairwise(bounds)):
            flipped = content[place] ^ (1 << int(generator.integers(8)))
            path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
            caplog.clear()
            found = load_prepared(cache, whole.fingerprint)
            if found is None:
                assert "can't be used" in caplog.text
            else:
                # The byte was white space in sums.json.
                assert path.name == "sums.json"
                assert_same(whole, found)
        path.write_bytes(content)
    assert_same(whole, load_prepared(cache, whole.fingerprint))


@pytest.mark.parametrize("name", ["about.json", "sums.json", "tensors.npz"])
def test_an_entry_without_one_of_its_files_is_made_anew(tmp_path, caplog, name):
    folder, cache = write_export(tmp_path / "export"), tmp_path / "cache"
    first = get(folder, cache)
    (cache / "prepared" / first.fingerprint / name).unlink()
    assert_same(first, get(folder, cache))
    assert "can't be used" in caplog.text
    assert (cache / "prepared" / first.fingerprint / name).is_file()


def test_an_entry_under_the_name_of_another_is_none(tmp_path, caplog):
    cache = tmp_path / "cache"
    one = get(write_export(tmp_path / "one"), cache)
    other = get(write_export(tmp_path / "other", seed=1), cache)
    shutil.rmtree(cache / "prepared" / other.fingerprint)
    shutil.copytree(cache / "prepared" / one.fingerprint, cache / "prepared" / other.fingerprint)
    assert load_prepared(cache, other.fingerprint) is None
    assert "prepared from other files, settings or code" in caplog.text


def test_runs_at_once_end_with_one_whole_entry(tmp_path):
    folder, cache = write_export(tmp_path / "export"), tmp_path / "cache"
    with ProcessPoolExecutor(4) as pool:
        found = list(pool.map(get, [folder] * 4, [cache] * 4))
    for other in found[1:]:
        assert_same(found[0], other)
    assert entries(cache) == [found[0].fingerprint]


def test_runs_at_once_prepare_the_data_once(tmp_path):
    folder, cache = write_export(tmp_path / "export"), tmp_path / "cache"
    read = []

    class Slow(SyntheaSource):
        def read(self):
            read.append(self.path)
            time.sleep(0.3)
            return super().read()

    def get_slowly(_):
        return prepare(Slow(str(folder), ["procedures"], 0.01), OUTCOME, SETTINGS, described={}, cache=cache)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(get_slowly, range(3)))
    assert len(read) == 1
    for other in found[1:]:
        assert_same(found[0], other)


def test_a_split_without_subjects_is_refused(tmp_path):
    folder = write_export(tmp_path / "export", subjects=2)
    with pytest.raises(
        CohortError, match=r"each of train, val and test needs a subject; found \{.*Use a larger cohort"
    ):
        get(folder, tmp_path / "cache")


@pytest.mark.parametrize(
    ("part", "shares", "fold", "advice"),
    [
        ("test", (0.7, 0.15), None, "set split.test=0.25 split.train=0.6"),
        ("val", (0.3, 0.1), None, "set split.val=0.2 split.test=0.5"),
        ("train", (0.1, 0.8), None, "set split.train=0.2 split.val=0.7"),
        ("test", (0.7, 0.15), Fold(3, 5), "lower split.folds (now 5)"),
    ],
)
def test_a_larger_share_takes_from_another_so_that_all_add_up_to_one(part, shares, fold, advice):
    settings = replace(SETTINGS, train=shares[0], val=shares[1], fold=fold)
    split = np.array([each for each in Split if each.name.lower() != part])
    with pytest.raises(CohortError, match=re.escape(f"Use a larger cohort, {advice} or set another split.seed")):
        refuse_empty_split(split, settings)


def test_an_entry_is_found_by_its_fingerprint_alone(tmp_path):
    cache = tmp_path / "cache"
    prepared = get(write_export(tmp_path / "export"), cache)
    assert_same(prepared, load_prepared(cache, prepared.fingerprint))
    assert load_prepared(cache, "0" * 24) is None
    assert load_prepared(tmp_path / "elsewhere", prepared.fingerprint) is None


def test_what_was_fitted_makes_another_entry_and_is_kept_with_every_digit(tmp_path):
    folder, cache = write_export(tmp_path / "export"), tmp_path / "cache"
    own = get(folder, cache)
    applied = get(folder, cache, preprocessing=own.preprocessing)
    other = get(
        folder, cache, preprocessing=replace(own.preprocessing, feature_mean=own.preprocessing.feature_mean + 1e-12)
    )
    assert len({own.fingerprint, applied.fingerprint, other.fingerprint}) == 3
    kept = load_prepared(cache, own.fingerprint)
    for name in ("feature_mean", "feature_spread", "edge_days"):
        np.testing.assert_array_equal(getattr(kept.preprocessing, name), getattr(own.preprocessing, name))


def strange(records):
    """Add one of two codes that no other cohort has to every visit."""
    return {
        name: [(time, encounter, [*codes, f"Z/{number % 2}"]) for number, (time, encounter, codes) in enumerate(visits)]
        for name, visits in records.items()
    }


@pytest.mark.parametrize("settings", [SETTINGS, LANDMARK_SETTINGS], ids=["visit", "landmark"])
def test_another_cohort_is_prepared_with_what_was_fitted_and_nothing_else(settings):
    own = prepare_uncached(RecordsSource(events_of(random_records(120, seed=1))), OUTCOME, settings)
    other_records = strange(random_records(30, seed=2))
    applied = prepare_uncached(
        RecordsSource(events_of(other_records)), OUTCOME, settings, preprocessing=own.preprocessing
    )
    assert applied.preprocessing is own.preprocessing
    assert applied.tensors.edge_days.tolist() == own.tensors.edge_days.tolist()
    visits = len(applied.tensors.visit_time)
    assert {f"X/{number}" for number in range(40)} <= set(own.vocabulary.entries)
    assert applied.flow.codes_unknown == {"entries": visits, "codes": 2}
    assert (applied.tensors.code == 1).sum() == visits
    assert own.flow.codes_unknown == {"entries": 0, "codes": 0}
    # Standardised with mean and spread of the first cohort, so that ages here do not have mean 0 and spread 1.
    raw = applied.tensors.features[:, 2] * own.preprocessing.feature_spread[2] + own.preprocessing.feature_mean[2]
    age = (applied.tensors.visit_time - np.datetime64("1960-01-01")).astype(np.int64) / 86400 / 365.25
    np.testing.assert_allclose(raw, age, atol=1e-4)


@pytest.mark.parametrize("settings", [SETTINGS, LANDMARK_SETTINGS], ids=["visit", "landmark"])
def test_another_cohort_may_leave_a_split_empty(settings):
    own = prepare_uncached(RecordsSource(events_of(random_records(120, seed=1))), OUTCOME, settings)
    few = RecordsSource(events_of(random_records(4, seed=2)))
    applied = prepare_uncached(few, OUTCOME, settings, preprocessing=own.preprocessing)
    assert min(len(applied.tensors.members(part)) for part in Split) == 0
    with pytest.raises(CohortError, match="each of train, val and test needs a subject"):
        prepare_uncached(few, OUTCOME, settings)


def test_another_clock_than_the_one_of_the_training_is_refused():
    source = RecordsSource(events_of(random_records(120, seed=1)))
    for trained, asked in ((SETTINGS, LANDMARK_SETTINGS), (LANDMARK_SETTINGS, SETTINGS)):
        preprocessing = prepare_uncached(source, OUTCOME, trained).preprocessing
        with pytest.raises(
            ConfigError, match=r"clock must be that of the trained model, clock=(visit|landmark); found"
        ):
            prepare_uncached(source, OUTCOME, asked, preprocessing=preprocessing)


def test_a_landmark_makes_another_entry(tmp_path):
    folder, cache = write_export(tmp_path / "export", subjects=80), tmp_path / "cache"
    fingerprints = {get(folder, cache).fingerprint}
    for day in (100.0, 101.0):
        landmark = LandmarkSettings(day=day, visit=None, intervals=2, edges="equidistant", horizon_days=700.0)
        prepared = get(folder, cache, replace(SETTINGS, landmark=landmark))
        assert_same(prepared, load_prepared(cache, prepared.fingerprint))
        fingerprints.add(prepared.fingerprint)
    assert len(fingerprints) == 3
