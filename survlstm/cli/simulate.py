"""``survlstm simulate``: write a simulated cohort as Synthea CSV."""

from __future__ import annotations

import datetime
from pathlib import Path

from omegaconf import DictConfig

from survlstm.cli.hydra_command import run_with_hydra
from survlstm.config.compose import check_overrides, refuse_sweep
from survlstm.config.overrides import normalise_arguments
from survlstm.config.schema.commands import SimulateConfig
from survlstm.config.validation import validate
from survlstm.utils.logs import logging_to, run_reporting_errors


def run(arguments: list[str]) -> None:
    """Write a simulated cohort.

    Args:
        arguments: The flags and overrides after ``survlstm simulate``.

    Raises:
        ConfigError: The config is not valid, or the arguments ask for a sweep.
        SystemExit: The simulation failed; the code is that of its error.
    """
    arguments = normalise_arguments(arguments)
    refuse_sweep("simulate", "writes one cohort", arguments)
    check_overrides("simulate", arguments, SimulateConfig)
    run_with_hydra("simulate", arguments, _simulate)


def _simulate(composed: DictConfig) -> None:
    from survlstm.simulation import simulate_cohort

    config = validate(composed, SimulateConfig)

    def job() -> None:
        with logging_to(None):
            simulate_cohort(
                Path(config.output).expanduser(),
                patients=config.patients,
                seed=config.seed,
                history_years=config.history_years,
                end_date=datetime.date.fromisoformat(config.end_date),
                progress=True,
            )

    run_reporting_errors(job, verbose=config.verbose)
