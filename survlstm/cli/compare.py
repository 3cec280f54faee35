"""``survlstm compare``: compare finished runs on the test subjects that they share."""

from __future__ import annotations

from pathlib import Path

from survlstm.cli.hydra_command import compose_config, split_run_folders
from survlstm.config.schema.commands import CompareConfig
from survlstm.utils.logs import logging_to


def run(arguments: list[str]) -> None:
    """Compare the runs whose folders are named.

    Args:
        arguments: The words after ``survlstm compare``: folders of runs, and overrides.

    Raises:
        ConfigError: An override is not valid, the arguments ask for a sweep, or the folders are not at least two runs.
        SurvlstmError: The runs can't be compared, see ``survlstm.runs.compare.compare_runs``.
    """
    folders, overrides = split_run_folders(arguments)
    config = compose_config("compare", CompareConfig, overrides, work="makes one comparison")
    if config is None:
        return
    # pandas and scipy are imported with it, which takes seconds that a wrong override need not wait for.
    from survlstm.runs.compare import compare_runs

    with logging_to(None):
        compare_runs([Path(folder).expanduser() for folder in folders], config)
