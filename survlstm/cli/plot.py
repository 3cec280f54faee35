"""``survlstm plot``: draw survival curves."""

from __future__ import annotations

from survlstm.cli.hydra_command import compose_config, only_shows, run_to_console, split_words
from survlstm.config.schema.commands import PlotConfig
from survlstm.utils.errors import ConfigError


def run(arguments: list[str]) -> None:
    """Draw the plot that the first word names; ``survival`` is the only one.

    Args:
        arguments: The words after ``survlstm plot``: the name of the plot, flags and overrides.

    Raises:
        ConfigError: The plot is not named, the config is not valid, or the arguments ask for a sweep.
        SystemExit: The plot failed or a signal stopped it; the code is that of the error or of the signal.
    """
    names, overrides = split_words(arguments, lambda word: "=" not in word)
    if names != ["survival"] and not only_shows(arguments):
        raise ConfigError(
            f"survlstm plot must name the plot, as in survlstm plot survival bundle=…; found {' '.join(names)!r}"
        )
    config = compose_config("plot", PlotConfig, overrides)
    if config is None:
        return
    from survlstm.inference.plot_survival import plot_survival

    run_to_console(plot_survival, config, verbose=config.verbose)
