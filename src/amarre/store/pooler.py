"""Whether sessions are real, or a pooler deals connections out transaction by transaction.

Behind such a pooler LISTEN is accepted and never delivers, and two processes can hold the
same session lock. Neither raises an error, so it is tried out once, at start.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row

DELIVERY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Session:
    """What survives from one statement to the next on a connection.

    Without `listen` work is found by asking each second. Without `session_locks` a dead
    worker's rows come back when their lease ends, and statements are not prepared. `server_version`
    counts as libpq does: 150004 is 15.4.
    """

    listen: bool
    session_locks: bool
    server_version: int = 0


async def examine(url: str, *, within: timedelta = DELIVERY) -> Session:
    """Try out LISTEN and a session lock with two connections.

    Takes some milliseconds where sessions are real, and `within` where they are not.

    Raises:
        psycopg.OperationalError: nobody answers at `url`.
    """
    async with await _connect(url) as one, await _connect(url) as other:
        locks = await _locks_exclude(one, other)
        listen = await _notice_arrives(one, other, within)
        # A pooler that happened to deal out two servers passes the lock test by chance;
        # notices never arrive through it, so both must hold.
        return Session(listen, locks and listen, one.info.server_version)


async def _connect(url: str) -> AsyncConnection[DictRow]:
    return await AsyncConnection[DictRow].connect(
        url, autocommit=True, prepare_threshold=None, row_factory=dict_row
    )


TRY_LOCK = """
    select pg_try_advisory_lock(%(key)s) as held, pg_backend_pid() as backend
"""
RELEASE_LOCK = """
    select pg_advisory_unlock(%(key)s) as held, pg_backend_pid() as backend
"""


async def _locks_exclude(one: AsyncConnection[DictRow], other: AsyncConnection[DictRow]) -> bool:
    key = {"key": secrets.randbits(62)}
    taken = await (await one.execute(TRY_LOCK, key)).fetchone()
    again = await (await other.execute(TRY_LOCK, key)).fetchone()
    freed = await (await one.execute(RELEASE_LOCK, key)).fetchone()
    assert taken and again and freed  # noqa: S101, PT018  # a SELECT of functions returns a row
    return not again["held"] and bool(freed["held"]) and taken["backend"] == freed["backend"]


async def _notice_arrives(
    one: AsyncConnection[DictRow], other: AsyncConnection[DictRow], within: timedelta
) -> bool:
    channel = sql.Identifier(f"amarre_test_{secrets.token_hex(8)}")
    await one.execute(sql.SQL("listen {}").format(channel))
    await other.execute(sql.SQL("notify {}").format(channel))
    async for _ in one.notifies(timeout=within.total_seconds(), stop_after=1):
        return True
    return False
