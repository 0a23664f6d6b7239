"""Being woken by the database: one connection that listens, and comes back when it is lost."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
from psycopg import AsyncConnection, OperationalError, sql

from amarre.core import backoff

log = structlog.get_logger()

FIRST_WAIT = timedelta(milliseconds=200)
LONGEST_WAIT = timedelta(seconds=5)
# A connection that a network has swallowed says nothing: ask it now and then.
ASK_EVERY_S = 20.0


class Listener:
    """Listens on channels and calls back for each notification, and after each reconnection.

    What was sent while it was away is lost: `on_reconnect` says when to look by oneself.
    """

    def __init__(
        self,
        url: str,
        channels: Sequence[str],
        *,
        on_notice: Callable[[str, str], None],
        on_reconnect: Callable[[], None],
    ) -> None:
        """Take the callbacks: they get the channel and the payload, and must not block."""
        self._url = url
        self._channels = tuple(channels)
        self._on_notice = on_notice
        self._on_reconnect = on_reconnect
        self._task: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()

    async def start(self) -> None:
        """Start listening; returns when it does for the first time."""
        self._task = asyncio.create_task(self._run(), name="listener")
        await self._listening.wait()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._url, autocommit=True, prepare_threshold=None
                ) as conn:
                    await self._listen(conn)
                    failures = 0
                    await self._pass_on(conn)
            except OperationalError as lost:
                failures += 1
                log.warning("listener_lost", failures=failures, error=type(lost).__name__)
                pause = backoff.wait(failures, first=FIRST_WAIT, most=LONGEST_WAIT)
                await asyncio.sleep(pause.total_seconds())

    async def _listen(self, conn: AsyncConnection) -> None:
        for channel in self._channels:
            await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        if self._listening.is_set():
            self._on_reconnect()
        self._listening.set()

    async def _pass_on(self, conn: AsyncConnection) -> None:
        while True:
            async for notice in conn.notifies(timeout=ASK_EVERY_S):
                self._on_notice(notice.channel, notice.payload)
            await conn.execute("select 1")
