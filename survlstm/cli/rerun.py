"""``survlstm rerun``: repeat a run and check that its history is identical."""

from __future__ import annotations

import sys
from pathlib import Path

from survlstm.cli.hydra_command import compose_config, split_run_folders
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
    folders, overrides = split_run_folders(arguments)
    config = compose_config("rerun", RerunConfig, overrides, work="repeats one run")
    if config is None:
        return
    if len(folders) != 1:
        raise ConfigError(f"survlstm rerun takes the folder of one run; found {len(folders)}: {' '.join(folders)}")
    from survlstm.runs.rerun import rerun

    if not rerun(Path(folders[0]).expanduser(), config):
        sys.exit(1)
