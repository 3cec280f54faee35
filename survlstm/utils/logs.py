"""Log records → the console and training.log, the same lines in both."""

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
    """Put the level in front of a warning; an error's message begins with the name of its class."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"WARNING: {text}" if record.levelno == logging.WARNING else text


class _Console(logging.Handler):
    """Write above a running progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        # In the process of a sweep's launcher nobody has made the console lenient.
        stream = lenient(sys.stdout)
        tqdm.write(self.format(record), file=stream)
        stream.flush()


@contextmanager
def logging_to(file: Path | None) -> Iterator[None]:
    """survlstm's INFO lines on the console, and in ``file`` with the time, until the block ends.

    An error on its way out that the user can mend leaves its sentence there.
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
        if not error.told:
            log.error("%s: %s", type(error).__name__, error)
            error.told = True
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
        root.propagate = propagate


@contextmanager
def logging_errors_only() -> Iterator[None]:
    """Only survlstm's errors, on the console: of several processes one tells what all do."""
    root = logging.getLogger("survlstm")
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    except (Interrupted, ProcessLostError) as error:
        error.told = True
        raise
    finally:
        root.setLevel(level)


@contextmanager
def check_working_folder() -> Iterator[None]:
    """ConfigError where the working folder is gone: packages ask for it as they are imported."""
    try:
        Path.cwd()
        yield
    except SurvlstmError:
        raise
    # Packages meet its absence in ways of their own.
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
    """Run a job; an error that the user can mend ends the process with its code, its sentence told once."""
    try:
        with check_working_folder():
            job()
    except SurvlstmError as error:
        if verbose:
            raise
        if not error.told:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
