"""Find the files of a MEDS dataset, and check its version."""

from __future__ import annotations

import logging
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from survlstm.data.sources.meds.names import (
    CODES_FILE,
    DATA,
    DATASET_FILE,
    DAY_TOLERANCE_KEY,
    FORMAT,
    FORMAT_KEY,
    METADATA,
    SOURCE_SUBJECTS_FILE,
    SPLITS_FILE,
    SURVLSTM_FILE,
)
from survlstm.utils.errors import SourceError
from survlstm.utils.stored_files import read_json

log = logging.getLogger(__name__)

_MAGIC = b"PAR1"
_SUFFIX = ".parquet"
_OTHER_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".jsonl", ".ndjson")
# The version whose columns are read, and the most folders that a message lists.
_VERSION = (0, 4)
_SHOWN = 5


class MedsFiles(NamedTuple):
    """The files of a MEDS dataset.

    Attributes:
        folder: Folder of the dataset.
        shards: Parquet files below ``data/``, sorted by path.
    """

    folder: Path
    shards: tuple[Path, ...]

    def metadata(self, name: str) -> Path | None:
        """Return a file of ``metadata/``; None if the dataset lacks it.

        Args:
            name: Name of the file, such as ``codes.parquet``.
        """
        path = self.folder / METADATA / name
        return path if path.exists() else None

    def all(self) -> list[Path]:
        """Return the shards and the files of ``metadata/`` that shape what is read, sorted by path."""
        names = (DATASET_FILE, CODES_FILE, SPLITS_FILE, SURVLSTM_FILE, SOURCE_SUBJECTS_FILE)
        return sorted([*self.shards, *(path for name in names if (path := self.metadata(name)) is not None)])

    def shown(self, path: Path) -> str:
        """Return the path of a file for a message, relative to the dataset."""
        return str(path.relative_to(self.folder))


def find_dataset(folder: Path) -> MedsFiles:
    """Find the shards of a dataset, and check that its version is one that is read.

    Hidden files, and those whose names begin with an underscore, are no shards.

    Args:
        folder: Folder of the dataset.

    Returns:
        The files.

    Raises:
        SourceError: The folder can't be read, holds no parquet file below ``data/``, or holds a dataset of another
            version.
    """
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "is not there"
        raise SourceError(
            f"data.path must be the folder of a MEDS dataset; {folder} {state}. Set data.path to the folder that "
            f"holds {DATA}/ and {METADATA}/."
        )
    data = folder / DATA
    if not data.is_dir():
        raise SourceError(
            f"{folder} must hold a folder {DATA} with the parquet files of a MEDS dataset; it holds none"
            f"{_hint(folder)}."
        )
    shards = _shards(data)
    if not shards:
        raise SourceError(
            f"{folder} must hold parquet files below {DATA}/; it holds {_others(data)}. Write the dataset as parquet, "
            "as the MEDS standard asks."
        )
    files = MedsFiles(folder, shards)
    for path in shards:
        _check_file(files, path)
    _check_version(files)
    return files


def read_day_tolerance(files: MedsFiles) -> int:
    """Return by how many days an entry dated to the day can differ from a timed entry of the same moment.

    Args:
        files: Files of the dataset.

    Returns:
        The value of ``metadata/survlstm.json``; 0 without the file, because a MEDS dataset has one clock.

    Raises:
        SourceError: The file can't be read, or is of another format.
    """
    path = files.metadata(SURVLSTM_FILE)
    if path is None:
        return 0
    content = _read_json(files, path)
    form, days = content.get(FORMAT_KEY), content.get(DAY_TOLERANCE_KEY)
    if type(form) is not int or form != FORMAT:
        raise SourceError(
            f"{files.shown(path)} must have {FORMAT_KEY} {FORMAT}; found another. Read the dataset with the version of "
            "survlstm that wrote it, or convert it again."
        )
    if type(days) is not int or days not in (0, 1):
        raise SourceError(f"{files.shown(path)} must have {DAY_TOLERANCE_KEY} 0 or 1; found another. Convert it again.")
    return days


@contextmanager
def read_errors(files: MedsFiles, path: Path) -> Iterator[None]:
    """Turn the errors of a parquet file into a SourceError that names the file and quotes none of its content.

    Args:
        files: Files of the dataset.
        path: The file that is read inside the context.
    """
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        # The parquet reader raises OSError without a number for damaged content.
        reason = error.strerror if isinstance(error, OSError) and error.errno else ""
        raise SourceError(
            f"every parquet file of a MEDS dataset must be readable; {files.shown(path)} is not: "
            f"{reason or _damage(path)}. Write or copy the file again ({files.folder})."
        ) from None


def _damage(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            begins = stream.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        return error.strerror or "it can't be opened"
    return "it is truncated or damaged" if begins else "it is not a parquet file, whatever its name says"


def _shards(data: Path) -> tuple[Path, ...]:
    try:
        found = sorted(path for path in data.rglob("*") if path.name.lower().endswith(_SUFFIX))
    except OSError as error:
        raise SourceError(
            f"{data} must be a folder that can be read; the system says: {error.strerror}. Give yourself the right to "
            "read it, or copy it."
        ) from None
    return tuple(
        path for path in found if not any(part.startswith((".", "_")) for part in path.relative_to(data).parts)
    )


def _check_file(files: MedsFiles, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        kind = "a link to nothing" if path.is_symlink() else f"not readable ({error.strerror})"
    else:
        if stat.S_ISREG(mode):
            return
        kind = "a folder" if stat.S_ISDIR(mode) else "neither a file nor a folder"
    raise SourceError(
        f"every {_SUFFIX} below {DATA}/ must be a file; {files.shown(path)} is {kind}. Put the file in its place "
        f"({files.folder})."
    )


def _check_version(files: MedsFiles) -> None:
    path = files.metadata(DATASET_FILE)
    if path is None:
        return
    written = _read_json(files, path).get("meds_version")
    if written is None:
        return
    number = re.match(r"(\d{1,4})\.(\d{1,4})", written) if isinstance(written, str) else None
    if number is None:
        raise SourceError(
            f"{files.shown(path)} must give meds_version as a version, as in 0.4.0; found another value. Correct it."
        )
    version = (int(number[1]), int(number[2]))
    if version < _VERSION:
        raise SourceError(
            f"a dataset of MEDS 0.4 is read; {files.shown(path)} says version {number[0]}, whose columns have other "
            "names and types (patient_id in place of subject_id, for example). Convert the dataset to MEDS 0.4."
        )
    if version > _VERSION:
        log.info("%s: MEDS %s is read as MEDS 0.4", files.folder, number[0])


def _read_json(files: MedsFiles, path: Path) -> dict[str, object]:
    try:
        content = read_json(path)
    except OSError as error:
        raise SourceError(f"{files.shown(path)} must be readable; the system says: {error.strerror}.") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise SourceError(f"{files.shown(path)} must be a JSON file with one object; it is not. Write it again.")
    return content


def _hint(folder: Path) -> str:
    """Say what else the folder looks like, for the end of a message."""
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        return f" that can be seen, because the system says: {error.strerror}"
    if any(child.name.lower().startswith("patients.csv") for child in children):
        return ", but patients.csv: for a Synthea CSV export set data=synthea"
    inside = [child.name for child in children if (child / DATA).is_dir()]
    if inside:
        shown = ", ".join(inside[:_SHOWN]) + (f" and {len(inside) - _SHOWN:,} more" if len(inside) > _SHOWN else "")
        return f", but {len(inside)} folders with a folder {DATA}: {shown}. Set data.path to one of them"
    return ""


def _others(data: Path) -> str:
    others = sum(path.name.lower().endswith(_OTHER_SUFFIXES) for path in data.rglob("*"))
    return f"none, but {others:,} files of CSV or JSON" if others else "none"
