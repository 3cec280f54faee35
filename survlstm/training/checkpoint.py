"""Write and read checkpoints, each protected by a checksum and replaced atomically."""

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
from survlstm.training.saved_state import START
from survlstm.utils.errors import CheckpointError, first_line
from survlstm.utils.files import abandoned_files, atomic_file
from survlstm.utils.write_access import write_error

# A checkpoint is a zip archive; its checksum is stored in the archive's comment, which torch.load ignores.
SEAL = b"survlstm sha256 "
SEAL_LENGTH = len(SEAL) + 64
SAVED = "training must be saved"


@dataclass(frozen=True)
class Checkpointer:
    """Write the checkpoints and the history of one run.

    The folder ``checkpoints`` holds ``best.pt`` (weights of the best epoch), ``last.pt`` (the whole training state),
    ``previous.pt`` (the state before that, in case ``last.pt`` is damaged) and ``epoch_0010.pt`` and so on. They hold
    plain values and tensors only, so that ``torch.load`` reads them with ``weights_only=True``.

    Attributes:
        run_folder: Folder of the run; it must exist.
        every_epochs: A state is kept for good at the end of every n-th epoch.
        about: Stored in every checkpoint: the resolved config, the vocabulary and whatever else is needed to rebuild
            the model.
    """

    run_folder: Path
    every_epochs: int
    about: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The folder that holds the checkpoints."""
        return self.run_folder / "checkpoints"

    def open(self) -> None:
        """Create the checkpoint folder.

        It is created once, before training, so that a run folder that is deleted during training raises an error
        instead of being created again.

        Raises:
            CheckpointError: The folder can't be created.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(SAVED, self.folder, error) from error

    def save_best(self, model: dict[str, Any], *, epoch: int) -> None:
        """Write the weights of the best epoch so far to ``best.pt``.

        Args:
            model: State of the model, as ``state_dict`` returns it.
            epoch: The epoch after which the model has these weights, counted from 1; 0 before the first one.

        Raises:
            CheckpointError: The file can't be written; what was there before is unchanged.
        """
        write_checkpoint(self.folder / "best.pt", {"model": model, "epoch": epoch, "about": self.about})

    def save_last(self, state: dict[str, Any], *, epoch: int, is_epochs_end: bool) -> None:
        """Write the whole training state to ``last.pt``, and to ``epoch_N.pt`` at the end of every n-th epoch.

        Only the owner can read these files if the state holds likelihoods of single subjects.

        Args:
            state: Model, optimizer, scheduler and everything else that resuming needs; see ``saved_state.PARTS``.
            epoch: The last epoch that the state contains, whole or in part.
            is_epochs_end: Whether that epoch is complete.

        Raises:
            CheckpointError: A file can't be written; the checkpoints that were there before are unchanged.
        """
        content, private = _sealed({**state, "epoch": epoch, "about": self.about}), START in state
        if is_epochs_end and epoch % self.every_epochs == 0:
            _write(self.folder / f"epoch_{epoch:04d}.pt", content, private=private)
        self._keep_previous()
        _write(self.folder / "last.pt", content, private=private)

    def save_history(self, history: History) -> None:
        """Write ``history.json`` into the run's folder.

        Args:
            history: The epochs so far and the facts about the run.

        Raises:
            CheckpointError: The file can't be written; what was there before is unchanged.
        """
        path = self.run_folder / "history.json"
        try:
            history.write(path)
        except OSError as error:
            raise write_error(SAVED, path, error) from error

    def best(self) -> dict[str, Any]:
        """Load the checkpoint of the best epoch.

        Returns:
            The parts ``model`` (weights), ``epoch`` (counted from 1; 0 before the first one) and ``about``.

        Raises:
            CheckpointError: The file is missing, truncated or changed, or holds more than plain values and tensors.
        """
        return load_checkpoint(self.folder / "best.pt")

    def _keep_previous(self) -> None:
        last, previous = self.folder / "last.pt", self.folder / "previous.pt"
        if not last.exists():
            return
        try:
            # A hard link instead of a rename, so that last.pt exists at every moment.
            with atomic_file(previous) as second_name:
                os.link(last, second_name)
        # For example a file system without hard links. If nothing can be written, renaming fails too.
        except OSError:
            try:
                last.replace(previous)
            except OSError as error:
                raise write_error(SAVED, previous, error) from error


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write plain values and tensors, with their checksum, and replace the file atomically.

    Args:
        path: The file; its folder must exist.
        content: Values by name, of types that ``torch.load`` reads with ``weights_only=True``.

    Raises:
        CheckpointError: The file can't be written; what was there before is unchanged.
    """
    _write(path, _sealed(content))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without executing code from it.

    Args:
        path: File that ``write_checkpoint`` or a ``Checkpointer`` wrote.

    Returns:
        The content that ``write_checkpoint`` was given.

    Raises:
        CheckpointError: The file is missing, truncated or changed, or holds more than plain values and tensors.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"there must be a checkpoint at {path}; found none. Name the folder of a run") from error
    except OSError as error:
        raise CheckpointError(f"{path} must be a checkpoint that can be read; the system says: {error}") from error
    archive, seal = content[:-SEAL_LENGTH], content[-SEAL_LENGTH:]
    if not seal.startswith(SEAL):
        raise CheckpointError(
            f"{path} must be a whole checkpoint; its end is missing: it was truncated, or written by an older survlstm"
        )
    if seal != _seal_of(archive):
        raise CheckpointError(f"{path} must be a whole checkpoint; its checksum is wrong: it was damaged or changed")
    try:
        _refuse_compressed(content)
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if not (isinstance(loaded, dict) and all(isinstance(name, str) for name in loaded)):
            raise ValueError("it must be a dictionary with text keys")
        return loaded
    # The checksum fits, but torch can't read the archive without executing code from it; it raises many types.
    except Exception as error:
        raise CheckpointError(
            f"{path} must be a whole checkpoint; it can't be read ({first_line(error, with_type=True)})"
        ) from error


def _refuse_compressed(content: bytes) -> None:
    """Raise ValueError for a compressed archive: a few kilobytes could fill the memory when they are unpacked.

    torch writes its archives uncompressed.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("its parts are compressed")


class LatestState(NamedTuple):
    """The last readable training state of a run.

    Attributes:
        state: The state; None where no checkpoint was saved yet.
        message: Names the file that is used, and why another one is not.
        damaged: Checkpoints that can't be read.
    """

    state: dict[str, Any] | None
    message: str
    damaged: tuple[Path, ...]


def load_latest(folder: Path) -> LatestState:
    """Load ``last.pt``, or ``previous.pt`` where that is damaged.

    Args:
        folder: The folder ``checkpoints`` of a run.

    Returns:
        The state that was read, with a message about it; a state of None where no checkpoint was saved yet.

    Raises:
        CheckpointError: There are checkpoints, and none of them can be read.
    """
    damaged, messages = [], []
    for path in (folder / "last.pt", folder / "previous.pt"):
        if not path.exists():
            continue
        try:
            state = load_checkpoint(path)
        except CheckpointError as error:
            damaged.append(path)
            messages.append(str(error))
        else:
            return LatestState(state, "; ".join([*messages, f"{path.name} is used"]), tuple(damaged))
    if damaged:
        raise CheckpointError(
            "; ".join(messages) + ". No checkpoint is left to resume from; train again in another folder"
        )
    return LatestState(None, "no checkpoint was saved yet", ())


def remove_unfinished(run_folder: Path, damaged: tuple[Path, ...]) -> None:
    """Remove temporary files of killed processes, and rename damaged checkpoints to ``NAME.damaged``.

    Only the process that holds the run's lock may call this: it would remove another one's files while they are
    written.

    Args:
        run_folder: Folder of the run.
        damaged: Checkpoints that can't be read, see ``LatestState``.
    """
    for path in [*abandoned_files(run_folder), *abandoned_files(run_folder / "checkpoints")]:
        path.unlink()
    for path in damaged:
        # Otherwise the next save would keep it as previous.pt.
        path.replace(path.with_name(f"{path.stem}.damaged"))


class _Sealed(NamedTuple):
    """The bytes of a checkpoint.

    Attributes:
        archive: The zip archive; its last two bytes give the length of its comment.
        seal: The comment, which holds the checksum.
    """

    archive: memoryview
    seal: bytes


def _sealed(content: dict[str, Any]) -> _Sealed:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    archive = buffer.getbuffer()
    # A zip archive ends with the length of its comment, which torch leaves at 0.
    archive[-2:] = SEAL_LENGTH.to_bytes(2, "little")
    return _Sealed(archive, _seal_of(archive))


def _seal_of(archive: bytes | memoryview) -> bytes:
    return SEAL + hashlib.sha256(archive).hexdigest().encode()


def _write(path: Path, content: _Sealed, *, private: bool = False) -> None:
    try:
        with atomic_file(path, private=private, durable=True) as temporary, temporary.open("wb") as stream:
            stream.write(content.archive)
            stream.write(content.seal)
    except OSError as error:
        raise write_error(SAVED, path, error) from error
