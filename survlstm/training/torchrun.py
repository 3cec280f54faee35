"""Read from the environment whether torchrun has started several processes."""

from __future__ import annotations

import os

from survlstm.utils.errors import ConfigError


def launched_processes() -> int:
    """Return how many processes torchrun has started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_unrequested_torchrun(*, distributed: bool) -> None:
    """Check that several processes were started only for distributed training.

    Args:
        distributed: ``trainer.distributed`` of the config.

    Raises:
        ConfigError: torchrun has started several processes, and each would train the whole model.
    """
    if launched_processes() > 1 and not distributed:
        raise ConfigError(
            f"torchrun has started {launched_processes()} processes, and each would train the whole model; "
            "choose trainer=ddp, or set trainer.distributed=true"
        )
