"""Facts about the database itself, for `doctor`."""

from dataclasses import dataclass
from datetime import datetime

from amarre.store.conn import Conn


@dataclass(frozen=True, slots=True)
class Server:
    """The server: its version, and its clock."""

    version: str
    now: datetime


SERVER = """
    select current_setting('server_version') as version, clock_timestamp() as now
"""


async def server(conn: Conn) -> Server:
    """Read the server's version and clock."""
    row = await (await conn.execute(SERVER)).fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM returns a row
    return Server(str(row["version"]), row["now"])


TRIGGER_ON = """
    select exists (select from pg_trigger
                    where tgrelid = 'amarre.profiles'::regclass
                      and tgname = 'on_profile_created_create_evolution_instance'
                      and tgenabled <> 'D') as trigger_on
"""


REPLACED = """
    -- Our public functions carry the hash of their body in their comment.
    select p.oid::regprocedure::text as name
      from pg_proc p
     where p.pronamespace = 'public'::regnamespace
       and obj_description(p.oid, 'pg_proc') like 'Amarre: %%'
       and obj_description(p.oid, 'pg_proc') <> 'Amarre: ' || md5(p.prosrc)
"""


async def replaced_functions(conn: Conn) -> list[str]:
    """List our public functions whose body somebody has replaced."""
    rows = await (await conn.execute(REPLACED, {})).fetchall()
    return [str(row["name"]) for row in rows]


async def trigger_is_on(conn: Conn) -> bool:
    """Say whether a new profile leads to an instance."""
    row = await (await conn.execute(TRIGGER_ON)).fetchone()
    return bool(row and row["trigger_on"])
