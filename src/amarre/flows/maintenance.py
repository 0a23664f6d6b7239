"""What keeps an installation tidy: dead workers' work, forgotten sign-ups, old rows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from amarre.flows.means import Means
from amarre.store import access, claim, delivery, link, request, worker
from amarre.store.wake import wake


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was deleted. `links` counts pairing links and codes that were seen."""

    deliveries: int
    links: int
    sessions: int


async def keep_claims(means: Means, now: datetime) -> None:
    """Say that this worker lives, and keep the claims that it works on."""
    await means.presence.stay(means.db.url, now=now)
    async with means.db.transaction() as conn:
        rows = means.presence.under_way
        await claim.extend(conn, means.worker, rows, lease=means.policy.lease, now=now)


async def give_back(means: Means, now: datetime) -> int:
    """Give the work of dead workers to the living; return how much that was."""
    async with means.db.transaction() as conn:
        freed = await worker.give_back(conn, now=now)
        if freed:
            await wake(conn, "all")
    return freed


async def sweep(means: Means, now: datetime) -> int:
    """Ask for the instances of sign-ups whose trigger was off or failed; return how many."""
    async with means.db.transaction() as conn:
        return await request.sweep(conn, now=now)


async def prune(means: Means, now: datetime) -> Pruned:
    """Delete what is past its time, in small transactions."""
    deliveries = 0
    while True:
        async with means.db.transaction() as conn:
            gone = await delivery.prune(conn, now=now, limit=PRUNE_AT_ONCE)
        deliveries += gone
        if gone < PRUNE_AT_ONCE:
            break
    async with means.db.transaction() as conn:
        return Pruned(
            deliveries=deliveries,
            links=await link.prune(conn, now=now) + await link.forget_codes(conn, now=now),
            sessions=await access.prune(conn, now=now),
        )


EXTEND_EVERY = timedelta(seconds=5)
SWEEP_EVERY = timedelta(minutes=1)
PRUNE_EVERY = timedelta(hours=1)
PRUNE_AT_ONCE = 5000
