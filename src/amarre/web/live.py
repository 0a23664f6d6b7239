"""One feed of events for every browser that is allowed to see them (server-sent events).

One task reads what is new when the database rings; each open page has a queue. The SSE id
is the event's id, so a laptop that slept gets what it missed. Ids are given before their
transactions commit, so each read looks back a little: an event that committed late is sent
late, not never.
"""

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from prometheus_client import Gauge

from amarre.core.errors import AmarreError
from amarre.store import event
from amarre.store.database import Database
from amarre.store.event import Event

log = structlog.get_logger()

LOOK_BACK = 500
REMEMBER = 2000
REPLAY = 1000
QUEUE = 500
NET_S = 1.0
HEARTBEAT_S = 15.0

OPEN = Gauge("amarre_live_pages", "Pages that follow the live feed.")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a page follows: the whole fleet, or one instance with its gateway."""

    instance: UUID | None = None
    gateway: UUID | None = None

    def wants(self, happened: Event) -> bool:
        """Say whether this page shows something of what happened."""
        if self.instance is None:
            return True
        if happened.instance_id is None:
            return happened.gateway_id is not None and happened.gateway_id == self.gateway
        return happened.instance_id == self.instance


@dataclass(eq=False, slots=True)
class Follower:
    """One open page."""

    topic: Topic
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))


class Live:
    """Hands new events to open pages. `run` is its task, `ring` wakes it, `close` ends all pages."""

    def __init__(self, db: Database) -> None:
        """Read from this database."""
        self._db = db
        self._followers: set[Follower] = set()
        self._bell = asyncio.Event()
        self._sent: OrderedDict[int, None] = OrderedDict()
        self._newest = 0
        self.closing = asyncio.Event()

    def ring(self) -> None:
        """Say that there may be something new."""
        self._bell.set()

    async def run(self) -> None:
        """Read and hand out until cancelled. Where nobody rings, look once a second."""
        started = False
        while True:
            try:
                if not started:
                    await self._start()
                    started = True
                await self._read()
            except AmarreError as failed:
                log.warning("feed_waits", code=failed.code)
            self._bell.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NET_S):
                    await self._bell.wait()

    async def _start(self) -> None:
        async with self._db.transaction() as conn:
            self._newest = await event.newest_id(conn)
            for old in await event.since(conn, self._newest - LOOK_BACK):
                self._sent[old.id] = None

    async def _read(self) -> None:
        after = max(self._newest - LOOK_BACK, 0)
        async with self._db.transaction() as conn:
            new = await event.since(conn, after, but=[one for one in self._sent if one > after])
        for happened in new:
            self._newest = max(self._newest, happened.id)
            self._sent[happened.id] = None
            self._hand_out(happened)
        while len(self._sent) > REMEMBER:
            self._sent.popitem(last=False)

    def _hand_out(self, happened: Event) -> None:
        for follower in list(self._followers):
            if not follower.topic.wants(happened):
                continue
            try:
                follower.queue.put_nowait(happened)
            except asyncio.QueueFull:
                # Too slow: end its stream. It comes back and says what it has seen last.
                self._followers.discard(follower)
                follower.queue = asyncio.Queue()
                follower.queue.put_nowait(None)

    def close(self) -> None:
        """End all pages' streams; they come back when the service does."""
        self.closing.set()
        for follower in list(self._followers):
            with contextlib.suppress(asyncio.QueueFull):
                follower.queue.put_nowait(None)

    async def follow(
        self, topic: Topic, *, last_id: int | None, now: datetime, still_here: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[str]:
        """Give a page its stream: what it missed since `last_id`, then what happens.

        `still_here` is awaited at each heartbeat; False ends the stream (the session ended).
        """
        follower = Follower(topic)
        self._followers.add(follower)
        OPEN.inc()
        try:
            yield _message("hello", {"now": now.isoformat()}, None)
            if last_id is not None:
                for missed in await self._missed(last_id):
                    if topic.wants(missed):
                        yield _changed(missed)
            async for text in self._stream(follower, still_here):
                yield text
        finally:
            self._followers.discard(follower)
            OPEN.dec()

    async def _missed(self, last_id: int) -> list[Event]:
        """Read what a page has missed. A page shows the present, so of very much the end will do."""
        async with self._db.transaction() as conn:
            newest = await event.newest_id(conn)
            return await event.since(conn, max(last_id, newest - REPLAY), limit=REPLAY)

    async def _stream(
        self, follower: Follower, still_here: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[str]:
        while not self.closing.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    happened = await follower.queue.get()
            except TimeoutError:
                if not await still_here():
                    return
                yield ": still here\n\n"
                continue
            if happened is None:
                return
            yield _changed(happened)


def _changed(happened: Event) -> str:
    told = {
        "at": happened.at.isoformat(),
        "kind": happened.kind,
        "instance": str(happened.instance_id) if happened.instance_id else None,
    }
    return _message("changed", told, happened.id)


def _message(name: str, told: dict[str, str | None], number: int | None) -> str:
    lines = [f"event: {name}", f"data: {json.dumps(told)}"]
    if number is not None:
        lines.insert(0, f"id: {number}")
    return "\n".join(lines) + "\n\n"
