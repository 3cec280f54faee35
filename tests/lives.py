"""Processes that a test may kill, forked in no time from one that has imported everything."""

import contextlib
import gc
import multiprocessing
import os
import time

import pytest

from survlstm.cli.main import main

# torch imports _dynamo with the first optimizer, and the report matplotlib: seconds each.
IMPORTED = ["pytest", "torch._dynamo", "survlstm.runs.train", "survlstm.runs.launch", "tests.lives", "tests.learning"]


# A run of seconds, but for the number of its epochs.
SMALL = [
    "train",
    "data=tiny",
    "data.simulated.patients=200",
    "trainer.batch_size=16",
    "trainer.early_stopping.patience=null",
    "model.embedding_dim=16",
    "model.hidden_dim=16",
    "evaluation.baselines=[]",
    "evaluation.landmarks.visits=[]",
    "evaluation.resamples=100",
]
# After every step.
SAVING = "trainer.checkpoint.every_minutes=1e-9"


def forked(target, *arguments):
    """A started process that has imported ``IMPORTED`` and computes with one thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=target, args=arguments)
    with pytest.MonkeyPatch.context() as patch:
        # Read by the server, which starts with its first process.
        patch.setenv("OMP_NUM_THREADS", "1")
        process.start()
    return process


def done_by(target, *arguments, output):
    """Let another process call it; AssertionError with all it said where it did not end well."""
    process = forked(_told, output, target, *arguments)
    process.join()
    code = process.exitcode
    process.close()
    assert code == 0, f"ended with {code}: {output.read_text()}"


def _told(output, target, *arguments):
    # A full collection would touch, and so copy, all that was imported: half a second a time.
    gc.freeze()
    with open(output, "ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    target(*arguments)


class Life:
    """One process of a run in ``folder``: ``survlstm`` with some words; what it says is in ``said``."""

    def __init__(self, folder, *words, command=main):
        self.output = folder.with_name(f"{folder.name}.output")
        self.output.touch()
        self.begin = self.output.stat().st_size
        self.process = forked(_told, self.output, command, list(words))

    @property
    def said(self):
        return self.output.read_bytes()[self.begin :].decode()

    def until(self, line, *, within=60.0):
        """Wait until the life has said it, or has ended."""
        latest = time.monotonic() + within
        while line not in self.said and self.process.is_alive():
            assert time.monotonic() < latest, f"waited {within} s for {line!r}: {self.said}"
            time.sleep(0.002)
        return self

    def killed(self, *, after=0.0):
        """Kill it after so many seconds, unless it ends before; what it said."""
        self.process.join(after)
        self.process.kill()
        self.process.join()
        self.process.close()
        return self.said

    def ended(self, *, within=120.0):
        """Wait for its end; its exit code."""
        self.process.join(within)
        code = self.process.exitcode
        with contextlib.suppress(ValueError):
            self.process.close()
        assert code is not None, f"not ended after {within} s: {self.said}"
        return code
