"""``trainer.device`` → a torch device that is there."""

from __future__ import annotations

import torch

from survlstm.utils.errors import ConfigError, first_line


def choose_device(asked: str, *, local_rank: int = 0) -> tuple[torch.device, str]:
    """The device, and a sentence that says what was taken; ``auto`` takes CUDA where there is one.

    Of several processes on a host the n-th takes the n-th device, unless a number was asked for.
    """
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
            f"trainer.device={asked} needs a CUDA device; torch {torch.__version__} found none ({_why_not()}). "
            "Set trainer.device=auto or trainer.device=cpu"
        )
    device = torch.device(asked if ":" in asked else f"cuda:{local_rank}")
    if device.index >= torch.cuda.device_count():
        raise ConfigError(
            f"trainer.device={device} must be below cuda:{torch.cuda.device_count()}; set trainer.device=auto, and "
            "with torchrun no more processes than devices"
        )
    torch.cuda.set_device(device)
    return device, f"{device}, {torch.cuda.get_device_name(device)} ({why})"


def _why_not() -> str:
    """What torch says when it is made to use CUDA: no driver, one that is too old, a build without CUDA."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return first_line(error).rstrip(".")
    return "no device is visible"
