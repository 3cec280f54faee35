"""``survlstm evaluate``: evaluate a finished run again, or on another cohort."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from survlstm.cli.hydra_command import only_shows, run_folder, run_with_hydra
from survlstm.config.compose import check_overrides, refuse_sweep
from survlstm.config.overrides import name_data_group, normalise_arguments, read_flags
from survlstm.config.schema.commands import EvaluateConfig
from survlstm.config.validation import validate
from survlstm.runs.folder import refuse_unusable
from survlstm.utils.logs import logging_to, run_reporting_errors


def run(arguments: list[str]) -> None:
    """Evaluate a finished run in a new folder.

    Args:
        arguments: The flags and overrides after ``survlstm evaluate``.

    Raises:
        ConfigError: The config is not valid, the arguments ask for a sweep, or ``output_dir`` holds a run already.
        SystemExit: The evaluation failed; the code is that of its error.
    """
    arguments = normalise_arguments(arguments)
    refuse_sweep("evaluate", "evaluates one run", arguments)
    overrides = read_flags(arguments).overrides
    arguments += name_data_group(overrides)[len(overrides) :]
    for config in check_overrides("evaluate", arguments, EvaluateConfig):
        if not only_shows(arguments):
            refuse_unusable(Path(config.output_dir))
    run_with_hydra("evaluate", arguments, _evaluate)


def _evaluate(composed: DictConfig) -> None:
    from survlstm.runs.evaluate import evaluate

    folder = run_folder()
    config = validate(composed, EvaluateConfig).model_copy(update={"output_dir": str(folder)})

    def job() -> None:
        refuse_unusable(folder)
        with logging_to(folder / "evaluation.log"):
            evaluate(config, folder)

    run_reporting_errors(job, verbose=config.verbose)
