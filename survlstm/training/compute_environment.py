"""Where a run computes → the facts that decide whether it can go on bit for bit."""

from __future__ import annotations

import torch

from survlstm.training.distributed import ProcessGroup


def compute_environment(device: torch.device, process_group: ProcessGroup) -> dict[str, str]:
    """What must be the same for the same rounding."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "torch": str(torch.__version__),
        "device": f"{device.type} ({name})",
        "threads": str(torch.get_num_threads()),
        "processes": str(process_group.size),
    }


def environment_diff(before: dict[str, str], now: dict[str, str]) -> str:
    """What is different now, in words; empty where nothing is."""
    changed = [f"{name} {before.get(name)} → {value}" for name, value in now.items() if before.get(name) != value]
    return ", ".join(changed)
