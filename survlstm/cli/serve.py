"""``survlstm serve``: serve predictions over HTTP."""

from __future__ import annotations

from survlstm.cli.hydra_command import compose_config, run_to_console
from survlstm.config.schema.commands import ServeConfig


def run(arguments: list[str]) -> None:
    """Serve predictions of a bundle over HTTP until a signal stops the server.

    Args:
        arguments: The flags and overrides after ``survlstm serve``.

    Raises:
        ConfigError: The config is not valid, or the arguments ask for a sweep.
        SystemExit: The server can't start; the code is that of the error.
    """
    config = compose_config("serve", ServeConfig, arguments)
    if config is None:
        return
    from survlstm.serving import serve

    run_to_console(serve, config, verbose=config.verbose)
