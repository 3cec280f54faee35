"""The process and its device → peak memory, and how busy the device is."""

from __future__ import annotations

import resource
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

SECONDS_BETWEEN_SAMPLES = 0.2


def peak_host_bytes() -> int:
    """The most memory this process has held since it began."""
    with suppress(OSError):
        # Linux's other figure is never less than that of the process which started this one.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_bytes(device: torch.device) -> int | None:
    """The most memory allocated on a CUDA device by this process; None elsewhere."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


@dataclass
class Telemetry:
    """Samples of a CUDA device's utilisation while training; ``unknown`` says why there are none."""

    device: torch.device
    samples: list[float] = field(default_factory=list)
    unknown: str = ""

    @property
    def busy(self) -> float | None:
        """Share of the time that a kernel ran, as nvidia-smi counts it; None where it is not known."""
        return statistics.fmean(self.samples) / 100 if self.samples else None

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample in a thread until the block ends; on a CPU nothing is sampled."""
        if self.device.type != "cuda" or self.unknown:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._sample, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _sample(self, ended: threading.Event) -> None:
        while not ended.wait(SECONDS_BETWEEN_SAMPLES):
            try:
                self.samples.append(float(torch.cuda.utilization(self.device)))
            # Without the package nvidia-ml-py, or where the driver does not tell.
            except Exception as error:
                self.unknown = f"{type(error).__name__}: {error}"
                return
