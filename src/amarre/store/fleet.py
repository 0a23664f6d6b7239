"""The fleet as a page shows it: counts, and rows filtered and sorted in the database."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import class_row

from amarre.store.conn import Conn
from amarre.store.instance import COLUMNS, Instance


@dataclass(frozen=True, slots=True)
class Wish:
    """What a page asks for. `word` is a state, a reason, or a group of GROUPS."""

    q: str | None = None
    word: str | None = None
    gateway: str | None = None
    by_name: bool = False
    limit: int = 100
    offset: int = 0


FILTER: LiteralString = """
     where i.wanted = 'present'
       and (%(q)s::text is null
            or coalesce(i.label, p.full_name, p.email, i.name) ilike %(like)s
            or i.name ilike %(like)s or i.phone like %(like)s or p.email ilike %(like)s
            or i.id::text = %(q)s)
       and (%(gateway)s::text is null or g.name = %(gateway)s)
       and (%(word)s::text is null or i.state = %(word)s or i.reason = %(word)s
            or (%(word)s = 'attention' and (i.state = 'error' or i.reason = 'unlinked'))
            or (%(word)s = 'moving' and i.state in ('creating', 'connecting'))
            or (%(word)s = 'resting' and i.state = 'disconnected' and i.reason is distinct from 'unlinked'))
"""
PAGE = (
    "    select"
    + COLUMNS
    + FILTER
    + """
     order by case when %(by_name)s then 0
                   when i.state = 'error' or i.reason = 'unlinked' then 1
                   when i.state in ('creating', 'connecting') then 2
                   when i.state = 'connected' then 3
                   else 4 end,
              lower(coalesce(i.label, p.full_name, p.email, i.name)), i.id
     limit %(limit)s offset %(offset)s
"""
)


async def page(conn: Conn, wish: Wish) -> list[Instance]:
    """Read the rows that a page shows, those that need a person first."""
    async with conn.cursor(row_factory=class_row(Instance)) as cursor:
        await cursor.execute(PAGE, _values(wish))
        return await cursor.fetchall()


COUNTED = (
    """    select count(*)::int as n
      from amarre.instances i
      left join amarre.profiles p on p.id = i.user_id
      left join amarre.gateways g on g.id = i.gateway_id
"""
    + FILTER
)


async def count(conn: Conn, wish: Wish) -> int:
    """Count the rows of all pages."""
    row = await (await conn.execute(COUNTED, _values(wish))).fetchone()
    return int(row["n"]) if row else 0


def _values(wish: Wish) -> dict[str, str | int | bool | None]:
    escaped = (wish.q or "").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return {
        "q": wish.q or None,
        "like": f"%{escaped}%",
        "word": wish.word,
        "gateway": wish.gateway,
        "by_name": wish.by_name,
        "limit": wish.limit,
        "offset": wish.offset,
    }


BY_STATE = """
    select state, coalesce(reason, '') as reason, count(*)::int as n
      from amarre.instances
     where wanted = 'present'
     group by 1, 2
"""


async def counts(conn: Conn) -> dict[tuple[str, str], int]:
    """Count instances by state and reason ('' where there is none)."""
    rows = await (await conn.execute(BY_STATE)).fetchall()
    return {(str(row["state"]), str(row["reason"])): int(row["n"]) for row in rows}
