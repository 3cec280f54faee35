"""``survlstm rerun``: repeat a run and check that its history is identical."""

from __future__ import annotations

import sys
from pathlib import Path

from survlstm.cli.hydra_command import split_run_folders
from survlstm.cli.usage import HELP_FLAGS, USAGE
from survlstm.config.compose import check_overrides, refuse_sweep
from survlstm.config.schema.commands import RerunConfig
from survlstm.utils.errors import ConfigError


def run(arguments: list[str]) -> None:
    """Repeat a run, and exit with code 1 if its history differs.

    Args:
        arguments: The words after ``survlstm rerun``: the folder of one run, and overrides.

    Raises:
        ConfigError: The arguments do not name the folder of one run, an override is not valid, or they ask for a sweep.
        SurvlstmError: The run can't be repeated, see ``survlstm.runs.launch.start``.
        SystemExit: The history differs.
    """
    refuse_sweep("rerun", "repeats one run", arguments)
    if HELP_FLAGS & set(arguments):
        sys.stdout.write(USAGE)
        return
    folders, overrides = split_run_folders(arguments)
    if len(folders) != 1:
        raise ConfigError(f"survlstm rerun takes the folder of one run; found {len(folders)}: {' '.join(folders)}")
    (config,) = check_overrides("rerun", overrides, RerunConfig)
    from survlstm.runs.rerun import rerun

    if not rerun(Path(folders[0]).expanduser(), config):
        sys.exit(1)
