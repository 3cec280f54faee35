"""``survlstm explain``: explain a model's predictions."""

from __future__ import annotations

from survlstm.cli.hydra_command import compose_config, run_to_console
from survlstm.config.schema.commands import ExplainConfig


def run(arguments: list[str]) -> None:
    """Find the codes that move the predicted hazard of a run's model.

    Args:
        arguments: The flags and overrides after ``survlstm explain``.

    Raises:
        ConfigError: The config is not valid, or the arguments ask for a sweep.
        SystemExit: The explanation failed or a signal stopped it; the code is that of the error or of the signal.
    """
    config = compose_config("explain", ExplainConfig, arguments)
    if config is None:
        return
    from survlstm.runs.explain import explain

    run_to_console(explain, config, verbose=config.verbose)
