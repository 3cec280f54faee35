"""What a run shows: lines in a log, in a pipe and on a terminal, and a bar on a terminal alone."""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BARE = ["evaluation.baselines=[]", "evaluation.landmarks.visits=[]", "evaluation.resamples=100"]
RUN = [sys.executable, "-m", "survlstm", "train", "experiment=smoke", *BARE, "trainer.epochs=2", "output_dir=run"]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
LINES = (
    r"Epoch 2/2",
    r"Train loss: \d\.\d{4}  \(\d+\.\d\d s, \d+ subjects/s\)",
    r"Val loss: \d\.\d{4}, C-index \(c_td\): \d\.\d{4}",
    r"Saved best model to /.+/run/checkpoints/best.pt",
    r"Time: \d+(\.\d)? s so far, at most \d+(\.\d)? s to go",
    r"Training ended: all 2 epochs done",
    r"Best validation loss: \d\.\d{4} \(epoch \d\)",
)


@pytest.fixture
def environment(survlstm):
    """Of a process that shares the tests' cache; its folder is the test's."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "xterm"}


def test_pipes_and_the_log_get_lines_without_control_characters(environment, tmp_path):
    done = subprocess.run(RUN, env=environment, capture_output=True, timeout=120)
    shown = done.stdout.decode()
    assert done.returncode == 0, shown
    assert done.stderr == b""
    log = (tmp_path / "run" / "training.log").read_text()
    for text in (shown, log):
        assert not CONTROL.search(text)
        assert "Training:" not in text
    for line in LINES:
        assert re.search(f"^{line}$", shown, re.M), line
        assert re.search(rf"^(\d{{4}}-\d\d-\d\d \S+ INFO )?{line}$", log, re.M), line
    order = [shown.index(part) for part in ("\nEpoch 1/2", "Train loss: ", "Val loss: ", "Saved best", "\nEpoch 2/2")]
    assert order == sorted(order)


def on_a_terminal(command, environment):
    """Everything that a command writes to a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    # Born without a width, in which no bar has room.
    termios.tcsetwinsize(theirs, (50, 200))
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, ends = [], time.monotonic() + 120
    while time.monotonic() < ends:
        if not select.select([ours], [], [], 1)[0]:
            continue
        try:
            some = os.read(ours, 65536)
        except OSError:  # so Linux says that the other end is closed
            break
        if not some:
            break
        shown.append(some)
    os.close(ours)
    return b"".join(shown).decode(), process.wait(10)


def test_a_terminal_gets_a_bar_and_the_log_does_not(environment, tmp_path):
    shown, code = on_a_terminal(RUN, environment)
    assert code == 0, shown
    assert re.search(r"\rTraining: +\d+%\|.*\| \d+/2 ", shown)
    assert re.search(r"\rEvaluating: +\d+%\|", shown)
    # Once done the bar is wiped away; a line never begins behind one.
    for line in LINES:
        assert re.search(rf"(^|[\r\n]){line}\r\n", shown), line
    assert not CONTROL.search((tmp_path / "run" / "training.log").read_text())
