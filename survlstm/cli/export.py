"""``survlstm export``: write a trained model as a bundle."""

from __future__ import annotations

from survlstm.cli.hydra_command import compose_config, run_to_console
from survlstm.config.schema.commands import ExportConfig


def run(arguments: list[str]) -> None:
    """Write the model of a finished run with everything needed to use it."""
    config = compose_config("export", ExportConfig, arguments)
    if config is None:
        return
    from survlstm.runs.export import export

    run_to_console(export, config, verbose=config.verbose)
