"""BackgroundLogger keeps a logger's errors and delays from the run, and warns once."""

import json
import subprocess
import sys
import threading
import time

import pytest

from survlstm.training.loggers.background import BackgroundLogger
from survlstm.training.loggers.logger import NoLogger, epoch_scalars, finite_only, flat_parameters, require_package
from survlstm.utils.errors import ConfigError
from tests.training.loggers.histories import CONFIG, METRICS, history, warnings_in


class Logger:
    """Record the calls; ``does`` is called first, with the name of the method."""

    name = "tensorboard"
    advice = "See to it"

    def __init__(self, does=lambda method: None, *, patience_seconds=10.0):
        self.does, self.patience_seconds, self.told, self.closed = does, patience_seconds, [], threading.Event()

    def begin(self, config, *, name, folder):
        self.does("begin")
        self.told.append(("begin", config, name, folder))

    def epoch_ended(self, history):
        self.does("epoch_ended")
        self.told.append(("epoch_ended", [epoch.epoch for epoch in history.epochs]))

    def end(self, metrics, folder, state):
        self.does("end")
        self.told.append(("end", metrics, folder, state))

    def close(self):
        self.closed.set()


def run_of(logger, folder, *, epochs=3):
    """Log a whole run and return its seconds."""
    started = time.monotonic()
    guarded = BackgroundLogger(logger)
    guarded.begin(CONFIG, name="a run", folder=folder)
    for number in range(1, epochs + 1):
        guarded.epoch_ended(history(number))
    guarded.end(METRICS, folder, "finished")
    guarded.close()
    return time.monotonic() - started


def raising(where, error):
    def does(method):
        if method == where:
            raise error

    return does


def test_a_tracker_is_told_all_in_order(tmp_path, caplog):
    logger = Logger()
    run_of(logger, tmp_path)
    assert logger.closed.wait(10)
    assert logger.told[0] == ("begin", CONFIG, "a run", tmp_path)
    assert logger.told[-2:] == [("epoch_ended", [1, 2, 3]), ("end", METRICS, tmp_path, "finished")]
    assert not warnings_in(caplog)


def test_epochs_are_passed_on_as_they_were(tmp_path):
    held = threading.Event()
    logger = Logger(lambda method: held.wait(10) if method == "epoch_ended" else None)
    guarded = BackgroundLogger(logger)
    guarded.begin(CONFIG, name="a run", folder=tmp_path)
    changing = history(2)
    guarded.epoch_ended(changing)
    changing.epochs.clear()
    held.set()
    guarded.end({}, tmp_path, "stopped")
    assert logger.told[1] == ("epoch_ended", [1, 2])
    guarded.close()


def test_a_tracker_slower_than_the_epochs_gets_the_last_of_those_that_wait(tmp_path):
    begun, held = threading.Event(), threading.Event()

    def does(method):
        if method == "epoch_ended":
            begun.set()
            held.wait(10)

    logger = Logger(does)
    guarded = BackgroundLogger(logger)
    guarded.begin(CONFIG, name="a run", folder=tmp_path)
    guarded.epoch_ended(history(1))
    assert begun.wait(10)
    for number in range(2, 50):
        guarded.epoch_ended(history(number))
    held.set()
    guarded.end({}, tmp_path, "finished")
    assert [told[1][-1] for told in logger.told if told[0] == "epoch_ended"] == [1, 49]
    guarded.close()


@pytest.mark.parametrize("where", ["begin", "epoch_ended", "end"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SystemExit(3), KeyError()], ids=repr)
def test_an_error_is_told_once_and_then_there_is_silence(where, error, tmp_path, caplog):
    logger = Logger(raising(where, error))
    run_of(logger, tmp_path)
    assert logger.closed.wait(10)
    (said,) = warnings_in(caplog)
    assert said.startswith("logger=tensorboard is switched off, and the run continues without it: ")
    assert type(error).__name__ in said
    assert said.endswith(". See to it; history.json and metrics.json hold all of the figures")
    assert "\n" not in said
    told = [told[0] for told in logger.told]
    assert told == {"begin": [], "epoch_ended": ["begin"]}.get(where, ["begin", *["epoch_ended"] * (len(told) - 1)])


def test_pages_of_a_package_are_cut_to_their_first_line(tmp_path, caplog):
    run_of(Logger(raising("begin", RuntimeError("one " * 200 + "\nand a traceback"))), tmp_path)
    (said,) = warnings_in(caplog)
    assert len(said) < 540
    assert "traceback" not in said


@pytest.mark.parametrize("where", ["begin", "epoch_ended", "end"])
def test_a_tracker_that_hangs_holds_a_run_up_once_and_no_longer_than_its_patience(where, tmp_path, caplog):
    held = threading.Event()
    logger = Logger(lambda method: held.wait(30) if method == where else None, patience_seconds=0.3)
    assert 0.3 <= run_of(logger, tmp_path) < 10
    (said,) = warnings_in(caplog)
    assert "it has not answered for 0.3 s. See to it; or raise logger.patience_seconds; history.json" in said
    held.set()
    assert logger.closed.wait(10)
    # The call that hung came through at last; nothing came after it, and nothing more was said.
    assert logger.told[-1][0] == where
    assert len(warnings_in(caplog)) == 1


def test_a_call_that_never_returns_does_not_keep_the_process(tmp_path):
    script = (
        "import sys, time, pathlib; from survlstm.training.loggers.background import BackgroundLogger\n"
        "from tests.training.loggers.test_background import Logger\n"
        "guarded = BackgroundLogger(Logger(lambda method: time.sleep(600), patience_seconds=0.1))\n"
        "guarded.begin({}, name='', folder=pathlib.Path()); guarded.close()\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "not answered for 0.1 s" in ended.stderr


def test_without_a_tracker_nothing_is_done(tmp_path, caplog):
    logger = NoLogger()
    logger.begin(CONFIG, name="a run", folder=tmp_path)
    logger.epoch_ended(history(1))
    logger.end(METRICS, tmp_path, "finished")
    logger.close()
    assert not list(tmp_path.iterdir())
    assert not caplog.records


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(ConfigError, match=r"logger=mlflow needs the extra mlflow: pip install 'survlstm\[mlflow\]' \("):
        require_package("no_such_package_at_all", extra="mlflow")


def test_parameters_are_dotted_and_written_as_in_the_config():
    assert flat_parameters({**CONFIG, "clock": {"kind": "visit", "none": {}}}) == {
        "seed": "0",
        "model.hidden_dim": "16",
        "model.dropout": "0.3",
        "model.features": '["age"]',
        "resume": "null",
        "verbose": "false",
        "clock.kind": "visit",
        "clock.none": "{}",
    }


def test_numbers_that_are_not_finite_are_left_out():
    assert finite_only({"a": 1.0, "b": float("nan"), "c": float("inf"), "d": -0.5}) == {"a": 1.0, "d": -0.5}
    named = epoch_scalars(history(1, val_c_td=float("nan")).epochs[0])
    assert json.loads(json.dumps(named, allow_nan=False)) == named
    assert sorted(named) == ["grad_norm", "lr", "seconds", "subjects_per_second", "train_loss", "val_loss"]
