"""``survlstm export``: write a trained model as a bundle."""

from __future__ import annotations

from survlstm.cli.hydra_command import compose_config, run_to_console
from survlstm.config.schema.commands import ExportConfig


def run(arguments: list[str]) -> None:
    """Write the model of a finished run with everything needed to use it.

    Args:
        arguments: The flags and overrides after ``survlstm export``.

    Raises:
        ConfigError: The config is not valid, or the arguments ask for a sweep.
        SystemExit: The export failed or a signal stopped it; the code is that of the error or of the signal.
    """
    config = compose_config("export", ExportConfig, arguments)
    if config is None:
        return
    from survlstm.runs.export import export

    run_to_console(export, config, verbose=config.verbose)
