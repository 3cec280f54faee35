"""Every error that survlstm raises on purpose: one hierarchy, one sentence each, one exit code each."""

from __future__ import annotations


class SurvlstmError(Exception):
    """Something the user can mend; the message says what must hold, what was found and what to change."""

    exit_code = 1
    # Whether the sentence stands in a log already, which is on the console too.
    told = False


class ConfigError(SurvlstmError):
    """The composed configuration can't be run: unknown key, wrong type, out of range, contradiction."""

    exit_code = 2


class SourceError(SurvlstmError):
    """The export can't be read: missing folder, table or column, broken file, too many unusable rows."""

    exit_code = 3


class CohortError(SurvlstmError):
    """No usable subject is left, or a split has none."""

    exit_code = 4


class OutcomeError(SurvlstmError):
    """The outcome can't be derived from the records."""

    exit_code = 5


class TrainingError(SurvlstmError):
    """Training can't go on: the loss is not finite, or nothing is left to train on."""

    exit_code = 6


class NotFiniteError(TrainingError):
    """A loss or a gradient is not finite."""


class OutOfMemoryError(TrainingError):
    """A batch does not fit into memory."""


class ProcessLostError(TrainingError):
    """Another of the processes that train one model has ended."""


class CheckpointError(SurvlstmError):
    """A checkpoint can't be written or read."""

    exit_code = 7


class BundleError(SurvlstmError):
    """A bundle can't be written, read or trusted, or is none for what is asked of it."""

    exit_code = 8


class ServingError(SurvlstmError):
    """The server can't start."""

    exit_code = 9


class Interrupted(SurvlstmError):
    """A signal ended the run, which can go on; its exit code is 128 + the signal's number, as a shell's would be."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def first_line(error: BaseException, *, with_type: bool = False, at_most: int | None = None) -> str:
    """Return the first line of an error's message that is not blank: libraries put pages of advice behind it.

    Args:
        error: The error. Of one without a message the error that caused it is used, else the name of its class.
        with_type: Put the name of the class in front.
        at_most: Characters to keep, half of them from the beginning and half from the end; None keeps all.
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
