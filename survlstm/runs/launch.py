"""Start a run, or resume one, in one or several processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from survlstm.config.overrides import compose_overrides, refuse_sweep_options
from survlstm.config.schema.run import RunConfig
from survlstm.config.schema.training import MLflowConfig
from survlstm.report.console_summary import log_task
from survlstm.report.task import describe_task
from survlstm.runs import train
from survlstm.runs.dry_run import dry_run
from survlstm.runs.folder import holds_a_run, refuse_unusable
from survlstm.runs.logging_to_services import logged
from survlstm.runs.manifest import record_ending, write_manifest
from survlstm.runs.resume import resumed_config, run_lock, state_to_go_on_from
from survlstm.training.distributed import SINGLE_PROCESS, ProcessGroup, join_process_group
from survlstm.training.factory import build_logger
from survlstm.training.torchrun import launched_processes, refuse_unrequested_torchrun
from survlstm.training.trainer import Callback
from survlstm.utils.data_location import absolute_place
from survlstm.utils.errors import ConfigError
from survlstm.utils.logs import logging_errors_only, logging_to
from survlstm.utils.write_access import report_write_errors

RESUME = "resume="


def start(
    config: RunConfig,
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    resumed: bool = False,
    process_group: ProcessGroup = SINGLE_PROCESS,
    callbacks: tuple[Callback, ...] = (),
    judged: bool = True,
) -> None:
    """Train in ``folder``, or resume the run there.

    Args:
        config: The validated config.
        folder: The run folder.
        overrides: The overrides to record in the manifest.
        resumed: Whether resuming was requested; only then may a finished run be continued.
        process_group: The processes that train the model together; all of them call this function. Only the main one
            locks the folder, logs and writes.
        callbacks: Objects that the main process calls after every epoch, before the run's logger.
        judged: Whether the run is evaluated on its test subjects, as for ``survlstm.runs.train.train``.

    Raises:
        SurvlstmError: If the folder can't be used, another process trains there, or training or evaluation fails.
    """
    refuse_unrequested_torchrun(distributed=config.trainer.distributed)
    config = with_absolute_paths(config, folder)
    if not process_group.is_main:
        with logging_errors_only(), process_group.report_lost_process():
            train.train(config, folder, state=process_group.broadcast(None), process_group=process_group)
        return
    if not resumed:
        refuse_unusable(folder, may_go_on=True)
    # Built before the folder is created, because its package may be missing.
    logger = build_logger(config.logger)
    with report_write_errors(folder), run_lock(folder):
        # Checked while holding the lock: another process may have trained here since.
        begun = holds_a_run(folder)
        with logging_to(folder / "training.log"):
            log_task(describe_task(config))
            state: dict[str, Any] | None = state_to_go_on_from(folder, config) if begun else None
            # The evaluation of a resumed run is no longer valid.
            for name in ("report.html", "metrics.json"):
                (folder / name).unlink(missing_ok=True)
            write_manifest(
                folder, overrides=overrides, config=config.model_dump(by_alias=True), resumed=state is not None
            )
            with record_ending(folder), logged(logger, config, folder), process_group.report_lost_process():
                told = (*callbacks, logger)
                train.train(
                    config,
                    folder,
                    state=process_group.broadcast(state),
                    process_group=process_group,
                    callbacks=told,
                    judged=judged,
                )


def with_absolute_paths(config: RunConfig, folder: Path) -> RunConfig:
    """Return the config with absolute paths, so that the run can be used from another working folder.

    Args:
        config: The config of a run.
        folder: The run folder; it becomes ``output_dir``.

    Returns:
        The same config, with absolute paths of the export, of the cohort's file, of the pretrained encoder and of
        MLflow's folder, and without ``resume``.
    """
    data, cohort, logger = config.data, config.cohort, config.logger
    if data.path is not None:
        data = data.model_copy(update={"path": absolute_place(data.path)})
    if cohort.file is not None:
        cohort = cohort.model_copy(update={"file": str(Path(cohort.file).expanduser().absolute())})
    if isinstance(logger, MLflowConfig):
        logger = logger.model_copy(update={"folder": str(Path(logger.folder).expanduser().absolute())})
    pretrain = None if config.pretrain is None else str(Path(config.pretrain).expanduser().absolute())
    changed = {"output_dir": str(folder), "data": data, "cohort": cohort, "logger": logger, "resume": None}
    changed["pretrain"] = pretrain
    return config.model_copy(update=changed)


def resume(words: list[str]) -> None:
    """Resume the run that ``resume=RUN`` names.

    Args:
        words: The arguments of ``survlstm train``; exactly one of them is ``resume=RUN``. The others are overrides of
            the run's config.

    Raises:
        ConfigError: If several runs are named, an option of a sweep is given, or the folder or the overrides can't be
            used.
        SurvlstmError: If training or evaluation fails, as for ``start``.
    """
    refuse_sweep_options(words, "resume")
    named = [word for word in words if word.startswith(RESUME)]
    if len(named) > 1:
        raise ConfigError(f"only one run can be resumed at a time; found {' and '.join(named)}")
    folder = Path(named[0].removeprefix(RESUME)).expanduser().absolute()
    lines = compose_overrides([word for word in words if not word.startswith(RESUME)])
    _start_or_rehearse(resumed_config(folder, lines), folder, overrides=_of_the_run(lines), resumed=True)


def start_without_hydra(config: RunConfig, words: list[str]) -> None:
    """Start a dry run or several processes, for which Hydra would create a folder named after the time.

    Args:
        config: The validated config; with ``trainer.dry_run`` nothing is trained.
        words: The arguments of ``survlstm train`` that the config was composed from; the overrides among them are
            recorded.

    Raises:
        ConfigError: If an option of a sweep is given, or the device names one GPU for several processes.
        SurvlstmError: If training or evaluation fails, as for ``start``.
    """
    refuse_sweep_options(words, "trainer.dry_run" if config.trainer.dry_run else "trainer.distributed")
    folder = Path(config.output_dir).expanduser().absolute()
    _start_or_rehearse(config, folder, overrides=_of_the_run(compose_overrides(words)), resumed=False)


def _of_the_run(lines: list[str]) -> list[str]:
    """Return the overrides without Hydra's own keys, as in the manifest of a run that Hydra starts."""
    return [line for line in lines if not line.lstrip("+~").startswith(("hydra.", "hydra/"))]


def _start_or_rehearse(config: RunConfig, folder: Path, *, overrides: list[str], resumed: bool) -> None:
    if config.trainer.dry_run:
        with logging_to(None):
            dry_run(config)
        return
    if not config.trainer.distributed:
        start(config, folder, overrides=overrides, resumed=resumed)
        return
    if ":" in config.trainer.device and launched_processes() > 1:
        raise ConfigError(
            "with several processes each uses a device of its own; set trainer.device=cuda, not "
            f"{config.trainer.device}"
        )
    wants_cuda = config.trainer.device.startswith("cuda")
    is_cuda = wants_cuda or (config.trainer.device == "auto" and torch.cuda.is_available())
    with join_process_group("cuda" if is_cuda else "cpu") as process_group:
        # The folder's name is taken from the main process: it contains the time, which differs between processes.
        start(
            config,
            Path(process_group.broadcast(str(folder))),
            overrides=overrides,
            resumed=resumed,
            process_group=process_group,
        )
