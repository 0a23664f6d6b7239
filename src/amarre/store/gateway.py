"""Gateways: where they are, and how they are."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from amarre.store.conn import Conn


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway as last heard. `state`: unknown, ok, silent, refused, unlicensed or broken."""

    id: UUID
    kind: str
    name: str
    base_url: str
    active: bool
    version: str | None
    dialect: str | None
    state: str
    state_since: datetime
    failures: int
    response_ms: int | None
    clock_skew: timedelta | None
    list_due_at: datetime
    listed_at: datetime | None
    claim_no: int
    instances: int


ENSURE = """
    insert into amarre.gateways (kind, name, base_url, list_due_at, state_since)
    values (%(kind)s, %(name)s, %(base_url)s, %(now)s, %(now)s)
        on conflict (name) do update
       set kind = excluded.kind, base_url = excluded.base_url, active = true,
           list_due_at = %(now)s, updated_at = %(now)s
 returning id
"""


async def ensure(conn: Conn, *, kind: str, name: str, base_url: str, now: datetime) -> UUID:
    """Write a gateway down, or its new address; return its id."""
    values = {"kind": kind, "name": name, "base_url": base_url, "now": now}
    row = await (await conn.execute(ENSURE, values)).fetchone()
    assert row is not None  # noqa: S101  # an upsert returns its row
    return UUID(str(row["id"]))


RETIRE = """
    update amarre.gateways set active = false, updated_at = %(now)s
     where active and name <> all (%(names)s)
"""


async def retire_others(conn: Conn, names: list[str], *, now: datetime) -> None:
    """Mark gateways that are no longer configured; their instances stay visible."""
    await conn.execute(RETIRE, {"names": names, "now": now})


ALL = """
    select g.id, g.kind, g.name, g.base_url, g.active, g.version, g.dialect, g.state, g.state_since,
           g.failures, g.response_ms, g.clock_skew, g.list_due_at, g.listed_at, g.claim_no,
           (select count(*) from amarre.instances i where i.gateway_id = g.id)::int as instances
      from amarre.gateways g
     order by g.name
"""


async def all_of_them(conn: Conn) -> list[GatewayRow]:
    """Read every gateway with the number of its instances."""
    async with conn.cursor(row_factory=class_row(GatewayRow)) as cursor:
        await cursor.execute(ALL)
        return await cursor.fetchall()


SKEWS = """
    select id, clock_skew from amarre.gateways where clock_skew is not null
"""


async def skews(conn: Conn) -> dict[UUID, timedelta]:
    """Read the clocks' differences that have been learned."""
    rows = await (await conn.execute(SKEWS)).fetchall()
    return {UUID(str(row["id"])): row["clock_skew"] for row in rows}


ROOMIEST = """
    select g.id
      from amarre.gateways g
     where g.kind = %(kind)s and g.active
     order by g.state in ('silent', 'refused', 'unlicensed'),
              (select count(*) from amarre.instances i where i.gateway_id = g.id), g.name
     limit 1
"""


async def roomiest(conn: Conn, kind: str) -> UUID | None:
    """Choose the gateway for a new instance: one that works, with the fewest instances."""
    row = await (await conn.execute(ROOMIEST, {"kind": kind})).fetchone()
    return UUID(str(row["id"])) if row else None


CLAIM_LIST = """
    update amarre.gateways
       set claimed_by = %(worker)s, lease_until = %(now)s + %(lease)s, claim_no = claim_no + 1
     where id in (select id
                    from amarre.gateways
                   where active and list_due_at <= %(now)s and claimed_by is null
                   order by list_due_at
                     for update skip locked)
 returning id, claim_no
"""


async def claim_due_lists(conn: Conn, *, worker: int, lease: timedelta, now: datetime) -> dict[UUID, int]:
    """Claim the gateways whose list is due; the values are the claims' numbers."""
    rows = await (await conn.execute(CLAIM_LIST, {"worker": worker, "lease": lease, "now": now})).fetchall()
    return {UUID(str(row["id"])): int(row["claim_no"]) for row in rows}


RECORD = """
    update amarre.gateways
       set state = %(state)s,
           state_since = case when state = %(state)s then state_since else %(now)s end,
           failures = case when %(state)s = 'ok' then 0 else failures + 1 end,
           version = coalesce(%(version)s, version),
           dialect = coalesce(%(dialect)s, dialect),
           response_ms = coalesce(%(response_ms)s, response_ms),
           listed_at = case when %(state)s = 'ok' then %(now)s else listed_at end,
           list_due_at = %(due_at)s, claimed_by = null, lease_until = null, updated_at = %(now)s
     where id = %(id)s and claim_no = %(claim_no)s
"""


async def record(
    conn: Conn,
    gateway: UUID,
    *,
    claim_no: int,
    state: str,
    due_at: datetime,
    now: datetime,
    version: str | None = None,
    dialect: str | None = None,
    response_ms: int | None = None,
) -> bool:
    """Write down how a gateway is; False when the claim was lost meanwhile."""
    cursor = await conn.execute(
        RECORD,
        {
            "id": gateway,
            "claim_no": claim_no,
            "state": state,
            "due_at": due_at,
            "now": now,
            "version": version,
            "dialect": dialect,
            "response_ms": response_ms,
        },
    )
    return cursor.rowcount == 1


LEARN_SKEW = """
    update amarre.gateways set clock_skew = %(skew)s
     where id = %(id)s and clock_skew is distinct from %(skew)s
"""


async def learn_skew(conn: Conn, gateway: UUID, skew: timedelta) -> None:
    """Keep the difference between a gateway's clock and ours."""
    await conn.execute(LEARN_SKEW, {"id": gateway, "skew": skew})


ALL_DUE = """
    update amarre.gateways set list_due_at = %(now)s where active and list_due_at > %(now)s
"""


async def all_due(conn: Conn, *, now: datetime) -> None:
    """Have every gateway's list compared now."""
    await conn.execute(ALL_DUE, {"now": now})


ASK_SOON = """
    update amarre.gateways set list_due_at = least(list_due_at, %(now)s)
     where id = %(id)s and state <> 'silent'
"""


async def ask_soon(conn: Conn, gateway: UUID, *, now: datetime) -> None:
    """Have a gateway looked at now: one of its instances could not be reached."""
    await conn.execute(ASK_SOON, {"id": gateway, "now": now})
