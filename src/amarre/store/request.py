"""Requests for an instance: the queue that sign-ups fill and operators read and write by SQL."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from amarre.store import adopt
from amarre.store.conn import Conn


@dataclass(frozen=True, slots=True)
class Request:
    """One request, claimed. `retry_count` counts the tries used up, `failures` all in a row."""

    id: UUID
    kind: str
    user_id: UUID
    retry_count: int
    max_retries: int
    failures: int
    instance_id: UUID | None
    claim_no: int
    email: str | None
    full_name: str | None


CLAIM_DUE = """
    update amarre.provisioning_requests r
       set status = 'processing', claimed_by = %(worker)s,
           lease_until = %(now)s + %(lease)s, claim_no = r.claim_no + 1
      from amarre.profiles p
     where p.id = r.user_id
       and r.id = any (array(select id
                               from amarre.provisioning_requests
                              where status = 'pending' and due_at <= %(now)s
                              order by due_at
                              limit %(limit)s
                                for update skip locked))
 returning r.id, r.kind, r.user_id, r.retry_count, r.max_retries, r.failures, r.instance_id,
           r.claim_no, p.email, p.full_name
"""


async def claim_due(conn: Conn, *, worker: int, lease: timedelta, limit: int, now: datetime) -> list[Request]:
    """Claim up to `limit` requests that are due, oldest first."""
    async with conn.cursor(row_factory=class_row(Request)) as cursor:
        await cursor.execute(CLAIM_DUE, {"worker": worker, "lease": lease, "limit": limit, "now": now})
        return await cursor.fetchall()


ATTACH = """
    update amarre.provisioning_requests set instance_id = %(instance)s
     where id = %(id)s and claim_no = %(claim_no)s
"""


async def attach(conn: Conn, request: Request, instance: UUID) -> bool:
    """Note which instance the request leads to; False when the claim was lost."""
    values = {"id": request.id, "claim_no": request.claim_no, "instance": instance}
    return (await conn.execute(ATTACH, values)).rowcount == 1


FINISH = """
    -- Here and below claim_no alone says that the row is still `processing`: leaving that bumps
    -- it. To name the status as well would offer an index that may hold every row in flight.
    update amarre.provisioning_requests
       set status = 'completed', error_message = null, error_code = null, failures = 0, processed_at = %(now)s
     where id = %(id)s and claim_no = %(claim_no)s
"""


async def finish(conn: Conn, request: Request, *, now: datetime) -> bool:
    """Complete a request; False when the claim was lost."""
    values = {"id": request.id, "claim_no": request.claim_no, "now": now}
    return (await conn.execute(FINISH, values)).rowcount == 1


RETRY = """
    update amarre.provisioning_requests
       set status = 'pending', due_at = %(at)s, failures = failures + 1,
           retry_count = retry_count + case when %(counts)s then 1 else 0 end,
           error_code = %(code)s, error_message = %(message)s
     where id = %(id)s and claim_no = %(claim_no)s
"""


async def retry(conn: Conn, request: Request, *, at: datetime, counts: bool, code: str, message: str) -> bool:
    """Put a request back until `at`; False when the claim was lost."""
    values = {
        "id": request.id,
        "claim_no": request.claim_no,
        "at": at,
        "counts": counts,
        "code": code,
        "message": message,
    }
    return (await conn.execute(RETRY, values)).rowcount == 1


FAIL = """
    update amarre.provisioning_requests
       set status = 'failed', error_code = %(code)s, error_message = %(message)s,
           failures = failures + 1, processed_at = %(now)s
     where id = %(id)s and claim_no = %(claim_no)s
"""


async def fail(conn: Conn, request: Request, *, code: str, message: str, now: datetime) -> bool:
    """Give a request up; False when the claim was lost."""
    values = {
        "id": request.id,
        "claim_no": request.claim_no,
        "code": code,
        "message": message,
        "now": now,
    }
    return (await conn.execute(FAIL, values)).rowcount == 1


ASK = """
    select amarre.request_instance(%(user)s, %(kind)s) as id
"""
ASK_AGAIN = """
    insert into amarre.provisioning_requests (kind, user_id, instance_id, due_at)
    values (%(kind)s, %(user)s, %(instance)s, %(now)s)
        on conflict (kind, user_id) where status in ('pending', 'processing') do nothing
"""


async def ask(conn: Conn, user: UUID, kind: str = "evolution") -> UUID | None:
    """Ask for an instance for a user; None when he has one or is about to."""
    row = await (await conn.execute(ASK, {"user": user, "kind": kind})).fetchone()
    return UUID(str(row["id"])) if row and row["id"] else None


async def ask_again(conn: Conn, *, user: UUID, kind: str, instance: UUID, now: datetime) -> None:
    """Ask for an instance to be created again that exists here and is gone upstream."""
    await conn.execute(ASK_AGAIN, {"user": user, "kind": kind, "instance": instance, "now": now})


SWEEP = """
    -- Sign-ups whose request was never written (a trigger that was off, or failed).
    insert into amarre.provisioning_requests (kind, user_id)
    select 'evolution', p.id
      from amarre.profiles p
     where p.created_at > %(now)s - interval '30 days'
       and not exists (select from amarre.instances i
                        where i.user_id = p.id and i.kind = 'evolution' and i.wanted = 'present')
       and not exists (select from amarre.provisioning_requests r
                        where r.user_id = p.id and r.kind = 'evolution')
        on conflict do nothing
"""


async def sweep(conn: Conn, *, now: datetime) -> int:
    """Ask for instances that were never asked for; return how many.

    First it takes over sign-ups of an adopted table at which our trigger had failed.
    """
    taken = await adopt.take_over(conn)
    return taken + (await conn.execute(SWEEP, {"now": now})).rowcount


NEXT_DUE = """
    select due_at as at from amarre.provisioning_requests where status = 'pending' order by due_at limit 1
"""


async def next_due(conn: Conn) -> datetime | None:
    """Say when the next request is due; None when none waits."""
    row = await (await conn.execute(NEXT_DUE)).fetchone()
    return row["at"] if row else None


COUNTS = """
    select status, count(*)::int as n from amarre.provisioning_requests group by status
"""


async def counts(conn: Conn) -> dict[str, int]:
    """Count requests by status."""
    rows = await (await conn.execute(COUNTS)).fetchall()
    return {str(row["status"]): int(row["n"]) for row in rows}
