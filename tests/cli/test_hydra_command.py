"""What the commands share: refusing a sweep, splitting folders from overrides, exit codes of signals."""

import os
import signal

import pytest

from survlstm.cli.hydra_command import exit_on, split_run_folders


@pytest.mark.parametrize(
    ("command", "work"),
    [
        ("evaluate", "evaluates one run"),
        ("compare", "makes one comparison"),
        ("tune", "starts many runs itself"),
        ("rerun", "repeats one run"),
        ("export", "does one thing"),
        ("predict", "does one thing"),
        ("explain", "does one thing"),
        ("serve", "does one thing"),
        ("simulate", "writes one cohort"),
    ],
)
def test_a_command_without_sweeps_refuses_the_flag(survlstm, capsys, command, work):
    assert survlstm(command, "-m") == 2
    message = f"ConfigError: survlstm {command} {work}; leave out -m and run it once per value\n"
    assert capsys.readouterr().err == message


def test_folders_are_told_from_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed=1").mkdir()
    words = ["outputs/one", "seed=1", "seed=2", "missing", "output=x"]
    assert split_run_folders(words) == (["outputs/one", "seed=1", "missing"], ["seed=2", "output=x"])


def test_flags_and_their_values_are_no_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    flags = ["--cfg=job", f"--config-dir={tmp_path / 'own'}"]
    assert split_run_folders(["a", "--config-dir", "own", "b", "--cfg", "job"]) == (["a", "b"], flags)
    assert split_run_folders(["own", "--info"]) == (["own"], ["--info=all"])


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_exits_with_its_code_and_the_handlers_return(kind):
    before = signal.getsignal(kind)
    with pytest.raises(SystemExit, match=str(128 + kind)), exit_on(signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), kind)
    assert signal.getsignal(kind) == before
