"""What torchrun tells a process by its environment → is it one of several, and was that asked for?"""

from __future__ import annotations

import os

from survlstm.utils.errors import ConfigError


def launched() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_launched_without_asking(*, distributed: bool) -> None:
    """ConfigError where several processes would each train the whole model."""
    if launched() > 1 and not distributed:
        raise ConfigError(
            f"torchrun has started {launched()} processes, and each would train the whole model; choose trainer=ddp, "
            "or set trainer.distributed=true"
        )
