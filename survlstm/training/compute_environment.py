"""Describe the compute environment, to tell whether a resumed run can repeat its results bit for bit."""

from __future__ import annotations

import torch

from survlstm.training.distributed import ProcessGroup


def compute_environment(device: torch.device, process_group: ProcessGroup) -> dict[str, str]:
    """Return what must be the same for identical rounding: torch, device, threads and processes.

    Args:
        device: Where the gradients are computed.
        process_group: The processes that train the model together.

    Returns:
        Values as text, as a checkpoint stores them.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "torch": str(torch.__version__),
        "device": f"{device.type} ({name})",
        "threads": str(torch.get_num_threads()),
        "processes": str(process_group.size),
    }


def environment_diff(before: dict[str, str], now: dict[str, str]) -> str:
    """Return what differs between two compute environments.

    Args:
        before: Result of ``compute_environment`` in the process that saved a state.
        now: Its result in this process.

    Returns:
        Text such as ``threads 1 → 2, processes 1 → 4``; empty where nothing differs.
    """
    changed = [f"{name} {before.get(name)} → {value}" for name, value in now.items() if before.get(name) != value]
    return ", ".join(changed)
