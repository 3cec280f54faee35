"""The command ``survlstm``: dispatch to the module of a command and set the exit code."""

from __future__ import annotations

import errno
import signal
import sys
from importlib import import_module

from survlstm.cli import completion
from survlstm.cli.nearest_command import describe_unknown_command
from survlstm.cli.usage import COMMANDS, HELP_FLAGS, USAGE, VERSION, VERSION_FLAG
from survlstm.utils.console import lenient_console, lost_output
from survlstm.utils.errors import ConfigError, SurvlstmError

# Flags with which any command shows something and writes no file.
SHOWING_FLAGS = frozenset({*HELP_FLAGS, VERSION_FLAG, "--cfg", "-c", "--info", "-i", "--hydra-help"})
# The exit code that a shell reports for a process ended by SIGPIPE.
BROKEN_PIPE = 128 + signal.SIGPIPE


def main(arguments: list[str] | None = None) -> None:
    """Run a command, and exit with the code of its error if there is one.

    If the output is no longer read (``| head``), a command that writes files finishes its work without a console; a
    command that only shows something exits with the code that a shell's own tools return.

    Args:
        arguments: The command and its arguments; None reads ``sys.argv``.

    Raises:
        SystemExit: The command failed, or its output could not be written.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    with lenient_console():
        exit_request = None
        try:
            _dispatch(arguments)
        except SystemExit as error:
            exit_request = error
        lost = lost_output()
        if lost is not None and _writes_no_file(arguments):
            sys.exit(_report_lost_output(lost))
        if exit_request is not None:
            raise exit_request


def _dispatch(arguments: list[str]) -> None:
    try:
        if not arguments or arguments[0] in HELP_FLAGS:
            sys.stdout.write(USAGE)
        elif arguments[0] in {VERSION_FLAG, *COMMANDS} and VERSION_FLAG in arguments:
            sys.stdout.write(VERSION)
        elif arguments[0] in completion.FLAGS:
            completion.complete(arguments)
        elif arguments[0] in COMMANDS:
            _run(arguments[0], arguments[1:])
        else:
            raise ConfigError(describe_unknown_command(arguments[0]))
    except SurvlstmError as error:
        if any(argument.lower() == "verbose=true" for argument in arguments):
            raise
        if not error.reported:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        hint = " If the run had started, resume it with survlstm train resume=RUN" if arguments[0] == "train" else ""
        sys.stderr.write(f"Interrupted.{hint}\n")
        sys.exit(130)


def _run(command: str, arguments: list[str]) -> None:
    # Imported here, so that neither the help nor another command waits for the packages of this one.
    from survlstm.utils.logs import check_working_folder

    with check_working_folder():
        if HELP_FLAGS & set(arguments):
            from survlstm.cli.help import format_help

            sys.stdout.write(format_help(command, arguments))
            return
        if any(argument.startswith("-") for argument in arguments):
            from survlstm.cli.flags import refuse_unknown_flags

            refuse_unknown_flags(command, arguments)
        import_module(f"survlstm.cli.{command}").run(arguments)


def _report_lost_output(lost: OSError) -> int:
    """Return the exit code of a command whose output could not be written."""
    if lost.errno == errno.EPIPE:
        return BROKEN_PIPE
    sys.stderr.write(f"the output must be written; the system says: {lost}\n")
    return 1


def _writes_no_file(arguments: list[str]) -> bool:
    if not arguments or arguments[0] not in COMMANDS or arguments[0] == "runs":
        return True
    if arguments[0] == "compare":
        return not any(argument.startswith("output=") for argument in arguments)
    return any(argument.split("=")[0] in SHOWING_FLAGS for argument in arguments)
