"""The files of a run, a sweep and the cache changed at random: one sentence or sound data, never a traceback.

As in test_mutated_bundles: bytes as a disk changes them, and values under sums that fit again.
"""

import contextlib
import json
import logging
import random
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from survlstm.config.compose import check_overrides
from survlstm.config.schema.commands import RerunConfig
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import schema_keys
from survlstm.data.checksums import write_checksums
from survlstm.data.prepared_cache import load_prepared
from survlstm.data.prepared_data import PreparedData
from survlstm.runs.finished import open_run
from survlstm.runs.launch import start, with_absolute_paths
from survlstm.runs.predictions_table import read_predictions, write_predictions
from survlstm.runs.rerun import rerun
from survlstm.runs.resume import recorded_config, resumed_config, state_to_go_on_from
from survlstm.runs.train import train
from survlstm.sweeps.listing import format_listing, list_runs
from survlstm.sweeps.summary import summarize
from survlstm.sweeps.sweep_overrides import planned_jobs, read_sweep_words, record_words
from survlstm.training.checkpoint import load_checkpoint, write_checkpoint
from survlstm.training.prediction import Predictions
from survlstm.utils.errors import CheckpointError, SurvlstmError
from tests.fuzz.mutations import SECRET, SEED, changed_bytes, changed_value, is_clear_error
from tests.sweeps.sample import grid_sweep

SMALL = ["experiment=smoke", "trainer.epochs=3", "trainer.checkpoint.every_epochs=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shared_cache):
    """A run of three epochs that nobody has judged, and its config."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    (config,) = check_overrides("train", [*SMALL, f"cache_dir={shared_cache}"], RunConfig)
    start(config, folder, judged=False)
    (folder / "report.html").unlink(missing_ok=True)
    return folder, with_absolute_paths(config, folder)


def test_no_changed_byte_of_a_checkpoint_becomes_data(trained, tmp_path, times):
    dice, folder = random.Random(SEED), trained[0] / "checkpoints"
    for number in range(60 * times):
        path = folder / dice.choice(["best.pt", "last.pt"])
        other = tmp_path / f"{number}.pt"
        other.write_bytes(changed_bytes(path.read_bytes(), dice))
        if other.read_bytes() == path.read_bytes():
            continue
        with pytest.raises(CheckpointError, match="must be a whole checkpoint") as caught:
            load_checkpoint(other)
        assert is_clear_error(caught.value)


def write_changed(path, content, dice):
    """A checkpoint with one value changed, under a sum that fits; what is no table of parts has a test of its own."""
    while not isinstance(changed := changed_value(content, dice), dict):
        pass
    write_checkpoint(path, changed)


def test_no_changed_value_of_a_best_checkpoint_gives_a_traceback(trained, tmp_path, times):
    dice, refused = random.Random(SEED + 2), 0
    shutil.copytree(trained[0], tmp_path / "run")
    best = load_checkpoint(trained[0] / "checkpoints" / "best.pt")
    for _ in range(100 * times):
        write_changed(tmp_path / "run" / "checkpoints" / "best.pt", best, dice)
        try:
            run = open_run(tmp_path / "run")
            model = run.model()
        except SurvlstmError as error:
            refused += is_clear_error(error)
            continue
        assert all(bool(weight.isfinite().all()) for weight in model.parameters())
        assert SECRET not in str(run.config)
        assert "$" not in str(run.config)
    assert refused > 40 * times


def test_no_changed_value_of_a_state_gives_a_traceback_when_a_run_goes_on(trained, tmp_path, times, caplog):
    folder, config = trained
    dice, refused, gone_on = random.Random(SEED + 3), 0, 0
    state = load_checkpoint(folder / "checkpoints" / "last.pt")
    longer = config.model_copy(update={"trainer": config.trainer.model_copy(update={"epochs": 4})})
    caplog.set_level(logging.ERROR, logger="survlstm")
    for _ in range(15 * times):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "run")
        (tmp_path / "run" / "checkpoints" / "previous.pt").unlink()
        write_changed(tmp_path / "run" / "checkpoints" / "last.pt", state, dice)
        try:
            recorded_config(tmp_path / "run")
            resumed_config(tmp_path / "run", ["trainer.epochs=4"])
            found = state_to_go_on_from(tmp_path / "run", longer)
            train(longer, tmp_path / "run", state=found, judged=False)
        except SurvlstmError as error:
            refused += is_clear_error(error)
            continue
        gone_on += 1
        history = json.loads((tmp_path / "run" / "history.json").read_text())
        assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2, 3, 4]
    assert refused > 4 * times
    assert gone_on or times == 1


def changed_text(path, dice):
    """A text file with one byte, or one value, changed."""
    content = path.read_bytes()
    if dice.random() < 0.5:
        path.write_bytes(changed_bytes(content, dice))
        return
    # What an earlier change has broken is broken further.
    with contextlib.suppress(ValueError, RecursionError, yaml.YAMLError):
        if path.suffix == ".json":
            path.write_text(json.dumps(changed_value(json.loads(content), dice)))
        else:
            path.write_text(yaml.safe_dump(changed_value(yaml.safe_load(content), dice)))


FILES = ("manifest.json", "metrics.json", "history.json", "config.yaml")


def test_no_changed_file_of_a_sweep_gives_a_traceback(tmp_path, times):
    dice = random.Random(SEED + 4)
    whole = grid_sweep(tmp_path / "whole")
    record_words(whole, ["-m", "model.dropout=0.1,0.3,0.5", "optimizer.weight_decay=1e-5,1e-4,1e-3"])
    for number in range(12 * times):
        sweep = shutil.copytree(whole, tmp_path / "sweep")
        for _ in range(12):
            changed_text(dice.choice([path for path in sorted(sweep.glob("*/*")) if path.name in FILES]), dice)
        table = format_listing(list_runs(sweep, sort=dice.choice([None, "test.c_td", "val.nll", "seconds"])))
        assert SECRET not in table.to_string()
        try:
            # The pictures take most of the time.
            summarize(sweep) if number % 12 == 0 else list_runs(sweep, where=("state=finished",))
        except SurvlstmError as error:
            is_clear_error(error)
        shutil.rmtree(sweep)


def test_no_changed_record_of_a_sweep_gives_a_traceback_or_runs_anything(tmp_path, times):
    dice, refused = random.Random(SEED + 5), 0
    words = ["data=tiny", "model.dropout=0.1,0.3", "seed=range(0,3)", "outcome.planted_codes=[X/1,X/2]"]
    for _ in range(150 * times):
        record_words(tmp_path, ["-m", "--config-dir", str(tmp_path), *words])
        changed_text(tmp_path / "sweep.json", dice)
        try:
            found, _ = read_sweep_words([f"sweep.resume={tmp_path}", "--config-dir", str(tmp_path)])
            planned_jobs(found)
        except SurvlstmError as error:
            refused += is_clear_error(error)
            continue
        allowed = schema_keys(RunConfig) | {"-m", "--config-dir", str(tmp_path)}
        # A setting that no shipped class has may be one of a class in the user's own config folder.
        unknown = {word.split("=")[0] for word in found} - allowed
        assert all(
            re.fullmatch(r"(model|outcome|optimizer|scheduler|logger|data\.source)\.\w+", key) for key in unknown
        )
        assert not any("${" in word or "_target_" in word for word in found)
    assert refused > 60 * times


def test_no_changed_history_or_manifest_gives_a_traceback_when_a_run_is_made_again(
    trained, tmp_path, times, monkeypatch
):
    folder, _ = trained
    dice, refused = random.Random(SEED + 6), 0
    monkeypatch.setattr("survlstm.runs.rerun.start", lambda config, other, overrides: shutil.copytree(folder, other))
    (asked,) = check_overrides("rerun", [f"output_dir={tmp_path / 'again'}"], RerunConfig)
    for _ in range(40 * times):
        run = shutil.copytree(folder, tmp_path / "run")
        changed_text(run / dice.choice(["manifest.json", "history.json"]), dice)
        try:
            rerun(run, asked)
        except SurvlstmError as error:
            refused += is_clear_error(error)
        for made in (run, tmp_path / "again"):
            shutil.rmtree(made, ignore_errors=True)
    assert refused > 8 * times


def test_no_changed_byte_of_predictions_becomes_data(tmp_path, times):
    path, dice = tmp_path / "predictions.parquet", random.Random(SEED + 8)
    generator = np.random.default_rng(SEED)
    step = np.sort(generator.integers(0, 12, 60))
    hazard = np.where(np.arange(12) <= step[:, None], generator.uniform(0.01, 0.3, (60, 12)), np.nan)
    found = Predictions(np.arange(60), step, step % 2 == 0, hazard, np.cumprod(1 - hazard, axis=1), np.zeros(60))
    names = np.array([f"s{number:03d}" for number in range(60)])
    write_predictions(path, found, names, split="test", clock="visit")
    content, whole, refused = path.read_bytes(), read_predictions(path), 0
    for _ in range(100 * times):
        path.write_bytes(changed_bytes(content, dice))
        try:
            pd.testing.assert_frame_equal(read_predictions(path), whole)
        except CheckpointError as error:
            refused += is_clear_error(error)
    assert refused > 60 * times


def test_no_changed_value_of_prepared_data_gives_a_traceback(trained, tmp_path, times, shared_cache):
    folder, _ = trained
    fingerprint = load_checkpoint(folder / "checkpoints" / "best.pt")["about"]["data_fingerprint"]
    entry = tmp_path / "prepared" / fingerprint
    shutil.copytree(shared_cache / "prepared" / fingerprint, entry)
    about, dice, refused = (entry / "about.json").read_text(), random.Random(SEED + 7), 0
    for _ in range(100 * times):
        (entry / "about.json").write_text(json.dumps(changed_value(json.loads(about), dice)))
        write_checksums(entry)
        found = load_prepared(tmp_path, fingerprint)
        assert found is None or isinstance(found, PreparedData)
        refused += found is None
    assert refused > 50 * times
