"""Named files → a folder or a zip archive with their sums, written whole; and back, every byte checked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, ValidationError

from survlstm.errors import BundleError
from survlstm.section import Section

FORMAT = "survlstm bundle"
FORMAT_VERSION = 1
INDEX = "bundle.json"
# More than any index holds: what claims to be one and is larger is not read.
MOST_INDEX_BYTES = 1 << 24


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
    """The checked files of a bundle, and what its index says about it."""

    about: dict[str, Any]
    files: dict[str, bytes]


def write_container(path: Path, files: Mapping[str, bytes], about: dict[str, Any]) -> None:
    """A folder, or a zip archive where the name ends in .zip; BundleError where it stands already or can't be written.

    Nothing stands at ``path`` before all of it is written.
    """
    if path.exists():
        raise BundleError(f"output must be new; {path} is there already. Remove it, or name another output")
    listed = {name: {"bytes": len(data), "sha256": _sum(data)} for name, data in sorted(files.items())}
    index = {"format": FORMAT, "format_version": FORMAT_VERSION, "about": about, "files": listed}
    index["sha256"] = _sum(_canonical(index))
    everything = {INDEX: (json.dumps(index, indent=2, allow_nan=False) + "\n").encode(), **files}
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        (_write_zip if path.suffix == ".zip" else _write_folder)(aside, everything)
        aside.rename(path)
    except OSError as error:
        raise BundleError(
            f"a bundle must be written to {path}; the system says: {error}. Name another output"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):
            aside.unlink()


def read_container(path: Path) -> Container:
    """Read and check a bundle; BundleError for what is none, is newer, or is not what was written."""
    with _opened(path) as found:
        index = _index(path, found)
        files = {}
        for name, listed in index.files.items():
            if name not in found.sizes:
                raise BundleError(f"a bundle must hold every file that it lists; {path} lacks {name}. Export it again")
            # A size that is not the listed one is not worth reading.
            data = found.read(name) if found.sizes[name] == listed.bytes else b""
            if len(data) != listed.bytes or _sum(data) != listed.sha256:
                raise BundleError(
                    f"every file of a bundle must be what was exported; {name} in {path} has been changed or damaged "
                    "since. Copy it again, or export it again"
                )
            files[name] = data
    return Container(index.about, files)


class _Files:
    """The files of a folder or an archive by name, with their sizes."""

    def __init__(self, sizes: dict[str, int], open_file: Any) -> None:
        self.sizes = sizes
        self._open = open_file

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        with self._open(name) as stream:
            data: bytes = stream.read()
        return data


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if not path.exists():
        raise BundleError(f"bundle must be what survlstm export wrote; found nothing at {path}")
    try:
        if path.is_dir():
            names = [name for name in _names_below(path) if stat.S_ISREG((path / name).stat().st_mode)]
            yield _Files({name: (path / name).stat().st_size for name in names}, lambda name: (path / name).open("rb"))
            return
        with zipfile.ZipFile(path) as archive:
            yield _Files({info.filename: info.file_size for info in archive.infolist()}, archive.open)
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise BundleError(
            f"bundle must be a folder or a .zip that survlstm export wrote; {path} can't be read: {error}"
        ) from error


def _names_below(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*")]


def _index(path: Path, found: _Files) -> _Index:
    if INDEX not in found.sizes:
        is_run = "checkpoints/best.pt" in found.sizes
        advice = "Export it first: survlstm export run=…" if is_run else "Name what survlstm export wrote"
        raise BundleError(f"a bundle must hold {INDEX}; found none in {path}. {advice}")
    if found.sizes[INDEX] > MOST_INDEX_BYTES:
        raise BundleError(f"{INDEX} of {path} must be an index; it has {found.sizes[INDEX]:,} bytes. Export it again")
    try:
        plain = json.loads(found.read(INDEX))
        if plain["format"] != FORMAT:
            raise BundleError(f"{path} must be a {FORMAT}; its index says {plain['format']!r}")
        if plain["format_version"] > FORMAT_VERSION:
            raise BundleError(
                f"{path} was written by a newer survlstm (format {plain['format_version']}; this one reads up to "
                f"{FORMAT_VERSION}). Update survlstm"
            )
        index = _Index.model_validate(plain)
        unsealed = {key: value for key, value in plain.items() if key != "sha256"}
        sealed = index.sha256 == _sum(_canonical(unsealed))
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise BundleError(
            f"{INDEX} of {path} can't be read ({type(error).__name__}). Copy the bundle again, or export it again"
        ) from error
    strange = [name for name in index.files if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    if not sealed or strange:
        raise BundleError(
            f"{INDEX} of {path} has been changed since the export. Copy the bundle again, or export again"
        )
    return index


def _write_folder(aside: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        with (aside / name).open("wb") as stream:
            stream.write(data)
            os.fsync(stream.fileno())


def _write_zip(aside: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _sum(data: bytes) -> str:
    return hashlib.file_digest(io.BytesIO(data), "sha256").hexdigest()
