"""What happened: the audit trail, and the feed that keeps pages live. Append-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from amarre.store.conn import Conn
from amarre.store.instance import Instance

Fact = str | float | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at `at`. `facts` never hold a secret; they may hold a phone number."""

    id: int
    at: datetime
    kind: str
    instance_id: UUID | None
    gateway_id: UUID | None
    user_id: UUID | None
    actor: str | None
    facts: Mapping[str, Any]


TELL = """
    insert into amarre.events (at, kind, instance_id, gateway_id, user_id, actor, facts)
    values (%(now)s, %(kind)s, %(instance)s, %(gateway)s, %(user)s, %(actor)s, %(facts)s)
"""


async def tell(
    conn: Conn,
    kind: str,
    *,
    now: datetime,
    of: Instance | None = None,
    gateway: UUID | None = None,
    user: UUID | None = None,
    actor: str | None = None,
    facts: Mapping[str, Fact] | None = None,
) -> None:
    """Record an event in the caller's transaction. Pages learn of it when that commits."""
    values = {
        "now": now,
        "kind": kind,
        "instance": of.id if of else None,
        "gateway": gateway or (of.gateway_id if of else None),
        "user": user or (of.user_id if of else None),
        "actor": actor,
        "facts": Jsonb({key: value for key, value in (facts or {}).items() if value is not None}),
    }
    await conn.execute(TELL, values)


SINCE = """
    select id, at, kind, instance_id, gateway_id, user_id, actor, facts
      from amarre.events
     where id > %(after)s and id <> all (%(but)s)
     order by id
     limit %(limit)s
"""


async def since(conn: Conn, after: int, *, but: Sequence[int] = (), limit: int = 1000) -> list[Event]:
    """Read events with a higher id, oldest first, without those in `but`."""
    async with conn.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(SINCE, {"after": after, "but": list(but), "limit": limit})
        return await cursor.fetchall()


NEWEST = """
    select coalesce(max(id), 0) as id from amarre.events
"""


async def newest_id(conn: Conn) -> int:
    """Read the id of the newest event, 0 when there is none."""
    row = await (await conn.execute(NEWEST)).fetchone()
    return int(row["id"]) if row else 0


OF_INSTANCE = """
    -- Two lookups: with `or` a quiet instance's story is searched for in everybody's.
    (select id, at, kind, instance_id, gateway_id, user_id, actor, facts
       from amarre.events
      where instance_id = %(instance)s and id < %(before)s
      order by id desc
      limit %(limit)s)
     union all
    -- What happened to his customer before there was an instance belongs to the story.
    (select id, at, kind, instance_id, gateway_id, user_id, actor, facts
       from amarre.events
      where instance_id is null and id < %(before)s
        and user_id = (select user_id from amarre.instances where id = %(instance)s)
      order by id desc
      limit %(limit)s)
     order by id desc
     limit %(limit)s
"""
LAST_ID = 2**62


async def of_instance(conn: Conn, instance: UUID, *, before: int = LAST_ID, limit: int = 50) -> list[Event]:
    """Read an instance's story, newest first; `before` is the id to page on from."""
    async with conn.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(OF_INSTANCE, {"instance": instance, "before": before, "limit": limit})
        return await cursor.fetchall()


RECENT = """
    select id, at, kind, instance_id, gateway_id, user_id, actor, facts
      from amarre.events
     where id < %(before)s
     order by id desc
     limit %(limit)s
"""


async def recent(conn: Conn, *, before: int = LAST_ID, limit: int = 50) -> list[Event]:
    """Read the newest events of all kinds, newest first."""
    async with conn.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(RECENT, {"before": before, "limit": limit})
        return await cursor.fetchall()
