"""Checksums of the files in a cache folder, so that a damaged file is detected before it is used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from survlstm.utils.files import write_json

NAME = "sums.json"


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file in ``folder`` to ``sums.json``; call it after the last file has been written.

    Args:
        folder: Folder of the files; files in folders below it are left out.

    Raises:
        OSError: If a file can't be read or ``sums.json`` can't be written.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != NAME)
    write_json(folder / NAME, {path.name: _sum(path) for path in files}, private=True)


def find_damage(folder: Path) -> str:
    """Compare the files in ``folder`` with their checksums.

    Files without a checksum are not checked.

    Args:
        folder: Folder with the ``sums.json`` that ``write_checksums`` wrote.

    Returns:
        A description of the first difference, empty if there is none.

    Raises:
        OSError: If a file can't be read.
    """
    try:
        sums = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"it has no {NAME}: it is incomplete, or an older survlstm wrote it"
    except (ValueError, RecursionError):
        return f"{NAME} is damaged"
    if not (isinstance(sums, dict) and sums):
        return f"{NAME} is damaged"
    for name, expected in sums.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            return f"{NAME} lists a file that is not in the folder" if "/" in name else f"{name} is missing"
        if _sum(path) != expected:
            return f"{name} is not what was written: its checksum is wrong"
    return ""


def _sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
