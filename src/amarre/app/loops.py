"""The loops of a worker: wake when told or when the next row is due, run once, sleep.

No loop polls faster than once a second. Where the database cannot tell (LISTEN behind a
pooler in transaction mode), each looks once a second; else a look every few seconds is
only a net below NOTIFY.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from amarre.core.errors import AmarreError
from amarre.flows import intake, maintenance, pairing, provision, reconcile
from amarre.flows.means import Means
from amarre.store import claim, delivery, request
from amarre.store.conn import Conn

log = structlog.get_logger()

NET = timedelta(seconds=5)
POLL = timedelta(seconds=1)
SHORTEST = timedelta(milliseconds=10)
STORIES_AT_ONCE = 50
DELIVERIES_AT_ONCE = 500

RUNS = Counter("amarre_loop_runs", "Runs of a worker's loop that did something.", ["loop"])
FAILURES = Counter("amarre_loop_failures", "Runs of a worker's loop that failed.", ["loop"])
TOOK = Histogram("amarre_loop_seconds", "How long a run of a worker's loop took.", ["loop"])


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that does what is due and says how much that was; `next_due` says when more is."""

    name: str
    run: Callable[[Means, datetime], Awaitable[int]]
    every: timedelta
    next_due: Callable[[Conn], Awaitable[datetime | None]] | None = None


class Crew:
    """Stories under way, at most `at_once`: a slow one does not hold up the others.

    It is a loop's `run`: it takes as many as there is room for, and rings the loop's bell
    each time that one is done.
    """

    def __init__(
        self,
        take: Callable[[Means, datetime, int], Awaitable[Sequence[Coroutine[Any, Any, object]]]],
        *,
        at_once: int,
        bell: asyncio.Event,
    ) -> None:
        """Take stories from `take(means, now, limit)`."""
        self._take = take
        self._at_once = at_once
        self._bell = bell
        self._under_way: set[asyncio.Task[object]] = set()

    async def __call__(self, means: Means, now: datetime) -> int:
        """Begin what is due, as far as there is room; return how many stories that were."""
        room = self._at_once - len(self._under_way)
        if room <= 0:
            return 0
        stories = await self._take(means, now, room)
        for story in stories:
            task = asyncio.create_task(story)
            self._under_way.add(task)
            task.add_done_callback(self._done)
        return len(stories)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._under_way.discard(task)
        self._bell.set()
        if not task.cancelled() and (defect := task.exception()) is not None:
            # Its claim comes back by its lease; the other stories go on.
            log.error("story_broke", exc_info=defect)

    async def end(self) -> None:
        """End what is under way. What was claimed comes back by its lease."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


async def _reconcile(means: Means, now: datetime) -> int:
    return len(await reconcile.run(means, now))


async def _keep(means: Means, now: datetime) -> int:
    await maintenance.keep_claims(means, now)
    return 0


async def _prune(means: Means, now: datetime) -> int:
    pruned = await maintenance.prune(means, now)
    return pruned.deliveries + pruned.links + pruned.sessions


@dataclass(slots=True)
class Bells:
    """One bell a loop: rung by NOTIFY, by the door, or for all when something was missed."""

    events: dict[str, asyncio.Event] = field(default_factory=dict)

    def of(self, name: str) -> asyncio.Event:
        """Give a loop its bell."""
        return self.events.setdefault(name, asyncio.Event())

    def ring(self, name: str) -> None:
        """Wake one loop, or all of them by `all`."""
        for key, bell in self.events.items():
            if name in ("all", key):
                bell.set()


def loops(bells: Bells, *, listens: bool) -> tuple[Loop, ...]:
    """List the loops of a worker. Names are the queues that wake them."""
    net = NET if listens else POLL
    applying = Crew(intake.take, at_once=DELIVERIES_AT_ONCE, bell=bells.of("deliveries"))
    providing = Crew(provision.take, at_once=STORIES_AT_ONCE, bell=bells.of("provision"))
    tending = Crew(pairing.take, at_once=STORIES_AT_ONCE, bell=bells.of("instances"))
    return (
        Loop("deliveries", applying, net, delivery.next_due),
        Loop("provision", providing, net, request.next_due),
        Loop("instances", tending, net, claim.next_due),
        Loop("webhooks", reconcile.check_webhooks, NET),
        Loop("gateways", _reconcile, POLL),
        Loop("give_back", maintenance.give_back, POLL),
        Loop("sweep", maintenance.sweep, maintenance.SWEEP_EVERY),
        Loop("keep", _keep, maintenance.EXTEND_EVERY),
        Loop("prune", _prune, maintenance.PRUNE_EVERY),
    )


async def keep_running(loop: Loop, means: Means, bells: Bells) -> None:
    """Run a loop until it is cancelled. A failure is logged, and the next run tries again."""
    try:
        await _keep_running(loop, means, bells.of(loop.name))
    finally:
        if isinstance(loop.run, Crew):
            await loop.run.end()


async def _keep_running(loop: Loop, means: Means, bell: asyncio.Event) -> None:
    while True:
        bell.clear()
        did = await _run_once(loop, means)
        if did:
            continue
        pause = await _pause(loop, means)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(pause, SHORTEST).total_seconds()):
                await bell.wait()


async def _run_once(loop: Loop, means: Means) -> int:
    now = means.clock()
    try:
        did = await loop.run(means, now)
    except AmarreError as failed:
        FAILURES.labels(loop.name).inc()
        log.warning("loop_failed", loop=loop.name, code=failed.code)
        await asyncio.sleep(POLL.total_seconds())
        return 0
    except Exception:
        # A defect in one loop must not end the others; it is logged with its trace.
        FAILURES.labels(loop.name).inc()
        log.exception("loop_broke", loop=loop.name)
        await asyncio.sleep(POLL.total_seconds())
        return 0
    if did:
        RUNS.labels(loop.name).inc()
        TOOK.labels(loop.name).observe((means.clock() - now).total_seconds())
    return did


async def _pause(loop: Loop, means: Means) -> timedelta:
    if loop.next_due is None:
        return loop.every
    try:
        async with means.db.transaction() as conn:
            due_at = await loop.next_due(conn)
    except AmarreError as failed:
        log.warning("loop_failed", loop=loop.name, code=failed.code)
        return POLL
    return loop.every if due_at is None else min(loop.every, due_at - means.clock())
