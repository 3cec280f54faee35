"""Training state → checkpoints/{best,last,previous,epoch_0010}.pt, each whole, checked by its sum, or not there."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from survlstm.training.history import History
from survlstm.utils.errors import CheckpointError, first_line
from survlstm.utils.files import abandoned_files, atomic_file
from survlstm.utils.write_access import write_error

# A checkpoint is a zip archive; its sum stands in the archive's comment, which torch.load passes over.
SEAL = b"survlstm sha256 "
SEAL_LENGTH = len(SEAL) + 64
SAVED = "training must be saved"


@dataclass(frozen=True)
class Checkpointer:
    """Writes into a run's folder: states of plain values and tensors, so that they load with ``weights_only=True``.

    ``about`` travels in every checkpoint: the resolved config, the vocabulary and what else a reader needs to build the
    model again. A state before the last one is kept as ``previous``, for the case that the last one is damaged.
    """

    run_folder: Path
    every_epochs: int
    about: dict[str, Any]

    @property
    def folder(self) -> Path:
        """Where the checkpoints stand."""
        return self.run_folder / "checkpoints"

    def open(self) -> None:
        """Make the folder; once, so that a run folder that vanishes is noticed and not made again."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(SAVED, self.folder, error) from error

    def save_best(self, model: dict[str, Any], *, epoch: int) -> None:
        """The weights of the best epoch so far."""
        write_checkpoint(self.folder / "best.pt", {"model": model, "epoch": epoch, "about": self.about})

    def save_last(self, state: dict[str, Any], *, epoch: int, is_epochs_end: bool) -> None:
        """The whole state of training; one to keep at the end of every n-th epoch."""
        content = _sealed({**state, "epoch": epoch, "about": self.about})
        if is_epochs_end and epoch % self.every_epochs == 0:
            _write(self.folder / f"epoch_{epoch:04d}.pt", content)
        self._keep_previous()
        _write(self.folder / "last.pt", content)

    def save_history(self, history: History) -> None:
        """history.json of the run."""
        path = self.run_folder / "history.json"
        try:
            history.write(path)
        except OSError as error:
            raise write_error(SAVED, path, error) from error

    def best(self) -> dict[str, Any]:
        """The checkpoint of the best epoch."""
        return load_checkpoint(self.folder / "best.pt")

    def _keep_previous(self) -> None:
        last, previous = self.folder / "last.pt", self.folder / "previous.pt"
        if not last.exists():
            return
        try:
            # By a second name, not by renaming: at no moment is there no last.pt.
            with atomic_file(previous) as second_name:
                os.link(last, second_name)
        # A file system without hard links; where nothing can be written, renaming fails too.
        except OSError:
            try:
                last.replace(previous)
            except OSError as error:
                raise write_error(SAVED, previous, error) from error


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write plain values and tensors, with their checksum: as a whole, or CheckpointError and nothing has changed."""
    _write(path, _sealed(content))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything from it; CheckpointError where it is torn, changed or not there."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"a checkpoint must stand at {path}; found none. Name the folder of a run") from error
    except OSError as error:
        raise CheckpointError(f"{path} must be a checkpoint that can be read; the system says: {error}") from error
    archive, seal = content[:-SEAL_LENGTH], content[-SEAL_LENGTH:]
    if not seal.startswith(SEAL):
        raise CheckpointError(
            f"{path} must be a whole checkpoint; its end is missing: it is torn, or of an older survlstm"
        )
    if seal != _seal_of(archive):
        raise CheckpointError(f"{path} must be a whole checkpoint; its checksum is wrong: it was damaged or changed")
    try:
        _refuse_compressed(content)
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not (isinstance(found, dict) and all(isinstance(name, str) for name in found)):
            raise ValueError("it must hold a table of parts")
        return found
    # Sealed, and yet not what torch can read without running code from it.
    except Exception as error:
        raise CheckpointError(
            f"{path} must be a whole checkpoint; it can't be read ({first_line(error, with_type=True)})"
        ) from error


def _refuse_compressed(content: bytes) -> None:
    """torch stores its parts as they are; unpacked, some kilobytes could become all of the memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("its parts are compressed")


class LatestState(NamedTuple):
    """The last whole state of a run, None where none was saved yet; which file it is; the files that are damaged."""

    state: dict[str, Any] | None
    said: str
    damaged: tuple[Path, ...]


def load_latest(folder: Path) -> LatestState:
    """The last state saved in a folder of checkpoints, or the one before it where that is damaged.

    CheckpointError where there are some and none is whole.
    """
    damaged, said = [], []
    for path in (folder / "last.pt", folder / "previous.pt"):
        if not path.exists():
            continue
        try:
            state = load_checkpoint(path)
        except CheckpointError as error:
            damaged.append(path)
            said.append(str(error))
        else:
            return LatestState(state, "; ".join([*said, f"{path.name} is used"]), tuple(damaged))
    if damaged:
        raise CheckpointError("; ".join(said) + ". Nothing is left to go on from; train again in another folder")
    return LatestState(None, "no checkpoint was saved yet", ())


def remove_unfinished(run_folder: Path, damaged: tuple[Path, ...]) -> None:
    """Remove what killed processes left half written, and set damaged checkpoints aside; for the run's owner only."""
    for path in [*abandoned_files(run_folder), *abandoned_files(run_folder / "checkpoints")]:
        path.unlink()
    for path in damaged:
        # Else the next save would keep it as the previous one.
        path.replace(path.with_name(f"{path.stem}.damaged"))


class _Sealed(NamedTuple):
    """A checkpoint as the bytes of an archive, the last two of which count its comment, and the comment."""

    archive: memoryview
    seal: bytes


def _sealed(content: dict[str, Any]) -> _Sealed:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    archive = buffer.getbuffer()
    # A zip archive ends with the length of its comment, so far 0.
    archive[-2:] = SEAL_LENGTH.to_bytes(2, "little")
    return _Sealed(archive, _seal_of(archive))


def _seal_of(archive: bytes | memoryview) -> bytes:
    return SEAL + hashlib.sha256(archive).hexdigest().encode()


def _write(path: Path, content: _Sealed) -> None:
    try:
        with atomic_file(path, durable=True) as temporary, temporary.open("wb") as stream:
            stream.write(content.archive)
            stream.write(content.seal)
    except OSError as error:
        raise write_error(SAVED, path, error) from error
