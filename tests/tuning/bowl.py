"""A runner that trains nothing: a quadratic bowl over dropout and weight decay, with learning curves."""

from __future__ import annotations

import functools
import math
import os
import signal
import time

import pytest

from survlstm.config.compose import check_overrides
from survlstm.training.history import Epoch, History, Usage
from survlstm.tuning import TuneConfig, results, search, tune
from survlstm.tuning.trial import outcome_of

EPOCHS = 12
# The bowl's lowest point.
DROPOUT, LOG_DECAY, FLOOR = 0.5, -3.0, 0.4


def value_of(overrides):
    values = dict(line.split("=", 1) for line in overrides)
    decay = math.log10(float(values["optimizer.weight_decay"]))
    return FLOOR + 4 * (float(values["model.dropout"]) - DROPOUT) ** 2 + 0.1 * (decay - LOG_DECAY) ** 2


def curve(value, epoch):
    return value + 2 * math.exp(-epoch / 2)


class Bowl:
    """Counts what it trained; every epoch is a line of ``trained.txt`` in the trial's folder, and it goes on there."""

    def __init__(self, *, epochs=EPOCHS, pause=0.0, die_at=None):
        self.epochs, self.pause, self.die_at = epochs, pause, die_at
        self.asked, self.trained = [], []

    def __call__(self, overrides, folder, callback):
        self.asked.append(list(overrides))
        self.trained.append(0)
        value, file = value_of(overrides), folder / "trained.txt"
        done = len(file.read_text().split()) if file.exists() else 0
        history = History(1, 1.0)
        for epoch in range(1, self.epochs + 1):
            loss = curve(value, epoch)
            history.epochs.append(Epoch(epoch, loss, loss, 1 - loss / 10, 0.001, 1.0, 0.1, 100.0))
            history.best_epoch, history.usage = epoch, Usage(seconds=0.1 * epoch)
            if epoch <= done:
                continue
            self.trained[-1] += 1
            with file.open("a") as stream:
                stream.write(f"{os.getpid()}\n")
            time.sleep(self.pause)
            if self.die_at == (len(self.asked) - 1, epoch):
                os.kill(os.getpid(), signal.SIGKILL)
            callback.epoch_ended(history)
        return outcome_of(history)


def config_of(folder, *words):
    return composed(*words).model_copy(update={"output_dir": str(folder)})


@functools.cache
def composed(*words):
    """Composing takes a third of a second."""
    (config,) = check_overrides("tune", list(words), TuneConfig)
    return config


def tuned(folder, *words, **settings):
    """Search with a bowl; what it was asked for is in it."""
    bowl = Bowl(**settings)
    tune(config_of(folder, *words), bowl)
    return bowl


def work(folder, words, settings):
    """One worker in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        make_bare(patch)
        tuned(folder, *words, **settings)


def make_bare(patch):
    """Leave out what takes seconds and has tests of its own: the space's check, the experiment file, the page."""
    patch.setattr(search, "check_trials", lambda config: None)
    patch.setattr(results, "experiment_yaml", lambda lines, *, about: about)
    patch.setattr(results, "write_page", lambda study, config, found, best: None)
