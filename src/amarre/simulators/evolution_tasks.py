"""The work that goes on behind a simulator's answers, and how to wait for what it does."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any


class Tasks:
    """Tasks that end with the simulator. One that crashed is raised by `stop`, never swallowed."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._crashes: list[BaseException] = []

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start some work."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (crash := task.exception()) is not None:
            self._crashes.append(crash)

    async def stop(self) -> None:
        """Cancel what still runs.

        Raises:
            BaseException: the first crash of any task since the start.
        """
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._crashes:
            raise self._crashes[0]


class Pulse:
    """Tells whoever waits that something changed."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Wake everybody who waits."""
        self._next.set()
        self._next = asyncio.Event()

    async def until(self, claim: Callable[[], bool], *, within: timedelta) -> None:
        """Wait until the claim is true.

        Raises:
            TimeoutError: it was not true in time.
        """
        async with asyncio.timeout(within.total_seconds()):
            while not claim():
                await self._next.wait()
