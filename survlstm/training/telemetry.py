"""Measure peak memory, and the utilisation of the CUDA device."""

from __future__ import annotations

import logging
import resource
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

log = logging.getLogger(__name__)

SECONDS_BETWEEN_SAMPLES = 0.2


def peak_host_bytes() -> int:
    """Return the peak resident memory of this process since it started."""
    with suppress(OSError):
        # Not ru_maxrss where it can be avoided: on Linux it starts at the peak of the parent process.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_bytes(device: torch.device) -> int | None:
    """Return the peak memory that torch has allocated on a CUDA device.

    Args:
        device: The device.

    Returns:
        Bytes since the process started; None for a device that is not a CUDA device.
    """
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


@dataclass
class Telemetry:
    """Sample the utilisation of a CUDA device during training.

    Attributes:
        device: The device; nothing is sampled on a CPU.
        samples: Utilisation in percent, sampled every ``SECONDS_BETWEEN_SAMPLES``.
        unknown: Why sampling failed; empty where it has not.
    """

    device: torch.device
    samples: list[float] = field(default_factory=list)
    unknown: str = ""

    @property
    def busy(self) -> float | None:
        """Share of the time in which a kernel ran, as nvidia-smi defines it; None where it is not known."""
        return statistics.fmean(self.samples) / 100 if self.samples else None

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample in a thread until the block ends."""
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
            # The package nvidia-ml-py is missing, or the driver does not report it; the errors are of many types.
            except Exception as error:
                self.unknown = f"{type(error).__name__}: {error}"
                missing = isinstance(error, ImportError)
                advice = ". It needs the extra gpu: pip install 'survlstm[gpu]'" if missing else ""
                log.info("The utilisation of the GPU is not recorded: %s%s", self.unknown, advice)
                return
