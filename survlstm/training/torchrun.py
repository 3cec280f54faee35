"""What torchrun tells a process by its environment → is it one of several, and was that asked for?"""

from __future__ import annotations

import os

from survlstm.utils.errors import ConfigError


def launched_processes() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_unrequested_torchrun(*, distributed: bool) -> None:
    """ConfigError where several processes would each train the whole model."""
    if launched_processes() > 1 and not distributed:
        raise ConfigError(
            f"torchrun has started {launched_processes()} processes, and each would train the whole model; "
            f"choose trainer=ddp, "
            "or set trainer.distributed=true"
        )
