"""``trainer.device`` → a torch device that is there."""

from __future__ import annotations

import torch

from survlstm.errors import ConfigError


def choose_device(asked: str) -> tuple[torch.device, str]:
    """The device, and a sentence that says what was taken; ``auto`` takes CUDA where there is one."""
    cuda = torch.cuda.is_available()
    if asked == "auto":
        asked = "cuda" if cuda else "cpu"
        why = "auto: CUDA found" if cuda else "auto: no CUDA device found"
    else:
        why = "as configured"
    if not asked.startswith("cuda"):
        return torch.device("cpu"), f"cpu, {torch.get_num_threads()} threads ({why})"
    if not cuda:
        raise ConfigError(
            f"trainer.device={asked} needs a CUDA device; torch {torch.__version__} found none. "
            "Set trainer.device=auto or trainer.device=cpu"
        )
    device = torch.device(asked)
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise ConfigError(
            f"trainer.device={asked} must be below cuda:{torch.cuda.device_count()}; set trainer.device=auto"
        )
    return device, f"{asked}, {torch.cuda.get_device_name(device)} ({why})"
