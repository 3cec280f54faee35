"""Training state → checkpoints/{best,last,epoch_0010}.pt and history.json, each whole or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from survlstm.errors import CheckpointError
from survlstm.training.history import History


@dataclass(frozen=True)
class Checkpointer:
    """Writes into a run's folder: states of plain values and tensors, so that they load with ``weights_only=True``.

    ``about`` travels in every checkpoint: the resolved config, the vocabulary and what else a reader needs to build the
    model again.
    """

    run_folder: Path
    every: int
    about: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the checkpoints stand."""
        return self.run_folder / "checkpoints"

    def save(self, state: dict[str, Any], history: History, *, is_best: bool) -> None:
        """Always ``last``, ``best`` where it is, one to keep every n epochs, and the history up to here."""
        epoch = len(history.epochs)
        names = ["last"]
        if is_best:
            names.append("best")
        if epoch % self.every == 0:
            names.append(f"epoch_{epoch:04d}")
        for name in names:
            self._write(self.folder / f"{name}.pt", {**state, "epoch": epoch, "about": self.about})
        self.save_history(history)

    def save_history(self, history: History) -> None:
        """history.json of the run."""
        history.write(self.run_folder / "history.json")

    def load(self, name: str) -> dict[str, Any]:
        """The state saved under a name."""
        return load_checkpoint(self.folder / f"{name}.pt")

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as stream:
                torch.save(content, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(aside, path)
        # torch turns a full disk into a RuntimeError of its own.
        except (OSError, RuntimeError) as error:
            with suppress(OSError):
                aside.unlink()
            raise CheckpointError(
                f"a checkpoint must be written to {path}; the system says: {error}. "
                "Free space there or set output_dir to another disk"
            ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything from it."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"a checkpoint must stand at {path}; found none. Name the folder of a run") from error
    # A torn file makes the unpickler fail in any of a dozen ways.
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{path} must be a whole checkpoint; it can't be read ({said})") from error
