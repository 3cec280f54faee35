"""``survlstm train``: train and evaluate one model, or one per combination of a sweep."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from survlstm.cli.hydra_command import config_folders, exit_on, only_shows, run_folder, run_with_hydra
from survlstm.config.class_loader import search_beside
from survlstm.config.compose import check_overrides
from survlstm.config.overrides import normalise_arguments, quote_override, read_flags
from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import validate
from survlstm.runs.folder import refuse_unusable
from survlstm.sweeps.sweep_overrides import fixed_keys, job_folder_name, read_sweep_words, record_words
from survlstm.training.torchrun import refuse_unrequested_torchrun
from survlstm.utils.console import lenient_console
from survlstm.utils.errors import ConfigError, SurvlstmError
from survlstm.utils.logs import logging_to, run_reporting_errors

# In this module, because the processes of a launcher import the job from here and need the resolver too.
OmegaConf.register_new_resolver("job_folder", job_folder_name, replace=True)


def run(arguments: list[str]) -> None:
    """Train and evaluate one model, resume a run, or run a sweep.

    Hydra makes the run folder, except for a resumed run, which has one, and for a run in several processes, which share
    one.

    Args:
        arguments: The flags and overrides after ``survlstm train``.

    Raises:
        ConfigError: A config is not valid, ``output_dir`` can't be used, the sweep or run to resume can't be read, or
            options of a sweep are combined with those of one run.
        SurvlstmError: A resumed run, or one that Hydra does not start, failed.
        SystemExit: A run that Hydra started failed, or a job of a sweep has not finished.
    """
    arguments, resumed_sweep = read_sweep_words(normalise_arguments(arguments))
    arguments = normalise_arguments(arguments)
    flags = read_flags(arguments)
    shows = only_shows(arguments)
    is_resumed = any(word.startswith("resume=") for word in arguments)
    if is_resumed and not shows and not flags.multirun:
        from survlstm.runs.launch import resume

        resume(arguments)
        return
    configs = check_overrides("train", arguments, RunConfig)
    if shows:
        run_with_hydra("train", arguments, _train)
        return
    without_hydra = [config for config in configs if is_resumed or config.trainer.dry_run or config.trainer.distributed]
    if without_hydra and flags.multirun:
        raise ConfigError("resume, trainer.dry_run and trainer.distributed are for one run; leave out -m")
    if without_hydra:
        from survlstm.runs.launch import start_without_hydra

        start_without_hydra(without_hydra[0], arguments)
        return
    refuse_unrequested_torchrun(distributed=False)
    output_dir = Path(configs[0].output_dir)
    if resumed_sweep is None:
        # Checked before Hydra makes the folder.
        refuse_unusable(output_dir, sweep=flags.multirun, may_go_on=not flags.multirun)
    if flags.multirun:
        _sweep(arguments, output_dir.expanduser().absolute())
    else:
        run_with_hydra("train", arguments, _train)


def _sweep(arguments: list[str], folder: Path) -> None:
    """Run every job of a sweep, and exit with code 1 if one of them failed."""
    from survlstm.sweeps.summary import summarize

    record_words(folder, arguments)
    fixed = ",".join(f"'{key}'" for key in [*fixed_keys(arguments), "output_dir"])
    job_name = f"hydra.job.config.override_dirname.exclude_keys=[{fixed}]"
    overrides = [word for word in arguments if not word.startswith("output_dir=")]
    # As an exception: otherwise the jobs in a launcher's processes would outlive this process.
    with exit_on(signal.SIGTERM):
        try:
            run_with_hydra("train", [*overrides, quote_override(f"output_dir={folder}"), job_name], _train_job)
        except BaseException:
            # The error that ended the sweep is reported, not a second one about missing results.
            with suppress(SurvlstmError), logging_to(None):
                summarize(folder)
            raise
    with logging_to(None):
        sweep = summarize(folder)
    if any(row.record.state != "finished" for row in sweep.rows):
        sys.exit(1)


def _train(composed: DictConfig) -> None:
    # torch is imported with it, which takes seconds that a wrong override need not wait for.
    from survlstm.runs.launch import start

    search_beside(config_folders())
    config = validate(composed, RunConfig)
    folder, overrides = run_folder(), list(HydraConfig.get().overrides.task)
    run_reporting_errors(lambda: start(config, folder, overrides=overrides), verbose=config.verbose)


def _train_job(composed: DictConfig) -> None:
    from survlstm.sweeps.job import run_job

    folder, overrides = run_folder(), list(HydraConfig.get().overrides.task)
    # A launcher's process has not composed the config itself.
    search_beside(config_folders())
    jobs_at_once = int(HydraConfig.get().launcher.get("n_jobs") or 1)
    # A launcher's process does not run main, which makes the console lenient elsewhere.
    with lenient_console():
        run_reporting_errors(
            lambda: run_job(composed, folder, overrides=overrides, jobs_at_once=jobs_at_once), verbose=False
        )
