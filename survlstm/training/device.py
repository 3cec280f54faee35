"""Choose the torch device that a config asks for."""

from __future__ import annotations

import torch

from survlstm.utils.errors import ConfigError, first_line


def choose_device(requested: str, *, local_rank: int = 0) -> tuple[torch.device, str]:
    """Choose the device, and make it torch's current CUDA device where it is one.

    Args:
        requested: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``, which takes CUDA where there is a device.
        local_rank: Rank of the process on its host; ``cuda`` without a number takes the device of that number.

    Returns:
        The device, and a description of it for the log.

    Raises:
        ConfigError: The requested device does not exist.
    """
    cuda = torch.cuda.is_available()
    if requested == "auto":
        requested = "cuda" if cuda else "cpu"
        why = "auto: CUDA found" if cuda else "auto: no CUDA device found"
    else:
        why = "as configured"
    if not requested.startswith("cuda"):
        return torch.device("cpu"), f"cpu, {torch.get_num_threads()} threads ({why})"
    if not cuda:
        raise ConfigError(
            f"trainer.device={requested} needs a CUDA device; torch {torch.__version__} found none "
            f"({_cuda_failure()}). Set trainer.device=auto or trainer.device=cpu"
        )
    device = torch.device(requested if ":" in requested else f"cuda:{local_rank}")
    if device.index >= torch.cuda.device_count():
        raise ConfigError(
            f"trainer.device={device} must be below cuda:{torch.cuda.device_count()}; set trainer.device=auto, and "
            "start no more processes with torchrun than there are devices"
        )
    torch.cuda.set_device(device)
    return device, f"{device}, {torch.cuda.get_device_name(device)} ({why})"


def _cuda_failure() -> str:
    """Return torch's own reason why CUDA can't be used: no driver, an old driver, a build without CUDA."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return first_line(error).rstrip(".")
    return "no device is visible"
