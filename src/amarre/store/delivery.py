"""Webhooks as they came in: kept before they are answered, applied afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from amarre.store.conn import Conn
from amarre.store.wake import wake


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery at the door: redacted, not yet known to be from whom it says.

    `matters` says that it can change the connection, so that it is worth waking workers.
    """

    instance: str
    secret_hash: bytes
    event: str
    subject: str
    body: Mapping[str, Any]
    body_hash: bytes
    received_at: datetime
    matters: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of an arrival. `instance_id` is None when its secret is not the instance's."""

    instance_id: UUID | None
    fresh: bool


KEEP = """
    -- One statement for all that arrived together: who is who, and what is new.
    with arrived as (
        select *
          from unnest(%(n)s::int[], %(name)s::text[], %(secret)s::bytea[], %(event)s::text[],
                      %(subject)s::text[], %(body)s::jsonb[], %(hash)s::bytea[], %(at)s::timestamptz[],
                      %(matters)s::bool[])
            as a (n, name, secret, event, subject, body, hash, at, matters)
    ), known as (
        select a.*, i.id as instance_id
          from arrived a
          join amarre.instances i on i.name = a.name
          join amarre.instance_secrets s on s.instance_id = i.id and s.hook_hash = a.secret
    ), kept as (
        insert into amarre.deliveries (instance_id, event, subject, body, body_hash, received_at,
                                       due_at, applied_at, outcome)
        select instance_id, event, subject, body, hash, at,
               case when matters then at end, case when matters then null else at end,
               case when matters then null else 'kept' end
          from known
         order by n
            on conflict (instance_id, body_hash) do nothing
     returning instance_id, body_hash
    ), held as (
        -- In one order for everybody: two doors that keep for the same instances would
        -- wait for each other until one of them is shot.
        select i.id
          from amarre.instances i
         where i.id = any (array(select instance_id from known))
         order by i.id
           for no key update
    ), touched as (
        update amarre.instances i
           set last_delivery_at = t.at,
               last_traffic_at = coalesce(t.traffic_at, i.last_traffic_at)
          from (select instance_id, max(at) as at,
                       max(at) filter (where subject = 'message') as traffic_at
                  from known group by instance_id) t
          join held on held.id = t.instance_id
         where i.id = t.instance_id
    )
    select k.n, k.instance_id,
           exists (select from kept where kept.instance_id = k.instance_id
                                      and kept.body_hash = k.hash) as fresh
      from known k
"""


async def keep(conn: Conn, arrivals: Sequence[Arrival]) -> list[Kept]:
    """Keep deliveries that arrived together; the answers are in the order of the arrivals.

    Call it in a transaction: a sender may be told 2xx when that has been committed.
    """
    rows = await (
        await conn.execute(
            KEEP,
            {
                "n": list(range(len(arrivals))),
                "name": [a.instance for a in arrivals],
                "secret": [a.secret_hash for a in arrivals],
                "event": [a.event for a in arrivals],
                "subject": [a.subject for a in arrivals],
                "body": [Jsonb(a.body) for a in arrivals],
                "hash": [a.body_hash for a in arrivals],
                "at": [a.received_at for a in arrivals],
                "matters": [a.matters for a in arrivals],
            },
        )
    ).fetchall()
    found = {int(row["n"]): Kept(UUID(str(row["instance_id"])), bool(row["fresh"])) for row in rows}
    if any(arrivals[n].matters and kept.fresh for n, kept in found.items()):
        await wake(conn, "deliveries")
    return [found.get(n, Kept(None, fresh=False)) for n in range(len(arrivals))]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that has not been applied yet."""

    id: int
    instance_id: UUID
    event: str
    subject: str
    body: dict[str, Any]
    received_at: datetime
    failures: int


CLAIM_DUE = """
    -- The claim is a lease on due_at: what a dead worker took comes back by itself. All that
    -- waits for an instance is taken together, so that a storm is one decision.
    update amarre.deliveries
       set due_at = %(now)s + %(lease)s
     where id = any (array(select id
                             from amarre.deliveries
                            where due_at <= %(now)s
                            order by due_at, id
                            limit %(limit)s
                              for update skip locked))
 returning id, instance_id, event, subject, body, received_at, failures
"""


async def claim_due(conn: Conn, *, lease: timedelta, limit: int, now: datetime) -> list[Waiting]:
    """Claim up to `limit` deliveries that wait to be applied, in order of arrival."""
    async with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(CLAIM_DUE, {"lease": lease, "limit": limit, "now": now})
        return sorted(await cursor.fetchall(), key=lambda waiting: waiting.id)


STILL_WAITING = """
    -- What waits has no applied_at. To ask for its due_at, here and below, would offer an
    -- index that may hold every delivery of a storm.
    select id from amarre.deliveries where id = any (%(ids)s) and applied_at is null for update
"""


async def still_waiting(conn: Conn, ids: Sequence[int]) -> set[int]:
    """Say which of these nobody has applied meanwhile, and hold them."""
    rows = await (await conn.execute(STILL_WAITING, {"ids": list(ids)})).fetchall()
    return {int(row["id"]) for row in rows}


APPLIED = """
    update amarre.deliveries
       set applied_at = %(now)s, due_at = null, outcome = coalesce(o.outcome, 'applied')
      from unnest(%(ids)s::bigint[], %(outcomes)s::text[]) as o (id, outcome)
     where deliveries.id = o.id and deliveries.applied_at is null
"""


async def applied(conn: Conn, outcomes: Mapping[int, str | None], *, now: datetime) -> None:
    """Mark deliveries as applied, each with what came of it."""
    values = {"ids": list(outcomes), "outcomes": list(outcomes.values()), "now": now}
    await conn.execute(APPLIED, values)


POSTPONE = """
    update amarre.deliveries set failures = failures + 1, due_at = %(at)s
     where id = any (%(ids)s) and applied_at is null
"""


async def postpone(conn: Conn, ids: Sequence[int], *, at: datetime) -> None:
    """Look at deliveries again at `at`: what they mean could not be told yet."""
    await conn.execute(POSTPONE, {"ids": list(ids), "at": at})


NEXT_DUE = """
    select due_at as at from amarre.deliveries where due_at is not null order by due_at limit 1
"""


async def next_due(conn: Conn) -> datetime | None:
    """Say when the next delivery is due; None when none waits."""
    row = await (await conn.execute(NEXT_DUE)).fetchone()
    return row["at"] if row else None


OF_INSTANCE = """
    select id, event, subject, received_at, applied_at, outcome
      from amarre.deliveries
     where instance_id = %(instance)s
     order by id desc
     limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A delivery as a person is shown it: without its body."""

    id: int
    event: str
    subject: str
    received_at: datetime
    applied_at: datetime | None
    outcome: str | None


async def of_instance(conn: Conn, instance: UUID, *, limit: int = 50) -> list[Seen]:
    """Read the newest deliveries of an instance."""
    async with conn.cursor(row_factory=class_row(Seen)) as cursor:
        await cursor.execute(OF_INSTANCE, {"instance": instance, "limit": limit})
        return await cursor.fetchall()


PRUNE = """
    -- Three days; messages seven, and those are not read through to find the others. What
    -- has not been applied is never pruned.
    delete from amarre.deliveries
     where id = any (array((select id from amarre.deliveries
                             where due_at is null and received_at < %(now)s - interval '7 days'
                             order by received_at
                             limit %(limit)s)
                     union (select id from amarre.deliveries
                             where due_at is null and subject <> 'message'
                               and received_at < %(now)s - interval '3 days'
                             order by received_at
                             limit %(limit)s)
                     limit %(limit)s))
"""


async def prune(conn: Conn, *, now: datetime, limit: int = 5000) -> int:
    """Delete what is past its time, at most `limit` rows; return how many."""
    return (await conn.execute(PRUNE, {"now": now, "limit": limit})).rowcount
