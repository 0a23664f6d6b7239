"""Customers: a row here leads to an instance."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import errors
from psycopg.rows import class_row

from amarre.core.errors import ConflictError
from amarre.store.conn import Conn


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer."""

    id: UUID
    email: str | None
    full_name: str | None
    phone: str | None
    locale: str | None
    created_at: datetime


ACT_AS = """
    select set_config('amarre.actor', %(actor)s, true)
"""
ADD = """
    insert into amarre.profiles (id, email, full_name, phone, locale)
    values (coalesce(%(id)s, gen_random_uuid()), %(email)s, %(full_name)s, %(phone)s, %(locale)s)
 returning id, email, full_name, phone, locale, created_at
"""


async def add(
    conn: Conn,
    *,
    email: str | None,
    full_name: str | None,
    phone: str | None = None,
    locale: str | None = None,
    profile_id: UUID | None = None,
    actor: str,
) -> Profile:
    """Write a customer down; the trigger asks for his instance in the same transaction.

    Raises:
        ConflictError: there is one with this id or e-mail address.
    """
    await conn.execute(ACT_AS, {"actor": actor})
    values = {"id": profile_id, "email": email, "full_name": full_name, "phone": phone, "locale": locale}
    try:
        async with conn.cursor(row_factory=class_row(Profile)) as cursor:
            await cursor.execute(ADD, values)
            added = await cursor.fetchone()
    except errors.UniqueViolation as taken:
        raise ConflictError("a profile with this id or e-mail address exists", field="email") from taken
    assert added is not None  # noqa: S101  # an INSERT returns its row
    return added


GET = """
    select id, email, full_name, phone, locale, created_at from amarre.profiles where id = %(id)s
"""


async def get(conn: Conn, profile: UUID) -> Profile | None:
    """Read one customer."""
    async with conn.cursor(row_factory=class_row(Profile)) as cursor:
        await cursor.execute(GET, {"id": profile})
        return await cursor.fetchone()


PAGE = """
    select id, email, full_name, phone, locale, created_at
      from amarre.profiles
     order by created_at desc, id
     limit %(limit)s offset %(offset)s
"""


async def page(conn: Conn, *, limit: int, offset: int = 0) -> list[Profile]:
    """Read customers, newest first."""
    async with conn.cursor(row_factory=class_row(Profile)) as cursor:
        await cursor.execute(PAGE, {"limit": limit, "offset": offset})
        return await cursor.fetchall()


DELETE = """
    delete from amarre.profiles where id = %(id)s
"""


async def delete(conn: Conn, profile: UUID) -> bool:
    """Delete a customer; his instance follows (logged out and deleted upstream)."""
    return (await conn.execute(DELETE, {"id": profile})).rowcount == 1
