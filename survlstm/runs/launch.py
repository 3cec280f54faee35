"""A validated config → a run started: in a new folder, gone on with in its own, in several processes, or rehearsed."""

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
    """Train in ``folder``; a run that was stopped there goes on, a finished one only if that was asked for.

    ``overrides`` are what the manifest says that the run was asked for. ``callbacks`` and ``judged`` as in run.train.
    """
    refuse_unrequested_torchrun(distributed=config.trainer.distributed)
    config = with_absolute_paths(config, folder)
    if not process_group.is_main:
        with logging_errors_only(), process_group.report_lost_process():
            train.train(config, folder, state=process_group.broadcast(None), process_group=process_group)
        return
    if not resumed:
        refuse_unusable(folder, may_go_on=True)
    # Before the folder is made: its package may be missing.
    logger = build_logger(config.logger)
    with report_write_errors(folder), run_lock(folder):
        # Only now: another process may have begun here, and ended.
        begun = holds_a_run(folder)
        with logging_to(folder / "training.log"):
            log_task(describe_task(config))
            state: dict[str, Any] | None = state_to_go_on_from(folder, config) if begun else None
            # Of a run that goes on the summary so far is not its summary any more.
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
    """With absolute paths: what is judged or gone on with from another working folder must still be found."""
    data, logger = config.data, config.logger
    if data.path is not None:
        data = data.model_copy(update={"path": str(Path(data.path).expanduser().absolute())})
    if isinstance(logger, MLflowConfig):
        logger = logger.model_copy(update={"folder": str(Path(logger.folder).expanduser().absolute())})
    return config.model_copy(update={"output_dir": str(folder), "data": data, "logger": logger, "resume": None})


def resume(words: list[str]) -> None:
    """Go on with the run that ``resume=RUN`` names; the other words change its config."""
    refuse_sweep_options(words, "resume")
    named = [word for word in words if word.startswith(RESUME)]
    if len(named) > 1:
        raise ConfigError(f"one run is gone on with at a time; found {' and '.join(named)}")
    folder = Path(named[0].removeprefix(RESUME)).expanduser().absolute()
    lines = compose_overrides([word for word in words if not word.startswith(RESUME)])
    _start_or_rehearse(resumed_config(folder, lines), folder, overrides=_of_the_run(lines), resumed=True)


def start_without_hydra(config: RunConfig, words: list[str]) -> None:
    """What hydra can't start, for it would make a folder by the clock: a dry run, and several processes."""
    refuse_sweep_options(words, "trainer.dry_run" if config.trainer.dry_run else "trainer.distributed")
    folder = Path(config.output_dir).expanduser().absolute()
    _start_or_rehearse(config, folder, overrides=_of_the_run(compose_overrides(words)), resumed=False)


def _of_the_run(lines: list[str]) -> list[str]:
    """Without hydra's own keys, which the manifest of a run that hydra starts does not hold either."""
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
            "with several processes each takes a device of its own; set trainer.device=cuda, not "
            f"{config.trainer.device}"
        )
    wants_cuda = config.trainer.device.startswith("cuda")
    is_cuda = wants_cuda or (config.trainer.device == "auto" and torch.cuda.is_available())
    with join_process_group("cuda" if is_cuda else "cpu") as process_group:
        # Its name holds the time, of which each process has its own.
        start(
            config,
            Path(process_group.broadcast(str(folder))),
            overrides=overrides,
            resumed=resumed,
            process_group=process_group,
        )
