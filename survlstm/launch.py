"""A validated config → a run started: in a new folder, gone on with in its own, in several processes, or rehearsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from survlstm import run
from survlstm.config import RunConfig
from survlstm.errors import ConfigError
from survlstm.logs import logging_nothing, logging_to, tell
from survlstm.rehearsal import rehearse
from survlstm.resumption import owned, resumed_config, state_to_go_on_from
from survlstm.run_folder import has_begun, refuse_unusable
from survlstm.training.world import ALONE, World, joined, launched


def start(config: RunConfig, folder: Path, *, resumed: bool = False, world: World = ALONE) -> None:
    """Train in ``folder``; a run that was stopped there goes on, a finished one only if that was asked for."""
    _refuse_launched_without_asking(config)
    data = config.data
    if data.path is not None:
        # What is judged again from another working folder must still be found.
        data = data.model_copy(update={"path": str(Path(data.path).expanduser().absolute())})
    config = config.model_copy(update={"output_dir": str(folder), "data": data, "resume": None})
    if not world.is_main:
        with logging_nothing():
            tell(lambda: run.train(config, folder, state=world.shared(None), world=world), verbose=config.verbose)
        return
    if not resumed:
        refuse_unusable(folder, may_go_on=True)
    begun = has_begun(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def train() -> None:
        state: dict[str, Any] | None = state_to_go_on_from(folder, config) if begun else None
        run.train(config, folder, state=world.shared(state), world=world)

    with owned(folder), logging_to(folder / "training.log"):
        tell(train, verbose=config.verbose)


def start_without_hydra(config: RunConfig, overrides: list[str]) -> None:
    """What hydra can't start, for it would make a folder by the clock: resume, dry run, several processes."""
    if any(word.startswith(("hydra.", "hydra/", "-")) for word in overrides):
        raise ConfigError("with resume, trainer.dry_run and trainer.distributed leave out hydra's own keys and flags")
    if config.trainer.dry_run:
        with logging_to(None):
            tell(lambda: rehearse(config), verbose=config.verbose)
        return
    folder, resumed = Path(config.resume or config.output_dir).expanduser().absolute(), config.resume is not None
    if resumed:
        config = resumed_config(folder, [word for word in overrides if not word.startswith("resume=")])
    if not config.trainer.distributed:
        start(config, folder, resumed=resumed)
        return
    wants_cuda = config.trainer.device.startswith("cuda")
    is_cuda = wants_cuda or (config.trainer.device == "auto" and torch.cuda.is_available())
    with joined("cuda" if is_cuda else "cpu") as world:
        # Its name holds the time, of which each process has its own.
        start(config, Path(world.shared(str(folder))), resumed=resumed, world=world)


def _refuse_launched_without_asking(config: RunConfig) -> None:
    if launched() > 1 and not config.trainer.distributed:
        raise ConfigError(
            f"torchrun has started {launched()} processes, and each would train the whole model; choose trainer=ddp, "
            "or set trainer.distributed=true"
        )
