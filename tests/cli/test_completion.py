"""Shell completion: commands without Hydra, groups and keys by Hydra, and the installed function in bash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from survlstm.cli import completed_folders
from survlstm.cli.usage import COMMANDS


@pytest.mark.parametrize("line", ["survlstm", "survlstm ", "survlstm tr"])
def test_the_first_word_is_a_command(survlstm, capsys, monkeypatch, line):
    monkeypatch.setenv("COMP_LINE", line)
    assert survlstm("-sc", "query=bash") == 0
    assert capsys.readouterr().out.split() == list(COMMANDS)


def completions(survlstm, capsys, monkeypatch, line):
    monkeypatch.setenv("COMP_LINE", line)
    survlstm("-sc", "query=bash")
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out.split()


@pytest.fixture
def _folders(tmp_path):
    """A run, a run of a sweep, an evaluation, and bundles in the working folder."""
    for name in (
        "outputs/a/training.log",
        "outputs/b/history.json",
        "outputs/c/evaluation.log",
        "outputs/c/manifest.json",
        "outputs/a run/history.json",
        "outputs/swept/sweep.json",
        "outputs/swept/seed=1/manifest.json",
        ".hidden/x/history.json",
        "bundles/one/bundle.json",
        "two.zip",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")


RUNS = ["outputs/a", "outputs/b", "outputs/swept/seed=1"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("survlstm export run=", [f"run={run}" for run in RUNS]),
        ("survlstm explain run=outputs/a", ["run=outputs/a"]),
        ("survlstm train resume=outp", [f"resume={run}" for run in RUNS]),
        ("survlstm train resume=b", ["resume=bundles/"]),
        ("survlstm train sweep.resume=", ["sweep.resume=outputs/swept"]),
        ("survlstm predict bundle=", ["bundle=bundles/one", "bundle=two.zip"]),
        ("survlstm serve bundle=b", ["bundle=bundles/one"]),
        ("survlstm predict data.path=", ["data.path=bundles/", "data.path=outputs/"]),
        ("survlstm compare outputs/a outputs/", RUNS),
        ("survlstm compare outputs/a s", ["seed="]),
        ("survlstm compare o", [*RUNS, "output="]),
        ("survlstm rerun outp", [*RUNS, "output_dir="]),
        ("survlstm rerun nowhere/", []),
        ("survlstm summarize ", ["outputs/swept"]),
        ("survlstm runs ", ["bundles/", "outputs/"]),
    ],
)
@pytest.mark.usefixtures("_folders")
def test_folders_of_runs_sweeps_and_bundles(survlstm, capsys, monkeypatch, line, expected):
    assert completions(survlstm, capsys, monkeypatch, line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("survlstm train --c", ["--cfg", "--config-dir"]),
        ("survlstm train --m", ["--multirun"]),
        ("survlstm predict --cfg ", ["job", "hydra", "all"]),
        ("survlstm runs --", ["--sort", "--where", "--help", "--version"]),
        ("survlstm runs --sort test", ["test.c_td", "test.nll"]),
        ("survlstm runs --where sta", ["state="]),
        ("survlstm runs --where outp", ["output_dir="]),
        ("survlstm plot sched", []),
        ("survlstm runs --where model.drop", ["model.dropout="]),
        ("survlstm runs --where logger=", ["logger=mlflow", "logger=none", "logger=tensorboard"]),
        ("survlstm summarize outputs --m", ["--metric"]),
        ("survlstm summarize outputs --metric ", ["val_nll", "val_c_td"]),
        ("survlstm plot s", ["survival", "subjects=", "subjects_at_once="]),
        ("survlstm plot survival s", ["subjects=", "subjects_at_once="]),
        ("survlstm train swe", ["sweep.resume="]),
        ("survlstm train -m seed=1,2 trainer.ep", ["trainer.epochs="]),
        ("survlstm train hydra/launcher=t", ["hydra/launcher=two_at_once"]),
        ("survlstm runs --sort=x", []),
        ("survlstm unknown x", []),
        ("survlstm train --frobnicate mo", []),
        ("survlstm train 'a", []),
        ("survlstm train no_such_key=1 trainer.ep", []),
        ("survlstm train data.path=nowhere x=[ mod", []),
    ],
)
def test_flags_keys_and_values(survlstm, capsys, monkeypatch, line, expected):
    found = completions(survlstm, capsys, monkeypatch, line)
    assert found == expected


def test_the_users_own_groups_are_completed(survlstm, capsys, monkeypatch, tmp_path):
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text("")
    line = "survlstm train --config-dir own model=mi"
    assert completions(survlstm, capsys, monkeypatch, line) == ["model=mine"]
    assert completions(survlstm, capsys, monkeypatch, "survlstm train --config-dir nowhere model=mi") == []


def test_a_large_tree_is_not_searched_to_its_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(completed_folders, "MOST_SEARCHED", 5)
    for number in range(9):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "sweep.json").write_text("")
    assert completed_folders.complete_folder("", completed_folders.is_sweep) == list("01234")


def test_bash_completes_commands_groups_and_keys(tmp_path):
    command = tmp_path / "survlstm"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m survlstm "$@"\n')
    command.chmod(0o755)
    script = """
    eval "$(survlstm -sc install=bash)"
    for line in "survlstm tr" "survlstm train trainer=" "survlstm train model=lstm_small trainer.ep" \\
            "survlstm predict subj" "survlstm serve max_e" "survlstm export run=$RUNS/" "survlstm runs --sort st"; do
        COMP_LINE="$line" COMP_POINT=${#line} COMP_WORDS=($line)
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        hydra_bash_completion
        echo "${COMPREPLY[@]}"
    done
    """
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "training.log").write_text("")
    environment = os.environ | {"RUNS": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, cwd=Path.cwd(), timeout=120
    )
    commands, groups, keys, *of_others = done.stdout.splitlines()
    assert commands == "train"
    assert groups.split() == ["trainer=a40", "trainer=cpu", "trainer=ddp", "trainer=smoke"]
    assert keys.split() == ["trainer.epochs="]
    assert of_others == ["subjects_at_once=", "max_events=", f"run={tmp_path}/one", "state started"]
