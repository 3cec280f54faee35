"""Shell completion: commands without Hydra, groups and keys by Hydra, and the installed function in bash."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from survlstm.cli.completion import WITH_OVERRIDES
from survlstm.cli.usage import COMMANDS


@pytest.mark.parametrize("line", ["survlstm", "survlstm ", "survlstm tr"])
def test_the_first_word_is_a_command(survlstm, capsys, monkeypatch, line):
    monkeypatch.setenv("COMP_LINE", line)
    assert survlstm("-sc", "query=bash") == 0
    assert capsys.readouterr().out.split() == list(COMMANDS)


@pytest.mark.parametrize(
    "line", ["survlstm compare outp", "survlstm rerun ", "survlstm runs --s", "survlstm unknown x"]
)
def test_a_command_that_hydra_does_not_know_gets_no_suggestion(survlstm, capsys, monkeypatch, line):
    monkeypatch.setenv("COMP_LINE", line)
    assert survlstm("-sc", "query=bash") == 0
    assert capsys.readouterr().out == ""


def test_the_commands_with_overrides_are_commands():
    assert set(COMMANDS) > WITH_OVERRIDES


def test_bash_completes_commands_groups_and_keys(tmp_path):
    command = tmp_path / "survlstm"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m survlstm "$@"\n')
    command.chmod(0o755)
    script = """
    eval "$(survlstm -sc install=bash)"
    for line in "survlstm tr" "survlstm train trainer=" "survlstm train model=lstm_small trainer.ep" \\
            "survlstm predict subj" "survlstm serve max_e"; do
        COMP_LINE="$line" COMP_POINT=${#line} COMP_WORDS=($line)
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        hydra_bash_completion
        echo "${COMPREPLY[@]}"
    done
    """
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, cwd=Path.cwd(), timeout=120
    )
    commands, groups, keys, *of_others = done.stdout.splitlines()
    assert commands == "train"
    assert groups.split() == ["trainer=a40", "trainer=cpu", "trainer=ddp", "trainer=smoke"]
    assert keys.split() == ["trainer.epochs="]
    assert of_others == ["subjects_at_once=", "max_events="]
