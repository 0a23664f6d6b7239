"""Work that is done by itself: the real loops, woken by the database as in a real process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from amarre.app.loops import Bells, keep_running, loops
from amarre.store.database import Listener
from amarre.store.wake import CHANNEL, EVENTS
from tests.story.harbour import Harbour


@asynccontextmanager
async def running(h: Harbour) -> AsyncGenerator[None]:
    """Run an installation's loops, and wake them and the open pages by NOTIFY."""
    means, bells = h.means, Bells()

    def woken(channel: str, payload: str) -> None:
        if channel == EVENTS:
            h.live.ring()
        else:
            bells.ring(payload or "all")

    await means.presence.enter(means.db.url, locked=means.db.session.session_locks, now=means.clock())
    tasks = [
        asyncio.create_task(keep_running(one, means, bells), name=one.name)
        for one in loops(bells, listens=True)
    ]
    listener = Listener(
        means.db.url, [CHANNEL, EVENTS], on_notice=woken, on_reconnect=lambda: bells.ring("all")
    )
    await listener.start()
    try:
        yield
    finally:
        await listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await means.presence.leave(now=means.clock())
