"""Checksums over the files of a folder of the cache: a changed byte is noticed before it becomes data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from survlstm.utils.files import write_json

NAME = "sums.json"


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every file in ``folder`` beside the files; the last thing before the folder is used."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != NAME)
    write_json(folder / NAME, {path.name: _sum(path) for path in files}, private=True)


def find_damage(folder: Path) -> str:
    """Say what is wrong with the files of ``folder``; empty where all are as ``write_sums`` found them.

    Files without a sum are passed over. OSError where a file can't be read.
    """
    try:
        sums = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"it has no {NAME}: it is of an older survlstm, or not whole"
    except (ValueError, RecursionError):
        return f"{NAME} is damaged"
    if not (isinstance(sums, dict) and sums):
        return f"{NAME} is damaged"
    for name, expected in sums.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            return f"{NAME} names a file that is not there" if "/" in name else f"{name} is missing"
        if _sum(path) != expected:
            return f"{name} is not what was written: its checksum is wrong"
    return ""


def _sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
