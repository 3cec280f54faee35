"""Compose and validate the config of a command, run the command and report its errors."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from survlstm.config.compose import check_overrides, refuse_sweep
from survlstm.config.conf_dir import conf_dir
from survlstm.config.overrides import normalise_arguments, read_flags
from survlstm.config.schema.section import SectionT
from survlstm.utils.logs import logging_to, run_reporting_errors


def run_with_hydra(
    config_name: str, arguments: list[str], job: Callable[[DictConfig], None], *, program: str | None = None
) -> None:
    """Let Hydra parse the arguments, compose the config, make the run folder and call the job.

    Args:
        config_name: A file of ``conf/``, without its suffix.
        arguments: The flags and overrides of the command line.
        job: Called with the composed config; once per job of a sweep.
        program: The program's name in Hydra's own texts; None means ``survlstm`` and the config's name.
    """
    sys.argv = [program or f"survlstm {config_name}", *arguments]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()


def run_folder() -> Path:
    """Return the folder that Hydra made for the running job."""
    return Path(HydraConfig.get().runtime.output_dir)


def config_folders() -> list[Path]:
    """Return the folders of config files that the running job was composed from, beside those of survlstm."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file"]
    return [folder for folder in folders if folder != conf_dir()]


def compose_config(
    command: str, schema: type[SectionT], arguments: list[str], *, work: str = "does one thing"
) -> SectionT | None:
    """Compose and validate the config of a command that has no sweeps and needs no folder from Hydra.

    Args:
        command: The command, whose config is the file of that name in ``conf/``.
        schema: The schema of the config.
        arguments: The flags and overrides of the command line.
        work: What the command does once, for the message about a sweep.

    Returns:
        The validated config; None if a flag asks for information, such as ``--cfg job``, which is then on the console.

    Raises:
        ConfigError: The arguments ask for a sweep, or the config is not valid.
    """
    refuse_sweep(command, work, arguments)
    configs = check_overrides(command, arguments, schema)
    if only_shows(arguments):
        run_with_hydra(command, normalise_arguments(arguments), lambda _: None)
        return None
    return configs[0]


def only_shows(arguments: list[str]) -> bool:
    """Return whether a flag asks for information instead of the command's work.

    Args:
        arguments: The flags and overrides of the command line.

    Returns:
        True with ``--cfg``, ``--info`` or ``--hydra-help``.

    Raises:
        ConfigError: A flag is unknown or lacks its value.
    """
    flags = read_flags(arguments)
    return bool(flags.help or flags.hydra_help or flags.info or flags.cfg)


def run_to_console(job: Callable[[SectionT], object], config: SectionT, *, verbose: bool) -> None:
    """Run a job with its log on the console, and exit with the code of its error if there is one.

    Args:
        job: The function that does the work of the command.
        config: The validated config, passed to ``job``.
        verbose: Whether an error keeps its traceback.

    Raises:
        SystemExit: The job failed, or SIGTERM or SIGHUP arrived; the code is that of the error or of the signal.
        SurvlstmError: The job failed, and ``verbose`` is set.
    """

    def logged_job() -> None:
        with logging_to(None):
            job(config)

    # As an exception, so that temporary files are removed on the way out.
    with exit_on(signal.SIGTERM, signal.SIGHUP):
        run_reporting_errors(logged_job, verbose=verbose)


@contextmanager
def exit_on(*signals: signal.Signals) -> Iterator[None]:
    """Turn signals into SystemExit with the exit code of a shell, until the block ends.

    Args:
        *signals: The signals; their earlier handlers are restored at the end of the block.

    Raises:
        SystemExit: One of the signals arrived in the block; the code is 128 plus its number.
    """
    before = {kind: signal.signal(kind, lambda number, _: sys.exit(128 + number)) for kind in signals}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def split_run_folders(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split arguments into folders of runs and overrides.

    Args:
        arguments: The words after the name of a command.

    Returns:
        The folders, then the flags and overrides. Every word without ``=`` is a folder, except flags and their values.
        A word with ``=`` is a folder if one of that name exists, since the folders of a sweep's jobs are named by their
        overrides.

    Raises:
        ConfigError: A flag is unknown or lacks its value, or a folder of config groups does not exist.
    """
    return split_words(arguments, lambda word: "=" not in word or Path(word).is_dir())


def split_words(arguments: list[str], is_name: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Split arguments into names and overrides.

    Args:
        arguments: The words after the name of a command.
        is_name: Whether a word that is no flag, and no flag's value, is a name.

    Returns:
        The names, then the flags and overrides.

    Raises:
        ConfigError: A flag is unknown or lacks its value, or a folder of config groups does not exist.
    """
    words = read_flags(arguments).overrides
    flags = [word for word in normalise_arguments(arguments) if word.startswith("-")]
    return [word for word in words if is_name(word)], [*flags, *(word for word in words if not is_name(word))]
