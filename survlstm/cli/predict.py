"""``survlstm predict``: predict the risk of every subject of an export."""

from __future__ import annotations

from survlstm.cli.hydra_command import compose_config, run_to_console
from survlstm.config.schema.commands import PredictConfig


def run(arguments: list[str]) -> None:
    """Predict risk and survival of the subjects of an export with a bundle.

    Args:
        arguments: The flags and overrides after ``survlstm predict``.

    Raises:
        ConfigError: The config is not valid, or the arguments ask for a sweep.
        SystemExit: The prediction failed or a signal stopped it; the code is that of the error or of the signal.
    """
    config = compose_config("predict", PredictConfig, arguments)
    if config is None:
        return
    from survlstm.inference.predict_export import predict

    run_to_console(predict, config, verbose=config.verbose)
