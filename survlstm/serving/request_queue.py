"""Run the jobs of requests in a few threads, with a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from survlstm.serving.errors import RequestError

Result = TypeVar("Result")


class RequestQueue:
    """A queue for requests whose jobs run in threads; further requests get status 503.

    Args:
        at_once: Jobs that run at the same time.
        waiting: Further requests that may wait.
    """

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="answer")
        self._capacity = at_once + waiting
        self._admitted = 0
        self._jobs: set[Future[Any]] = set()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Admit one request until the block ends.

        Enter it before the body is read, because the bodies of waiting requests are what takes memory.

        Raises:
            RequestError: Status 503; the queue is full.
        """
        if self._admitted >= self._capacity:
            raise RequestError(
                503,
                f"at most {self._capacity} requests can be answered or wait at once; found more. Try again in a moment",
                headers={"Retry-After": "1"},
            )
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def run(self, job: Callable[[], Result]) -> Result:
        """Run a job in a thread and return its result, without blocking the event loop.

        Args:
            job: The function to call; an error that it raises is raised here.

        Returns:
            What ``job`` returns.

        Raises:
            RuntimeError: The queue is closed.
            CancelledError: The queue was closed before a thread was free for the job.
        """
        future = self._threads.submit(job)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return await asyncio.wrap_future(future)

    def close(self) -> bool:
        """Start no further jobs, without waiting; return whether all have finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        return all(job.done() for job in tuple(self._jobs))
