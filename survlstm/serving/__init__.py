"""Serve the predictions of a bundle over HTTP, with a page to try them on."""

from __future__ import annotations

from survlstm.config.schema.commands import ServeConfig
from survlstm.utils.errors import ConfigError

__all__ = ["serve"]


def serve(config: ServeConfig) -> None:
    """Serve a bundle until SIGTERM or SIGINT; see ``survlstm.serving.server.run_server``.

    Args:
        config: The config of ``survlstm serve``: bundle, address and limits.

    Raises:
        ConfigError: fastapi or uvicorn is not installed.
        ServingError: The server can't listen at the address.
        BundleError: The bundle can't be used.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError("survlstm serve needs fastapi and uvicorn: pip install 'survlstm[serve]'") from error
    from survlstm.serving.server import run_server

    run_server(config)
