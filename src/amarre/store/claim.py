"""Taking instances to work on, one worker at a time, and giving them back.

Only the holder of a claim calls what changes something at the gateway: parallel connects
open parallel sockets there, parallel creates destroy one another. A claim is a lease.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import DictRow

from amarre.store import instance
from amarre.store.conn import Conn
from amarre.store.instance import Instance

CLAIM_DUE = """
    -- An array, here and below: with `in (select ...)` a planner that knows neither the limit
    -- nor what is due may join with the whole table.
    update amarre.instances
       set claimed_by = %(worker)s, lease_until = %(now)s + %(lease)s, claim_no = claim_no + 1
     where id = any (array(select id
                             from amarre.instances
                            where due_at <= %(now)s and claimed_by is null
                            order by due_at
                            limit %(limit)s
                              for update skip locked))
 returning id
"""
CLAIM_WEBHOOKS = """
    update amarre.instances
       set claimed_by = %(worker)s, lease_until = %(now)s + %(lease)s, claim_no = claim_no + 1
     where id = any (array(select id
                             from amarre.instances
                            where webhook_due_at <= %(now)s and claimed_by is null
                              and wanted = 'present' and created_remotely_at is not null
                            order by webhook_due_at
                            limit %(limit)s
                              for update skip locked))
 returning id
"""
CLAIM_ONE = """
    update amarre.instances
       set claimed_by = %(worker)s, lease_until = %(now)s + %(lease)s, claim_no = claim_no + 1
     where id = %(id)s and (claimed_by is null or lease_until <= %(now)s)
 returning id
"""


async def claim_due(
    conn: Conn, *, worker: int, lease: timedelta, limit: int, now: datetime
) -> list[Instance]:
    """Claim up to `limit` instances that are due, oldest first."""
    values = {"worker": worker, "lease": lease, "limit": limit, "now": now}
    return await _read(conn, await (await conn.execute(CLAIM_DUE, values)).fetchall())


async def claim_webhooks(
    conn: Conn, *, worker: int, lease: timedelta, limit: int, now: datetime
) -> list[Instance]:
    """Claim up to `limit` instances whose webhook is to be read back."""
    values = {"worker": worker, "lease": lease, "limit": limit, "now": now}
    return await _read(conn, await (await conn.execute(CLAIM_WEBHOOKS, values)).fetchall())


async def claim_one(
    conn: Conn, instance_id: UUID, *, worker: int, lease: timedelta, now: datetime
) -> Instance | None:
    """Claim one instance; None when somebody else works on it."""
    values = {"id": instance_id, "worker": worker, "lease": lease, "now": now}
    claimed = await _read(conn, await (await conn.execute(CLAIM_ONE, values)).fetchall())
    return claimed[0] if claimed else None


async def _read(conn: Conn, rows: list[DictRow]) -> list[Instance]:
    return await instance.get_many(conn, [UUID(str(row["id"])) for row in rows]) if rows else []


RELEASE = """
    -- due_at is left as recorded, unless the instance must be looked at again.
    update amarre.instances
       set claimed_by = null, lease_until = null,
           due_at = coalesce(%(due_at)s, due_at)
     where id = %(id)s and claim_no = %(claim_no)s
"""


async def release(conn: Conn, claimed: Instance, *, due_at: datetime | None = None) -> bool:
    """Give an instance back; `due_at` says when it must be looked at again, if it must.

    Returns False when the claim had been lost.
    """
    values = {"id": claimed.id, "claim_no": claimed.claim_no, "due_at": due_at}
    return (await conn.execute(RELEASE, values)).rowcount == 1


NEXT_DUE = """
    -- Not min(): with statistics of a quiet day it reads all that waits.
    select least((select due_at from amarre.instances
                   where due_at is not null and claimed_by is null
                   order by due_at limit 1),
                 (select webhook_due_at from amarre.instances
                   where webhook_due_at is not null and claimed_by is null
                   order by webhook_due_at limit 1)) as at
"""


async def next_due(conn: Conn) -> datetime | None:
    """Say when the next instance is due; None when none is."""
    row = await (await conn.execute(NEXT_DUE)).fetchone()
    return row["at"] if row else None


EXTEND = """
    update amarre.instances set lease_until = %(now)s + %(lease)s
     where claimed_by = %(worker)s and id = any (%(ids)s)
"""
EXTEND_REQUESTS = """
    update amarre.provisioning_requests set lease_until = %(now)s + %(lease)s
     where claimed_by = %(worker)s and status = 'processing' and id = any (%(ids)s)
"""
EXTEND_GATEWAYS = """
    update amarre.gateways set lease_until = %(now)s + %(lease)s
     where claimed_by = %(worker)s and id = any (%(ids)s)
"""


async def extend(conn: Conn, worker: int, rows: Sequence[UUID], *, lease: timedelta, now: datetime) -> None:
    """Keep the claims that a living worker still works on; those of stories that broke run out."""
    values = {"worker": worker, "ids": list(rows), "lease": lease, "now": now}
    await conn.execute(EXTEND, values)
    await conn.execute(EXTEND_REQUESTS, values)
    await conn.execute(EXTEND_GATEWAYS, values)
