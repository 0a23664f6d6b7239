"""Waking workers: a queue's name, sent when the caller's transaction commits."""

from amarre.store.conn import Conn

CHANNEL = "amarre_work"
EVENTS = "amarre_events"

WAKE = """
    select pg_notify('amarre_work', %(queue)s)
"""


async def wake(conn: Conn, queue: str) -> None:
    """Tell workers that something in this queue is due now.

    It serialises commits: only for what has become runnable, never row by row.
    """
    await conn.execute(WAKE, {"queue": queue})
