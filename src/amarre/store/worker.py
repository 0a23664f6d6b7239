"""Processes that take work, and giving back the work of those that died."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow, dict_row

from amarre.store.conn import Conn

# The first half of our advisory locks' keys; the second half is the worker's id.
LOCK_CLASS = 0x414D52

ENTER = """
    insert into amarre.workers (host, pid, started_at, seen_at, locked)
    values (%(host)s, %(pid)s, %(now)s, %(now)s, %(locked)s)
 returning id
"""
HOLD = """
    select pg_try_advisory_lock(%(class)s, %(worker)s) as held
"""
SEEN = """
    update amarre.workers set seen_at = %(now)s where id = %(worker)s
"""
LEAVE = """
    delete from amarre.workers where id = %(worker)s
"""


class Presence:
    """Says that this process lives. Its `number` is what claims carry, 0 before `enter`.

    It holds a connection of its own: the session's lock ends with the process, however
    that ends, and the others give its work back within a second or two.
    """

    def __init__(self, number: int = 0) -> None:
        """Take a number only where nobody looks for the dead (commands, tests)."""
        self.number = number
        self._conn: Conn | None = None
        self._locked = False
        self._under_way: list[UUID] = []

    @contextmanager
    def working_on(self, row: UUID) -> Generator[None]:
        """Have the claim of a row kept while its story runs, and no longer.

        A story that breaks cannot give its row back: it must come back by its lease.
        """
        self._under_way.append(row)
        try:
            yield
        finally:
            self._under_way.remove(row)

    @property
    def under_way(self) -> tuple[UUID, ...]:
        """The rows that this process works on."""
        return tuple(self._under_way)

    async def enter(self, url: str, *, locked: bool, now: datetime) -> None:
        """Register this process; `locked` where session locks can be relied upon."""
        await self._drop()
        conn: Conn = await AsyncConnection[DictRow].connect(
            url, autocommit=True, prepare_threshold=None, row_factory=dict_row
        )
        self._conn, self._locked = conn, locked
        values = {"host": socket.gethostname(), "pid": os.getpid(), "now": now, "locked": locked}
        row = await (await conn.execute(ENTER, values)).fetchone()
        assert row is not None  # noqa: S101  # an INSERT returns its row
        self.number = int(row["id"])
        if locked:
            await conn.execute(HOLD, {"class": LOCK_CLASS, "worker": self.number})

    async def stay(self, url: str, *, now: datetime) -> bool:
        """Say that this process still lives; False when it had been given up, and entered anew."""
        try:
            if self._conn is not None:
                seen = await self._conn.execute(SEEN, {"worker": self.number, "now": now})
                if seen.rowcount == 1:
                    return True
        except OperationalError:
            # The database was restarted: the lock went with the session.
            pass
        await self.enter(url, locked=self._locked, now=now)
        return False

    async def leave(self, *, now: datetime) -> None:
        """Give back what is still claimed, and unregister."""
        if self._conn is not None:
            with suppress(OperationalError):
                await _free(self._conn, [self.number], now=now)
                await self._conn.execute(LEAVE, {"worker": self.number})
        await self._drop()

    async def _drop(self) -> None:
        if self._conn is not None:
            await self._conn.close()
            self._conn = None


BURY = """
    -- A worker that took the lock and no longer holds it is dead: its session is gone.
    -- Behind a transaction pooler nobody holds locks, so only silence tells.
    delete from amarre.workers w
     where (w.locked
            and w.started_at < %(now)s - interval '2 seconds'
            and not exists (select from pg_locks l
                             where l.locktype = 'advisory' and l.granted
                               and l.database = (select oid from pg_database
                                                  where datname = current_database())
                               and l.classid = %(class)s and l.objid = w.id::bigint and l.objsubid = 2))
        or w.seen_at < %(now)s - %(silence)s
 returning w.id
"""
FREE_REQUESTS = """
    -- A row without a lease was set to `processing` by a person: nobody works on it.
    update amarre.provisioning_requests
       set status = 'pending', due_at = %(now)s
     where status = 'processing'
       and (lease_until is null or lease_until <= %(now)s or claimed_by = any (%(dead)s))
"""
FREE_INSTANCES = """
    update amarre.instances
       set claimed_by = null, lease_until = null, claim_no = claim_no + 1, due_at = %(now)s
     where id = any (array(select id
                             from amarre.instances
                            where claimed_by is not null
                              and (lease_until <= %(now)s or claimed_by = any (%(dead)s))
                            order by id
                              for no key update))
"""
FREE_GATEWAYS = """
    update amarre.gateways
       set claimed_by = null, lease_until = null, claim_no = claim_no + 1
     where claimed_by is not null
       and (lease_until <= %(now)s or claimed_by = any (%(dead)s))
"""
SILENCE = timedelta(minutes=2)


async def give_back(conn: Conn, *, now: datetime) -> int:
    """Make the work of dead workers due again, and that of expired leases; return how much.

    Call it in a transaction.
    """
    rows = await (await conn.execute(BURY, {"now": now, "class": LOCK_CLASS, "silence": SILENCE})).fetchall()
    return await _free(conn, [int(row["id"]) for row in rows], now=now)


async def _free(conn: Conn, dead: list[int], *, now: datetime) -> int:
    freed = {"now": now, "dead": dead}
    requests = await conn.execute(FREE_REQUESTS, freed)
    instances = await conn.execute(FREE_INSTANCES, freed)
    gateways = await conn.execute(FREE_GATEWAYS, freed)
    return requests.rowcount + instances.rowcount + gateways.rowcount
