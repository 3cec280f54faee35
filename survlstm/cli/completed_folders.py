"""Find the folders of runs, sweeps and bundles that complete a path on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

# A completion that takes longer than a moment, or fills the screen, is of no use.
MOST_SEARCHED = 2000
MOST_SUGGESTED = 100

IsWanted = Callable[[Collection[str]], bool]


def is_sweep(files: Collection[str]) -> bool:
    """Return whether a folder with these files is the folder of a sweep."""
    return "sweep.json" in files


def is_bundle(files: Collection[str]) -> bool:
    """Return whether a folder with these files is a bundle."""
    return "bundle.json" in files


def complete_folder(written: str, is_wanted: IsWanted) -> list[str]:
    """Complete a path to folders of one kind.

    Args:
        written: The beginning of the path.
        is_wanted: Whether a folder with these files is of the kind.

    Returns:
        The folders of that kind whose paths begin with ``written``, sorted; if there is none, the folders on the next
        level, each with a slash at its end. Paths with white space are left out: shells split the suggestions at it.
    """
    begun = [path for path in _folders_in(os.path.dirname(written)) if path.startswith(written)]
    budget = iter(range(MOST_SEARCHED))
    found = [path for start in begun for path in _search(start, is_wanted, budget)]
    return sorted(found)[:MOST_SUGGESTED] or [f"{path}/" for path in begun[:MOST_SUGGESTED]]


def complete_any_folder(written: str) -> list[str]:
    """Complete a path to the folders on its next level, each with a slash at its end.

    Args:
        written: The beginning of the path.

    Returns:
        The folders, sorted, without those whose names hold white space.
    """
    return [f"{path}/" for path in _folders_in(os.path.dirname(written)) if path.startswith(written)][:MOST_SUGGESTED]


def zip_files(written: str) -> list[str]:
    """Complete a path to files that end in ``.zip``, as a bundle may be.

    Args:
        written: The beginning of the path.

    Returns:
        The files, sorted, without those whose names hold white space.
    """
    parent = os.path.dirname(written)
    names = sorted(path.name for path in _entries(parent) if path.suffix == ".zip" and path.is_file())
    return [path for path in (os.path.join(parent, name) for name in names) if path.startswith(written)]


def _search(start: str, is_wanted: IsWanted, budget: Iterator[int]) -> Iterator[str]:
    for parent, folders, files in os.walk(start):
        if next(budget, None) is None:
            return
        if is_wanted(files):
            yield parent
            folders.clear()
        folders[:] = sorted(name for name in folders if _is_shown(name))


def _folders_in(parent: str) -> list[str]:
    return sorted(os.path.join(parent, path.name) for path in _entries(parent) if path.is_dir())


def _entries(parent: str) -> list[Path]:
    try:
        return [path for path in Path(parent or ".").iterdir() if _is_shown(path.name)]
    except OSError:
        return []


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and not any(character.isspace() for character in name)
