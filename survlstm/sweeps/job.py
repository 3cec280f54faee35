"""One job of a sweep → its run, finished or failed with its sentence; the others go on."""

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
from survlstm.runs.resume import compare_configs
from survlstm.sweeps.summary import summarize
from survlstm.utils.content import describe_error, traceback_without_message
from survlstm.utils.errors import Interrupted, SurvlstmError
from survlstm.utils.stored_files import find_fault

log = logging.getLogger(__name__)


def run_job(composed: DictConfig, folder: Path, *, overrides: Sequence[str], jobs_at_once: int) -> None:
    """Train in ``folder`` unless that is done; whatever goes wrong is recorded there, but for a signal, which ends all.

    Of ``jobs_at_once`` processes on a host each takes its share of the cores.
    """
    if jobs_at_once > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs_at_once))
    try:
        config = validate(composed, RunConfig)
        if is_finished(folder):
            _tell_another_config(config, folder)
        else:
            start(config, folder, overrides=overrides)
    except Interrupted:
        raise
    except SurvlstmError as error:
        _record(folder, overrides, error, error.exit_code)
    except Exception as error:
        # A mistake of survlstm's own, or of a library: the night is not to be lost for it.
        log.error("%s%s", traceback_without_message(error), describe_error(error))
        _record(folder, overrides, error, 1)
    finally:
        _summarize(folder.parent)


def _summarize(sweep: Path) -> None:
    """After each job, so that a killed night can be read; a summary that fails costs no job."""
    try:
        summarize(sweep, show=False)
    except Exception as error:
        log.warning("no summary could be written: %s", describe_error(error))


def _record(folder: Path, overrides: Sequence[str], error: Exception, exit_code: int) -> None:
    record_failure(folder, overrides=overrides, sentence=describe_error(error), exit_code=exit_code)


def _tell_another_config(config: RunConfig, folder: Path) -> None:
    """The config files may have changed since a job ended; its results stay what they are."""
    recorded: Any = read_manifest(folder).get("config")
    fault = find_fault(recorded)
    if fault:
        log.warning("%s is finished, and its manifest.json does not say with which config: %s", folder, fault)
        return
    changed = compare_configs(recorded, with_absolute_paths(config, folder).model_dump(by_alias=True))
    if changed:
        log.warning("%s is finished, with another config: %s", folder, "; ".join(map(str, changed)))
