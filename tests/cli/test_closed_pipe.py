"""A reader that closes the pipe, as ``| head -1`` does: every command that only shows something ends quietly."""

import os
from contextlib import contextmanager, redirect_stdout

import pytest

from survlstm.cli.main import BROKEN_PIPE
from survlstm.cli.usage import COMMANDS

SHOWING = [
    ["--help"],
    ["--version"],
    ["-sc", "install=bash"],
    ["train", "--info"],
    ["runs", "."],
    *([command, "--help"] for command in COMMANDS),
    *([command, "--cfg", "job"] for command in ("train", "rerun", "predict")),
]


@contextmanager
def closed_pipe():
    """Make the standard output a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        yield


@pytest.mark.parametrize("words", SHOWING, ids=" ".join)
def test_a_command_that_only_shows_something_ends_quietly(survlstm, capfd, words):
    with closed_pipe():
        assert survlstm(*words) == BROKEN_PIPE
    assert capfd.readouterr() == ("", "")
