"""Prefetch: prepare the next item in a thread while the caller uses the current one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")


def prefetch(prepare: Callable[[Item], Prepared], items: Iterable[Item]) -> Iterator[Prepared]:
    """Yield ``prepare(item)`` for every item, in order, computed one item ahead in a thread.

    An error of ``prepare`` is raised when its item is due.

    Args:
        prepare: Called once for each item, in the thread.
        items: The items, read one item ahead.

    Yields:
        The prepared items, in the order of ``items``.
    """
    with ThreadPoolExecutor(1) as thread:
        upcoming = None
        for item in items:
            current, upcoming = upcoming, thread.submit(prepare, item)
            if current is not None:
                yield current.result()
        if upcoming is not None:
            yield upcoming.result()
