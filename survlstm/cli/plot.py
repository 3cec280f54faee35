"""``survlstm plot``: draw survival curves."""

from __future__ import annotations

from survlstm.cli.hydra_command import compose_config, run_to_console
from survlstm.cli.usage import HELP_FLAGS
from survlstm.config.schema.commands import PlotConfig
from survlstm.utils.errors import ConfigError


def run(arguments: list[str]) -> None:
    """Draw the plot that the first word names; ``survival`` is the only one."""
    names = [word for word in arguments if "=" not in word and not word.startswith("-")]
    if names != ["survival"] and not HELP_FLAGS & set(arguments):
        raise ConfigError(
            f"survlstm plot must name the plot, as in survlstm plot survival bundle=…; found {' '.join(names)!r}"
        )
    config = compose_config("plot", PlotConfig, [word for word in arguments if word not in names])
    if config is None:
        return
    from survlstm.inference.plot_survival import plot_survival

    run_to_console(plot_survival, config, verbose=config.verbose)
