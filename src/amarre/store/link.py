"""One-time links for the person with the phone. Only hashes of their tokens are kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from amarre.store.conn import Conn


@dataclass(frozen=True, slots=True)
class Link:
    """A pairing link. `used_at` is when its instance was connected: it pairs once."""

    id: UUID
    instance_id: UUID
    created_by: str
    created_at: datetime
    expires_at: datetime
    opened_at: datetime | None
    used_at: datetime | None


MAKE = """
    insert into amarre.pairing_links (instance_id, token_hash, created_by, created_at, expires_at)
    values (%(instance)s, %(hash)s, %(by)s, %(now)s, %(now)s + %(life)s)
 returning id
"""


async def make(
    conn: Conn,
    instance: UUID,
    *,
    token_hash: bytes,
    by: str,
    life: timedelta,
    now: datetime,
) -> UUID:
    """Write a link down and return its id."""
    values = {"instance": instance, "hash": token_hash, "by": by, "life": life, "now": now}
    row = await (await conn.execute(MAKE, values)).fetchone()
    assert row is not None  # noqa: S101  # an INSERT returns its row
    return UUID(str(row["id"]))


FIND = """
    select id, instance_id, created_by, created_at, expires_at, opened_at, used_at
      from amarre.pairing_links
     where token_hash = %(hash)s
"""


async def find(conn: Conn, token_hash: bytes) -> Link | None:
    """Read a link by its token's hash."""
    async with conn.cursor(row_factory=class_row(Link)) as cursor:
        await cursor.execute(FIND, {"hash": token_hash})
        return await cursor.fetchone()


OPEN = """
    update amarre.pairing_links set opened_at = %(now)s where id = %(id)s and opened_at is null
"""


async def open_first(conn: Conn, link: UUID, *, now: datetime) -> bool:
    """Note that a link was opened; True the first time."""
    return (await conn.execute(OPEN, {"id": link, "now": now})).rowcount == 1


USE = """
    update amarre.pairing_links set used_at = %(now)s
     where instance_id = %(instance)s and used_at is null and opened_at is not null
"""


async def use(conn: Conn, instance: UUID, *, now: datetime) -> None:
    """Mark the opened links of an instance as used: it is connected."""
    await conn.execute(USE, {"instance": instance, "now": now})


FORGET_CODES = """
    delete from amarre.seen_codes where seen_at < %(now)s - interval '30 days'
"""


async def forget_codes(conn: Conn, *, now: datetime) -> int:
    """Forget codes that no gateway can have in its memory any more; return how many."""
    return (await conn.execute(FORGET_CODES, {"now": now})).rowcount


PRUNE = """
    delete from amarre.pairing_links where expires_at < %(now)s - interval '30 days'
"""


async def prune(conn: Conn, *, now: datetime) -> int:
    """Delete links that ended a month ago; return how many."""
    return (await conn.execute(PRUNE, {"now": now})).rowcount
