"""Send log records to the console and to a log file, and end a command with one line for an expected error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from survlstm.utils.console import lenient
from survlstm.utils.errors import ConfigError, Interrupted, ProcessLostError, SurvlstmError

log = logging.getLogger(__name__)


class _ConsoleFormatter(logging.Formatter):
    """Put the level in front of a warning; the message of an error begins with the name of its class already."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"WARNING: {text}" if record.levelno == logging.WARNING else text


class _Console(logging.Handler):
    """A handler that writes above a running progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        # The processes of a sweep's launcher don't run cli.main, which makes the console lenient.
        stream = lenient(sys.stdout)
        tqdm.write(self.format(record), file=stream)
        stream.flush()


@contextmanager
def logging_to(file: Path | None) -> Iterator[None]:
    """Log survlstm's INFO lines to the console and to a file until the block ends.

    A ``SurvlstmError`` that leaves the block is logged as one line, once.

    Args:
        file: The log file, to which lines are appended with their time; None logs to the console only.
    """
    root = logging.getLogger("survlstm")
    handlers: list[logging.Handler] = [_Console()]
    handlers[0].setFormatter(_ConsoleFormatter())
    if file is not None:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level, propagate = root.level, root.propagate
    root.setLevel(logging.INFO)
    root.propagate = False
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield
    except SurvlstmError as error:
        if not error.reported:
            log.error("%s: %s", type(error).__name__, error)
            error.reported = True
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
        root.propagate = propagate


@contextmanager
def logging_errors_only() -> Iterator[None]:
    """Log only survlstm's errors until the block ends: in distributed training, rank 0 logs for all processes.

    The end of the run by a signal or by the loss of a process is left to rank 0 as well.
    """
    root = logging.getLogger("survlstm")
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    except (Interrupted, ProcessLostError) as error:
        error.reported = True
        raise
    finally:
        root.setLevel(level)


@contextmanager
def check_working_folder() -> Iterator[None]:
    """Raise ConfigError if an error leaves the block and the working folder no longer exists.

    Packages look it up while they are imported, inside the block too.
    """
    try:
        Path.cwd()
        yield
    except SurvlstmError:
        raise
    # Each package fails with another type of error.
    except Exception as error:
        if _has_working_folder():
            raise
        raise ConfigError(
            "the working folder must exist; it has been removed. Change to one that exists, as in cd $HOME"
        ) from error


def _has_working_folder() -> bool:
    try:
        return Path.cwd().is_dir()
    except FileNotFoundError:
        return False


def run_reporting_errors(job: Callable[[], object], *, verbose: bool) -> None:
    """Run a job; a ``SurvlstmError`` ends the process with its exit code and is written to the console once.

    Args:
        job: The function to call; what it returns is dropped.
        verbose: Raise the error instead, for its traceback.
    """
    try:
        with check_working_folder():
            job()
    except SurvlstmError as error:
        if verbose:
            raise
        if not error.reported:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
