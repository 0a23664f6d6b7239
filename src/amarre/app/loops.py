"""The loops of a worker: wake when told or when the next row is due, run once, sleep.

No loop polls faster than once a second. Where the database cannot tell (LISTEN behind a
pooler in transaction mode), each looks once a second; else a look every few seconds is
only a net below NOTIFY.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

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

RUNS = Counter("amarre_loop_runs", "Runs of a worker's loop that did something.", ["loop"])
FAILURES = Counter("amarre_loop_failures", "Runs of a worker's loop that failed.", ["loop"])
TOOK = Histogram("amarre_loop_seconds", "How long a run of a worker's loop took.", ["loop"])


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop. `run` does what is due and says how much that was; `next_due` when more is."""

    name: str
    run: Callable[[Means, datetime], Awaitable[int]]
    every: timedelta
    next_due: Callable[[Conn], Awaitable[datetime | None]] | None = None


async def _provision(means: Means, now: datetime) -> int:
    return (await provision.run(means, now)).processed


async def _reconcile(means: Means, now: datetime) -> int:
    return len(await reconcile.run(means, now))


async def _keep(means: Means, now: datetime) -> int:
    await maintenance.keep_claims(means, now)
    return 0


async def _prune(means: Means, now: datetime) -> int:
    pruned = await maintenance.prune(means, now)
    return pruned.deliveries + pruned.links + pruned.sessions


def loops(*, listens: bool) -> tuple[Loop, ...]:
    """List the loops of a worker. Names are the queues that wake them."""
    net = NET if listens else POLL
    return (
        Loop("deliveries", intake.apply, net, delivery.next_due),
        Loop("provision", _provision, net, request.next_due),
        Loop("instances", pairing.run, net, claim.next_due),
        Loop("webhooks", reconcile.check_webhooks, NET),
        Loop("gateways", _reconcile, POLL),
        Loop("give_back", maintenance.give_back, POLL),
        Loop("sweep", maintenance.sweep, maintenance.SWEEP_EVERY),
        Loop("keep", _keep, maintenance.EXTEND_EVERY),
        Loop("prune", _prune, maintenance.PRUNE_EVERY),
    )


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


async def keep_running(loop: Loop, means: Means, bells: Bells) -> None:
    """Run a loop until it is cancelled. A failure is logged, and the next run tries again."""
    bell = bells.of(loop.name)
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
