"""``survlstm tune``: search hyperparameters."""

from __future__ import annotations

from omegaconf import DictConfig

from survlstm.cli.hydra_command import run_with_hydra
from survlstm.config.compose import check_overrides, refuse_sweep
from survlstm.config.overrides import compose_overrides, normalise_arguments, search_path
from survlstm.config.validation import validate
from survlstm.utils.logs import run_reporting_errors


def run(arguments: list[str]) -> None:
    """Search a space of overrides by a validation metric.

    Args:
        arguments: The flags and overrides after ``survlstm tune``.

    Raises:
        ConfigError: The config is not valid, or the arguments ask for a sweep.
        SystemExit: The search failed; the code is that of its error.
    """
    arguments = normalise_arguments(arguments)
    refuse_sweep("tune", "starts many runs itself", arguments)
    from survlstm.tuning import TuneConfig, tune

    # The trials compose their own configs and need the user's config folders for that too.
    added_folders = search_path(compose_overrides(arguments))

    def job(composed: DictConfig) -> None:
        config = validate(composed, TuneConfig)
        if not search_path(config.base):
            config = config.model_copy(update={"base": [*added_folders, *config.base]})
        run_reporting_errors(lambda: tune(config), verbose=config.verbose)

    check_overrides("tune", arguments, TuneConfig)
    run_with_hydra("tune", arguments, job)
