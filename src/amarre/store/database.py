"""The way in: connections, transactions, and what is said when PostgreSQL is away.

Connections are in autocommit; what belongs together runs inside `transaction`. A restart of
the server costs the statements that were running: the pool notices dead connections before
it hands them out, and loops simply try again. Statements name their schema, because behind
a pooler no session setting (`search_path` least of all) can be relied upon.
"""

import asyncio
import select
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import psycopg
import structlog
from psycopg import AsyncConnection, OperationalError, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from amarre.core.backoff import wait
from amarre.core.errors import AmarreError, InvalidError, UnavailableError
from amarre.store.conn import Conn
from amarre.store.pooler import Session, examine

log = structlog.get_logger()

OLDEST_SERVER = 15

# A dead peer is noticed after about a minute, where the system's own limit is two hours.
# Only the client side reads these; a pooler never sees them.
PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

STATEMENT = timedelta(seconds=30)
IDLE = timedelta(seconds=60)
CONNECT = timedelta(seconds=10)
ANSWER = timedelta(seconds=2)
QUIET = timedelta(seconds=30)
FIRST_PAUSE = timedelta(milliseconds=100)
LONGEST_PAUSE = timedelta(seconds=5)

# What PostgreSQL says when the connection, not the statement, is the trouble.
GONE = ("08", "57P", "53300")


class DatabaseDownError(UnavailableError):
    """The database does not answer. What was being written may or may not have been committed."""

    code = "database_down"


class DatabaseTooOldError(AmarreError):
    """The server is older than the oldest PostgreSQL that Amarre runs on."""

    code = "database_too_old"


class Database:
    """A pool of connections to one PostgreSQL.

    Make one with `open`; leave it with `close`. `session` says what the way to the server
    can carry: behind a pooler in transaction mode neither LISTEN nor session locks work.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[DictRow]],
        *,
        url: str,
        session: Session,
        limits: "Limits",
    ) -> None:
        """Take an open pool; `open` is the way to get here."""
        self._pool = pool
        self._limits = limits
        self.url = url
        self.session = session

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        application_name: str,
        min_size: int = 1,
        max_size: int = 10,
        statement_timeout: timedelta = STATEMENT,
        idle_timeout: timedelta = IDLE,
        connect_within: timedelta = CONNECT,
    ) -> Self:
        """Connect, and find out what the connection can carry.

        `statement_timeout` limits one statement, `idle_timeout` an open transaction in which
        nothing happens. Behind a pooler both hold inside `transaction` only.

        Raises:
            DatabaseDownError: nobody answers at `url` within `connect_within`.
            DatabaseTooOldError: the server is older than PostgreSQL 15.
        """
        url = with_patience(url, application_name=application_name)
        try:
            session = await examine(url)
        except OperationalError as error:
            raise DatabaseDownError(f"The database does not answer: {error}") from error
        refuse_old(session.server_version)
        limits = Limits(statement_timeout, idle_timeout)
        pool = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                # Behind a pooler the next statement may meet a server that never prepared it.
                "prepare_threshold": 5 if session.session_locks else None,
            },
            min_size=min_size,
            max_size=max_size,
            timeout=connect_within.total_seconds(),
            configure=limits.keep if session.session_locks else None,
            check=check,
            open=False,
        )
        try:
            await pool.open(wait=True, timeout=connect_within.total_seconds())
        except PoolTimeout as error:
            await pool.close()
            raise DatabaseDownError(f"The database does not answer: {error}") from error
        return cls(pool, url=url, session=session, limits=limits)

    async def close(self) -> None:
        """Close every connection. What is running elsewhere on them is rolled back."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self, *, within: timedelta | None = None) -> AsyncGenerator[Conn]:
        """Lend a connection on which every statement commits by itself.

        Raises:
            DatabaseDownError: none could be had, or the server went away while it was used.
            InvalidError: a text with NUL in it was to be stored or looked for.
        """
        try:
            async with self._pool.connection(within.total_seconds() if within else None) as conn:
                yield conn
        except (PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise DatabaseDownError(f"No connection to the database: {error}") from error
        except psycopg.Error as error:
            if isinstance(error, psycopg.DataError) and error.sqlstate is None:
                # Refused before it was sent: PostgreSQL's texts cannot hold NUL.
                raise InvalidError(f"this cannot be stored: {error}", field="NUL") from error
            if not means_gone(error):
                raise
            raise DatabaseDownError(f"The database went away: {error}") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Conn]:
        """Lend a connection inside a transaction: all of it is kept, or nothing.

        Raises:
            DatabaseDownError: as for `connection`. If it comes from the commit itself, only a
                look at the rows can tell whether they were kept.
        """
        async with self.connection() as conn, conn.transaction():
            if not self.session.session_locks:
                await self._limits.keep_for_transaction(conn)
            yield conn

    async def is_up(self, *, within: timedelta = ANSWER) -> bool:
        """Say whether a statement can be run right now."""
        try:
            async with asyncio.timeout(within.total_seconds()), self.connection() as conn:
                await conn.execute("select 1")
        except (DatabaseDownError, TimeoutError):
            return False
        return True


class Listener:
    """One connection that hears what others NOTIFY, and comes back by itself.

    `on_notice(channel, payload)` is called for each notice. `on_reconnect()` is called each
    time that listening begins, the first time too: what was sent before is not delivered,
    so read what may have been missed. Both must return at once. Useless behind a pooler
    in transaction mode (`Session.listen`).
    """

    def __init__(
        self,
        url: str,
        channels: Sequence[str],
        *,
        on_notice: Callable[[str, str], None],
        on_reconnect: Callable[[], None],
        application_name: str = "amarre listen",
    ) -> None:
        """Say where to listen and whom to tell; nothing happens before `start`."""
        self._url = with_patience(url, application_name=application_name)
        self._channels = tuple(channels)
        self._on_notice = on_notice
        self._on_reconnect = on_reconnect
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen; on return, nothing that is sent from now on is missed.

        Raises:
            DatabaseDownError: nobody answers.
        """
        try:
            conn = await self._connect()
        except OperationalError as error:
            raise DatabaseDownError(f"The database does not answer: {error}") from error
        self._task = asyncio.create_task(self._follow(conn), name="listener")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None

    async def _connect(self) -> Conn:
        conn = await AsyncConnection[DictRow].connect(self._url, autocommit=True, row_factory=dict_row)
        for channel in self._channels:
            await conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        return conn

    async def _follow(self, first: Conn) -> None:
        conn: Conn | None = first
        failures = 0
        try:
            while True:
                try:
                    async with conn or await self._connect() as conn:
                        failures = 0
                        self._on_reconnect()
                        await self._hear(conn)
                except OperationalError as error:
                    failures += 1
                    log.warning("listener_lost_database", failures=failures, error=str(error).strip())
                    pause = wait(failures, first=FIRST_PAUSE, most=LONGEST_PAUSE)
                    await asyncio.sleep(pause.total_seconds())
                conn = None
        except Exception:
            # A callback failed: without us everybody would wait for ever, so say it loudly.
            log.exception("listener_died")
            raise

    async def _hear(self, conn: Conn) -> None:
        while True:
            async for notice in conn.notifies(timeout=QUIET.total_seconds()):
                self._on_notice(notice.channel, notice.payload)
            # So quiet that the server may be gone: ask.
            await conn.execute("select 1")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a statement may run, and a transaction do nothing."""

    statement: timedelta
    idle: timedelta

    async def keep(self, conn: Conn) -> None:
        """Set the limits and the time zone for the life of a connection."""
        await conn.execute(SET_LIMITS, {**self._named(), "local": False})

    async def keep_for_transaction(self, conn: Conn) -> None:
        """Set them for one transaction: behind a pooler the next one is somebody else's."""
        await conn.execute(SET_LIMITS, {**self._named(), "local": True})

    def _named(self) -> dict[str, str]:
        return {"statement": _ms(self.statement), "idle": _ms(self.idle)}


SET_LIMITS = """
    select set_config('statement_timeout', %(statement)s, %(local)s),
           set_config('idle_in_transaction_session_timeout', %(idle)s, %(local)s),
           set_config('timezone', 'UTC', %(local)s),
           -- A name without its schema fails here at once, not one day behind a pooler.
           set_config('search_path', 'pg_catalog', %(local)s)
"""


def _ms(span: timedelta) -> str:
    return f"{span // timedelta(milliseconds=1)}ms"


def with_patience(url: str, *, application_name: str) -> str:
    """Add what the URL leaves open: our name, and limits after which a silent server is dead."""
    given = conninfo_to_dict(url)
    missing = {key: value for key, value in PATIENCE.items() if key not in given}
    return make_conninfo(url, **{"application_name": application_name, **missing})


def means_gone(error: psycopg.Error) -> bool:
    """Say whether an error is about the connection, and not about the statement."""
    if error.sqlstate is None:
        # libpq noticed it by itself: no server was there to send a code.
        return isinstance(error, OperationalError)
    return error.sqlstate.startswith(GONE)


async def check(conn: Conn) -> None:
    """Refuse a connection whose server has hung up; no round trip for one that is quiet.

    A server that stops sends its farewell, so something is waiting to be read. One that
    vanished with its cable is found by keepalives (`PATIENCE`).
    """
    watch = select.poll()
    watch.register(conn.fileno(), select.POLLIN)
    if watch.poll(0):
        await conn.execute("select 1")


def refuse_old(server_version: int) -> None:
    """Refuse a server that lacks what our SQL needs (`security_invoker` views came with 15).

    Raises:
        DatabaseTooOldError: it is too old.
    """
    major = server_version // 10_000
    if major < OLDEST_SERVER:
        raise DatabaseTooOldError(
            f"This is PostgreSQL {major}; Amarre needs {OLDEST_SERVER} or newer.", found=major
        )
