"""Log a run to event files, which ``tensorboard --logdir`` shows."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from survlstm.training.history import History
from survlstm.training.loggers.logger import (
    NOTHING_LOGGED,
    State,
    epoch_scalars,
    finite_only,
    flat_parameters,
    require_package,
)

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

log = logging.getLogger(__name__)

# The scalar that is written last for each epoch, and is always finite: an epoch that has it is complete.
LAST_SCALAR = "subjects_per_second"


class TensorBoardLogger:
    """Write the figures of every epoch, the config and the final metrics to the run's folder ``tensorboard``.

    A resumed run writes another file there; TensorBoard then hides what earlier files hold about repeated epochs.

    Args:
        patience_seconds: How long the run waits for the logger when it begins and when it ends.

    Raises:
        ConfigError: tensorboard is not installed.
    """

    name = "tensorboard"

    def __init__(self, *, patience_seconds: float) -> None:
        require_package("torch.utils.tensorboard", extra="tensorboard")
        self.patience_seconds = patience_seconds
        self.advice = (
            "Check that the folder tensorboard in the run's folder can be written and that there is free space"
        )
        self._folder = Path()
        self._config: dict[str, Any] = {}
        self._done = NOTHING_LOGGED
        self._file: _EventFile | None = None

    def begin(self, config: dict[str, Any], *, name: str, folder: Path) -> None:
        """Create the folder, or find the last epoch that its event files hold."""
        self._folder = folder / "tensorboard"
        self._folder.mkdir(exist_ok=True)
        self._config = config
        self._done = _last_epoch(self._folder)
        log.info("Logging to TensorBoard; view it with tensorboard --logdir %s", self._folder)

    def epoch_ended(self, history: History) -> None:
        """Write the scalars of the epochs that are not written yet."""
        file = self._file or self._open(history.epochs[-1].epoch)
        for epoch in history.candidates:
            if epoch.epoch > self._done:
                for tag, value in epoch_scalars(epoch).items():
                    file.add_scalar(tag, value, step=epoch.epoch)
        file.flush()
        self._done = history.epochs[-1].epoch

    def end(self, metrics: dict[str, float], folder: Path, state: State) -> None:
        """Write the final metrics at the last epoch; ``test.c_td`` becomes ``test/c_td``, in the group ``test``."""
        file = self._file or self._open(self._done + 1)
        for metric, value in finite_only(metrics).items():
            file.add_scalar(metric.replace(".", "/", 1), value, step=max(self._done, 0))
        file.add_text("state", state, step=max(self._done, 0))
        file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self, epoch: int) -> _EventFile:
        self._done = min(self._done, epoch - 1)
        self._file = _EventFile(self._folder, first_step=self._done + 1)
        self._file.add_text("config", _markdown_table(flat_parameters(self._config)), step=max(self._done, 0))
        return self._file


class _EventFile:
    """Write events as torch's SummaryWriter does, but in the caller's thread.

    SummaryWriter uses a thread of its own, which prints a traceback to the console when the disk is full.

    Args:
        folder: Folder of the event files.
        first_step: Readers hide the events of older files from this step on.
    """

    def __init__(self, folder: Path, *, first_step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        # Readers sort the files by name, so the name begins with the time.
        path = folder / f"events.out.tfevents.{seconds:010d}.{nanoseconds:09d}.{socket.gethostname()}"
        self._event: type[Event] = Event
        self._records = RecordWriter(path.open("xb"))
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def add_scalar(self, tag: str, value: float, *, step: int) -> None:
        """Add a point to a curve."""
        from torch.utils.tensorboard.summary import scalar

        self._add(scalar(tag, value), step)

    def add_text(self, tag: str, markdown: str, *, step: int) -> None:
        """Add a text."""
        from torch.utils.tensorboard.summary import text

        self._add(text(tag, markdown), step)

    def flush(self) -> None:
        """Write the buffered events to the file."""
        self._records.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._records.close()

    def _add(self, summary: Summary, step: int) -> None:
        self._write(self._event(step=step, summary=summary))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def _last_epoch(folder: Path) -> int:
    """Return the last complete epoch of the event files in a folder; -1 where there is none."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 1}).Reload()
    return events.Scalars(LAST_SCALAR)[-1].step if LAST_SCALAR in events.Tags()[SCALARS] else NOTHING_LOGGED


def _markdown_table(rows: dict[str, str]) -> str:
    lines = [f"| {key} | {value.replace('|', '&#124;')} |" for key, value in rows.items()]
    return "\n".join(["| key | value |", "|---|---|", *lines])
