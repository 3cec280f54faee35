"""Store files with their checksums in a folder or a zip archive, and check every byte when they are read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from pydantic import Field, ValidationError

from survlstm.config.schema.section import Section
from survlstm.utils.errors import BundleError
from survlstm.utils.files import atomic_file, atomic_folder
from survlstm.utils.stored_files import parse_json

FORMAT = "survlstm bundle"
FORMAT_VERSION = 1
INDEX = "bundle.json"
# Larger than any index; a larger file is not read.
MOST_INDEX_BYTES = 1 << 24
# Limit for the files that are held in memory, which the figures are not; larger than any model that survlstm trains.
MOST_KEPT_BYTES = 4 << 30
PART_BYTES = 1 << 20


class _File(Section):
    bytes: int = Field(ge=0)
    sha256: str


class _Index(Section):
    format: str
    format_version: int
    about: dict[str, Any]
    files: dict[str, _File]
    sha256: str


@dataclass(frozen=True)
class Container:
    """Content of a bundle.

    Attributes:
        about: description of the bundle from its index.
        files: bytes of the requested files by name.
    """

    about: dict[str, Any]
    files: dict[str, bytes]


def write_container(path: Path, files: Mapping[str, bytes], about: dict[str, Any]) -> None:
    """Write files and an index with their checksums.

    ``path`` exists only when everything is written.

    Args:
        path: new folder, or new archive if the name ends in .zip.
        files: content by relative path.
        about: description of the bundle, stored in the index.

    Raises:
        BundleError: ``path`` exists or cannot be written.
    """
    if path.exists():
        raise BundleError(f"output must be new; {path} is there already. Remove it, or name another output")
    listed = {name: {"bytes": len(data), "sha256": _sum(data)} for name, data in sorted(files.items())}
    index = {"format": FORMAT, "format_version": FORMAT_VERSION, "about": about, "files": listed}
    index["sha256"] = _sum(_canonical(index))
    everything = {INDEX: (json.dumps(index, indent=2, allow_nan=False) + "\n").encode(), **files}
    try:
        if path.suffix == ".zip":
            path.absolute().parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as temporary:
                _write_zip(temporary, everything)
        else:
            with atomic_folder(path) as temporary:
                _write_folder(temporary, everything)
    except OSError as error:
        raise BundleError(
            f"a bundle must be written to {path}; the system says: {error}. Name another output"
        ) from error


def read_container(path: Path, keep: Collection[str], *, most: Mapping[str, int] | None = None) -> Container:
    """Read a bundle and check every file that its index lists. Other files are ignored.

    Args:
        path: folder or archive that ``write_container`` wrote.
        keep: names of the files to return; the others are checked but not held in memory.
        most: largest accepted size in bytes by file name; None for no limits.

    Returns:
        Description of the bundle, and the bytes of those files of ``keep`` that the index lists.

    Raises:
        BundleError: ``path`` holds no bundle, was written by a newer survlstm, or holds a file that is too large or
            was changed since the export.
    """
    with _opened(path) as stored:
        index = _index(path, stored)
        for name, bound in (most or {}).items():
            if name in index.files and index.files[name].bytes > bound:
                raise BundleError(
                    f"{name} of a bundle must have at most {bound:,} bytes; {path} lists {index.files[name].bytes:,}. "
                    "Export the model again"
                )
        kept = sum(listed.bytes for name, listed in index.files.items() if name in keep)
        if kept > MOST_KEPT_BYTES:
            raise BundleError(
                f"the model of a bundle must have at most {MOST_KEPT_BYTES:,} bytes; {path} lists {kept:,}. Export a "
                "smaller model"
            )
        files = {}
        for name, listed in index.files.items():
            data = io.BytesIO() if name in keep else None
            _check_file(path, stored, name, listed, data)
            if data is not None:
                files[name] = data.getvalue()
    return Container(index.about, files)


def _check_file(path: Path, stored: _Files, name: str, listed: _File, data: io.BytesIO | None) -> None:
    """Read a file in parts, compare size and checksum with the index, and write its bytes to ``data``."""
    size = stored.size(name)
    if size is None:
        raise BundleError(f"a bundle must hold every file that it lists; {path} lacks {name}. Export it again")
    digest, so_far = hashlib.sha256(), 0
    # A file of another size is not read. An entry of an archive can state one size and unpack to more: reading stops
    # after the stated size.
    if size == listed.bytes:
        with stored.open(name) as stream:
            while so_far <= size and (part := stream.read(PART_BYTES)):
                digest.update(part)
                so_far += len(part)
                if data is not None:
                    data.write(part)
    if size != listed.bytes or so_far != size or digest.hexdigest() != listed.sha256:
        raise BundleError(
            f"every file of a bundle must be what was exported; {name} in {path} has been changed or damaged since. "
            "Copy it again, or export it again"
        )


class _Files(Protocol):
    """Access to the files of a folder or an archive by name. ``size`` is None if there is no such file."""

    def size(self, name: str) -> int | None: ...

    def open(self, name: str) -> IO[bytes]: ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = path.resolve()

    def size(self, name: str) -> int | None:
        file = self._path / name
        if not file.resolve().is_relative_to(self._real):
            raise BundleError(
                f"every file of a bundle must lie in it; {name} in {self._path} leads elsewhere. Put a copy of the "
                "file in its place"
            )
        if not file.exists():
            return None
        status = file.stat()
        # Opening a pipe would block for ever.
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(
                f"a bundle must list files only; {name} in {self._path} is not a file. Copy the bundle again, or "
                "export it again"
            )
        return status.st_size

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class _Archive:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive

    def size(self, name: str) -> int | None:
        try:
            entry = self._archive.getinfo(name)
        except KeyError:
            return None
        # Only these methods unpack in parts; with the others a few bytes could fill the memory at once.
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise BundleError(
                f"the files of a bundle must be deflated or stored; {name} in {self._path} is compressed otherwise. "
                "Export it again"
            )
        return entry.file_size

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    try:
        if not path.exists():
            raise BundleError(f"bundle must be a folder or a .zip that survlstm export wrote; found nothing at {path}")
        if path.is_dir():
            yield _Folder(path)
            return
        with zipfile.ZipFile(path) as archive:
            yield _Archive(path, archive)
    except (
        OSError,
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        UnicodeError,
        zlib.error,
    ) as error:
        raise BundleError(
            f"bundle must be a folder or a .zip that survlstm export wrote; {path} can't be read: {error}"
        ) from error


def _index(path: Path, stored: _Files) -> _Index:
    size = stored.size(INDEX)
    if size is None:
        is_run = stored.size("checkpoints/best.pt") is not None
        advice = (
            "Export it first: survlstm export run=…" if is_run else "Name the folder or .zip that survlstm export wrote"
        )
        raise BundleError(f"a bundle must hold {INDEX}; found none in {path}. {advice}")
    if size > MOST_INDEX_BYTES:
        raise BundleError(
            f"{INDEX} of {path} must have at most {MOST_INDEX_BYTES:,} bytes; found {size:,}. Export it again"
        )
    try:
        with stored.open(INDEX) as stream:
            plain = parse_json(stream.read(size))
        if plain["format"] != FORMAT:
            raise BundleError(
                f"{path} must have the format {FORMAT!r}; its index says {plain['format']!r}. Name a bundle"
            )
        if plain["format_version"] > FORMAT_VERSION:
            raise BundleError(
                f"{path} was written by a newer survlstm (format {plain['format_version']}; this one reads up to "
                f"{FORMAT_VERSION}). Update survlstm"
            )
        index = _Index.model_validate(plain)
        content = {key: value for key, value in plain.items() if key != "sha256"}
        is_unchanged = index.sha256 == _sum(_canonical(content))
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise BundleError(
            f"{INDEX} of {path} can't be read ({type(error).__name__}). Copy the bundle again, or export it again"
        ) from error
    if not is_unchanged or any(_leads_elsewhere(name) for name in index.files):
        raise BundleError(
            f"{INDEX} of {path} has been changed since the export. Copy the bundle again, or export it again"
        )
    return index


def _leads_elsewhere(name: str) -> bool:
    return PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as stream:
            stream.write(data)
            os.fsync(stream.fileno())


def _write_zip(file: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
