"""A database that has a `profiles` of its own: what adopting it means, and doing it.

Nothing of theirs is replaced: a trigger is added to their table, which hands each sign-up
to us and never makes it fail, and the rows that are there already are taken over.
"""

from dataclasses import dataclass

from amarre.store.conn import Conn

OBSTACLES = """
    -- Objects in the way of our views: theirs, so they stay.
    select c.relname as name, c.relkind::text as kind
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'public'
       and c.relname in ('profiles', 'evolution_instances', 'evolution_instance_creation_queue',
                         'system_config', 'v_webhook_health')
       and not amarre.is_ours(c.relname)
     order by c.relname
"""
ADOPTED = """
    select exists (select from pg_trigger t
                    where t.tgrelid = to_regclass('public.profiles')
                      and t.tgfoid = 'amarre.on_profile_created()'::regprocedure) as adopted,
           exists (select from pg_trigger t
                    where t.tgrelid = to_regclass('public.profiles')
                      and t.tgname = 'on_profile_created_create_evolution_instance') as rival
"""
HAS_ID = """
    select exists (select from pg_attribute a
                    where a.attrelid = to_regclass('public.profiles') and a.attname = 'id'
                      and a.atttypid = 'uuid'::regtype and not a.attisdropped) as fits
"""


@dataclass(frozen=True, slots=True)
class Theirs:
    """What is in the way. `profiles` says that their own table stands where our view would be.

    `rival` says that a trigger of theirs creates instances by itself at each sign-up.
    """

    obstacles: tuple[str, ...]
    profiles: bool
    adopted: bool
    fits: bool
    rival: bool = False


async def look(conn: Conn) -> Theirs:
    """Say what of theirs is in the way of our views, and whether it was adopted."""
    rows = await (await conn.execute(OBSTACLES)).fetchall()
    adopted = await (await conn.execute(ADOPTED)).fetchone()
    fits = await (await conn.execute(HAS_ID)).fetchone()
    names = tuple(str(row["name"]) for row in rows)
    table = any(row["name"] == "profiles" and row["kind"] in ("r", "p") for row in rows)
    return Theirs(
        obstacles=names,
        profiles=table,
        adopted=bool(adopted and adopted["adopted"]),
        fits=bool(fits and fits["fits"]),
        rival=bool(adopted and adopted["rival"]),
    )


ADD_TRIGGER = """
    create trigger amarre_profile_created
     after insert on public.profiles
       for each row execute function amarre.on_profile_created()
"""
ADD_LEAVE = """
    create trigger amarre_profile_deleted
     after delete on public.profiles
       for each row execute function amarre.handle_profile_gone()
"""
TAKE_OVER = """
    select amarre.take_over_missing() as n
"""


async def take_over(conn: Conn) -> int:
    """Take over what is in their adopted table and not yet here; return how many rows."""
    row = await (await conn.execute(TAKE_OVER)).fetchone()
    return int(row["n"]) if row else 0


async def adopt(conn: Conn) -> int:
    """Add our triggers to their table and take its rows over; return how many rows.

    Call it in a transaction, when `look` says that it fits.
    """
    await conn.execute(ADD_TRIGGER)
    await conn.execute(ADD_LEAVE)
    return await take_over(conn)
