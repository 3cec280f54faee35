"""Sweeps as a person types them: killed and completed, with failing jobs, folds, other launchers and loggers."""

import json
import os
import subprocess
import sys
import time

import pytest

from tests.lives import Life

SMALL = [
    "experiment=smoke",
    "trainer.epochs=1",
    "evaluation.baselines=[]",
    "evaluation.landmarks.visits=[]",
    "evaluation.resamples=100",
]


def states(sweep):
    found = {}
    for manifest in sorted(sweep.glob("*/manifest.json")):
        found[manifest.parent.name] = json.loads(manifest.read_text())["state"]
    return found


def summary(sweep):
    return json.loads((sweep / "summary.json").read_text())


def test_a_sweep_of_four_jobs_killed_in_the_middle_is_completed(survlstm, tmp_path, shared_cache, capsys):
    words = ["train", "-m", *SMALL, "model.dropout=0.1,0.3", "optimizer.weight_decay=1e-5,1e-4"]
    sweep = tmp_path / "sweep"
    life = Life(sweep, *words, f"cache_dir={shared_cache}", f"output_dir={sweep}")
    deadline = time.monotonic() + 300
    while sum(state == "finished" for state in states(sweep).values()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    life.killed()
    done = [name for name, state in states(sweep).items() if state == "finished"]
    assert 2 <= len(done) < 4
    before = {name: (sweep / name / "history.json").read_bytes() for name in done}

    # The interrupted sweep can be summarized.
    assert survlstm("summarize", str(sweep)) == 0
    assert sum(run["state"] == "finished" for run in summary(sweep)["runs"]) == len(done)

    assert survlstm("train", f"sweep.resume={sweep}") == 0
    assert list(states(sweep).values()) == ["finished"] * 4
    for name, history in before.items():
        assert (sweep / name / "history.json").read_bytes() == history
    found = summary(sweep)
    assert len(found["runs"]) == 4
    assert (sweep / "summary.csv").read_text().count("\n") == 5
    assert (sweep / "summary.html").stat().st_size > 10_000
    values = {run["run"]: run["val"]["nll"]["value"] for run in found["runs"]}
    assert found["winner"]["runs"] == [min(values, key=values.get)]
    assert "Traceback" not in capsys.readouterr().err


def test_one_failing_job_is_recorded_with_its_sentence_and_the_others_go_on(survlstm, tmp_path, capsys):
    words = ["-m", *SMALL, "optimizer.lr=0.001,1e30,0.002", "trainer.epochs=2", "output_dir=sweep"]
    assert survlstm("train", *words) == 1
    found = states(tmp_path / "sweep")
    assert found == {"optimizer.lr=0.001": "finished", "optimizer.lr=0.002": "finished", "optimizer.lr=1e+30": "failed"}
    manifest = json.loads((tmp_path / "sweep" / "optimizer.lr=1e+30" / "manifest.json").read_text())
    assert manifest["sentence"].startswith("NotFiniteError: the training loss must be finite")
    assert manifest["exit_code"] == 6
    assert "NotFiniteError" in (tmp_path / "sweep" / "summary.html").read_text()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model.droput=0.1,0.3"], "the nearest valid key is model.dropout"),
        (["model.dropout=0.1,1.5"], "model.dropout"),
        (["seed=1,1"], "seed must sweep over each value once"),
        (["seed=1,2", "trainer.dry_run=true"], "are for one run; leave out -m"),
    ],
)
def test_a_wrong_sweep_fails_before_its_first_job(survlstm, tmp_path, capsys, words, sentence):
    assert survlstm("train", "-m", *SMALL, *words, "output_dir=sweep") == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_a_second_sweep_is_not_written_into_the_first_and_its_jobs_can_be_judged_again(survlstm, tmp_path, capsys):
    assert survlstm("train", "-m", *SMALL, "seed=0,1", "output_dir=sweep") == 0
    assert survlstm("train", "-m", *SMALL, "trainer.epochs=2", "seed=0,1", "output_dir=sweep") == 2
    assert "run the missing jobs: survlstm train sweep.resume=" in capsys.readouterr().err
    assert survlstm("evaluate", "run=sweep/seed=0", "output_dir=again") == 0
    again, before = (
        json.loads((tmp_path / name / "metrics.json").read_text())["test"] for name in ("again", "sweep/seed=0")
    )
    assert again == before


def test_a_job_that_is_wrong_only_as_a_combination_stops_a_sweep_before_it_begins(survlstm, tmp_path, capsys):
    assert survlstm("train", "-m", *SMALL, "split.folds=5,3", "split.fold=0,4", "output_dir=sweep") == 2
    assert "split.fold must be below split.folds=3" in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_folds_hold_every_subject_in_one_test_split(survlstm, tmp_path):
    assert survlstm("train", "-m", *SMALL, "split.folds=2", "split.fold=0,1", "output_dir=sweep") == 0
    import pandas as pd

    tested = [pd.read_parquet(path)["subject_id"].unique() for path in sorted(tmp_path.glob("sweep/*/*.parquet"))]
    assert len(tested) == 2
    assert not set(tested[0]) & set(tested[1])
    data = json.loads(next(tmp_path.glob("sweep/*/metrics.json")).read_text())["data"]
    assert sum(map(len, tested)) == data["subjects_used"]
    (group,) = summary(tmp_path / "sweep")["groups"]
    assert group["finished"] == group["test"]["c_td"]["repeats"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["two_at_once", "submitit_local"])
def test_jobs_run_under_another_launcher(tmp_path, shared_cache, launcher):
    environment = os.environ | {"SURVLSTM_CACHE_DIR": str(shared_cache), "OMP_NUM_THREADS": "1"}
    words = ["train", "-m", *SMALL, "seed=1,2", f"hydra/launcher={launcher}", f"output_dir={tmp_path / 'sweep'}"]
    done = subprocess.run(
        [sys.executable, "-m", "survlstm", *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert states(tmp_path / "sweep") == {"seed=1": "finished", "seed=2": "finished"}
    assert len(summary(tmp_path / "sweep")["runs"]) == 2


def test_a_run_is_made_again_and_found(survlstm, tmp_path, capsys):
    assert survlstm("train", *SMALL, "trainer.epochs=2", "output_dir=outputs/one", "logger=tensorboard") == 0
    assert survlstm("rerun", "outputs/one", "output_dir=outputs/again") == 0
    assert "The history is identical: 2 epochs" in capsys.readouterr().out
    assert list((tmp_path / "outputs" / "one" / "tensorboard").iterdir())
    manifest = json.loads((tmp_path / "outputs" / "one" / "manifest.json").read_text())
    assert manifest["overrides"][:2] == SMALL[:2]
    assert manifest["packages"]["torch"]
    assert manifest["config"]["model"]["hidden_dim"] == 16
    assert manifest["machine"]["cores"] == os.cpu_count()
    assert manifest["started"] <= manifest["ended"]
    assert len(manifest["git"]["revision"]) == 40

    path = tmp_path / "outputs" / "one" / "history.json"
    history = json.loads(path.read_text())
    history["epochs"][1]["val_loss"] += 1e-12
    path.write_text(json.dumps(history))
    assert survlstm("rerun", "outputs/one", "output_dir=outputs/other") == 1
    assert "the history is not identical: val_loss of epoch 2" in capsys.readouterr().out
    assert survlstm("rerun", "nowhere") == 2
    assert "must be the folder that survlstm train made" in capsys.readouterr().err

    assert survlstm("runs", "--sort", "test.c_td", "--where", "model.hidden_dim=16") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("one", "again", "other"))
    assert survlstm("runs", "--sort", "tset.c_td") == 2
    assert "sort must be one of run, state" in capsys.readouterr().out
