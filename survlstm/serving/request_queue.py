"""Jobs of many requests → a few threads, and a queue that is never long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from survlstm.serving.errors import RequestError

Result = TypeVar("Result")


class RequestQueue:
    """``at_once`` jobs run in threads of their own, ``waiting`` more requests wait; who comes then is sent away."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="answer")
        self._most = at_once + waiting
        self._inside = 0
        self._jobs: set[Future[Any]] = set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request, taken before its body is read: a body in memory is what costs. Problem 503."""
        if self._inside >= self._most:
            raise RequestError(
                503,
                f"at most {self._most} requests can be answered or wait at once; found more. Ask again in a moment",
                headers={"Retry-After": "1"},
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, job: Callable[[], Result]) -> Result:
        """The job's result, from a thread, while the event loop goes on."""
        begun = self._threads.submit(job)
        self._jobs.add(begun)
        begun.add_done_callback(self._jobs.discard)
        return await asyncio.wrap_future(begun)

    def close(self) -> bool:
        """Begin no job any more, without waiting; whether all are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        return all(job.done() for job in tuple(self._jobs))
