"""Define the errors that survlstm raises on purpose, each with an exit code, and shorten messages of others."""

from __future__ import annotations


class SurvlstmError(Exception):
    """An error that the user can correct; its message says what must hold, what was found and what to change.

    Attributes:
        exit_code: The exit code of a command that ends with this error.
        reported: Whether the message has been logged, and so has been on the console.
    """

    exit_code = 1
    reported = False


class ConfigError(SurvlstmError):
    """The configuration can't be used: an unknown key, a wrong type, a value out of range or a contradiction."""

    exit_code = 2


class ClosedClassError(ConfigError):
    """A class that is not part of survlstm is named by a stored file alone, so that it is not imported."""


class SourceError(SurvlstmError):
    """The export can't be read: a missing folder, table or column, a broken file or too many unusable rows."""

    exit_code = 3


class CohortError(SurvlstmError):
    """No usable subject remains, or a split has no subject."""

    exit_code = 4


class OutcomeError(SurvlstmError):
    """The outcome can't be derived from the records."""

    exit_code = 5


class TrainingError(SurvlstmError):
    """Training can't continue: the loss is not finite, or there is nothing to train on."""

    exit_code = 6


class NotFiniteError(TrainingError):
    """A loss or a gradient is not finite."""


class OutOfMemoryError(TrainingError):
    """A batch does not fit into the device's memory."""


class ProcessLostError(TrainingError):
    """Another process of the same distributed training has ended."""


class CheckpointError(SurvlstmError):
    """A checkpoint can't be written or read."""

    exit_code = 7


class BundleError(SurvlstmError):
    """A bundle can't be written or read, has been changed, or does not support what was requested."""

    exit_code = 8


class ServingError(SurvlstmError):
    """The server can't start."""

    exit_code = 9


class Interrupted(SurvlstmError):
    """A signal has stopped a run, which can be resumed.

    The exit code is 128 plus the signal's number, as a shell reports it.

    Args:
        message: What was stopped, and how to go on.
        signal_number: The signal, as in ``signal.SIGTERM``.
    """

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def first_line(error: BaseException, *, with_type: bool = False, at_most: int | None = None) -> str:
    """Return the first line of an error's message that is not blank: libraries add pages of advice below it.

    Args:
        error: The error. If it has no message, that of the error that caused it is used, else the name of its class.
        with_type: Put the name of its class in front.
        at_most: Characters to keep, half of them from the beginning and half from the end; None keeps all.

    Returns:
        The line without surrounding white space, behind the name of the class and a colon with ``with_type``.
    """
    kind = type(error).__name__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if not line:
        behind = error.__cause__ or error.__context__
        line = "" if behind is None else first_line(behind)
    if at_most is not None and len(line) > at_most:
        half = (at_most - 3) // 2
        line = f"{line[:half]} … {line[-half:]}"
    if with_type:
        return f"{kind}: {line}" if line else kind
    return line or kind
