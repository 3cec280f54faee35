"""Run one job of a sweep; a job that fails is recorded and the other jobs continue."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from survlstm.config.schema.run import RunConfig
from survlstm.config.validation import validate
from survlstm.runs.folder import is_finished
from survlstm.runs.launch import start, with_absolute_paths
from survlstm.runs.manifest import read_manifest, record_failure
from survlstm.runs.resume import changes_since
from survlstm.sweeps.summary import summarize
from survlstm.utils.content import describe_error, traceback_without_message
from survlstm.utils.errors import Interrupted, SurvlstmError
from survlstm.utils.stored_files import find_fault

log = logging.getLogger(__name__)


def run_job(composed: DictConfig, folder: Path, *, overrides: Sequence[str], jobs_at_once: int) -> None:
    """Train in ``folder``, unless the job has finished already, and update the sweep's summary.

    An error is written to the job's manifest and not raised, so that the next job can run. A signal ends the whole
    sweep.

    Args:
        composed: The job's config as Hydra composed it.
        folder: The job's run folder.
        overrides: The overrides of the sweep's command for this job.
        jobs_at_once: Number of jobs that run at the same time on this host; each uses its share of the cores.

    Raises:
        Interrupted: If a signal asked the run to stop.
    """
    if jobs_at_once > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs_at_once))
    try:
        config = validate(composed, RunConfig)
        if is_finished(folder):
            _warn_of_other_config(config, folder)
        else:
            start(config, folder, overrides=overrides)
    except Interrupted:
        raise
    except SurvlstmError as error:
        _record(folder, overrides, error, error.exit_code)
    except Exception as error:
        # A defect of survlstm or of a library ends this job only, not a sweep that runs overnight.
        log.error("%s%s", traceback_without_message(error), describe_error(error))
        _record(folder, overrides, error, 1)
    finally:
        _summarize(folder.parent)


def _summarize(sweep: Path) -> None:
    """Update the summary after each job, so that a sweep that is killed can be read; a failure is only logged."""
    try:
        summarize(sweep, show=False)
    except Exception as error:
        log.warning("no summary could be written: %s", describe_error(error))


def _record(folder: Path, overrides: Sequence[str], error: Exception, exit_code: int) -> None:
    record_failure(folder, overrides=overrides, sentence=describe_error(error), exit_code=exit_code)


def _warn_of_other_config(config: RunConfig, folder: Path) -> None:
    """Warn if the config files have changed since a job finished; its results are kept."""
    recorded: Any = read_manifest(folder).get("config")
    fault = find_fault(recorded)
    if fault:
        log.warning("%s is finished, but manifest.json does not record its config: %s", folder, fault)
        return
    changed = changes_since(recorded, with_absolute_paths(config, folder))
    if changed:
        log.warning("%s was finished with another config: %s", folder, "; ".join(map(str, changed)))
