"""Brings a database to the state that this version of Amarre expects.

`migrations/NNNN_name.sql` run once each, in order. `repeatable/NN_name.sql` (functions,
triggers, views, policies) run after them, again whenever their text has changed. Each file
is one transaction that also records it, under a lock: processes that start at the same time
wait for each other, through a pooler too. A file whose first line is `-- no-transaction`
(CREATE INDEX CONCURRENTLY) holds one statement, and must bear being run again after a crash.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from amarre.core.errors import AmarreError, ConflictError
from amarre.store.conn import Conn
from amarre.store.database import DatabaseDownError, means_gone, refuse_old, with_patience

log = structlog.get_logger()

DEFAULT = Path(__file__).parent
NO_TRANSACTION = "-- no-transaction"

# A neighbour may be building an index on a large table.
PATIENCE = timedelta(minutes=30)
ASK_EVERY = timedelta(milliseconds=100)


class MigrationChangedError(ConflictError):
    """A file that this database has already run reads differently now. Restore its text."""

    code = "migration_changed"


class MigrationFailedError(AmarreError):
    """A migration stopped at an error. Nothing of that file was kept, all before it was."""

    code = "migration_failed"


class MigrationBusyError(ConflictError):
    """Another process has been migrating this database for very long. Look what it waits for."""

    code = "migration_busy"


class NewerDatabaseError(ConflictError):
    """A newer Amarre has migrated this database. Run that version, or restore an older backup."""

    code = "database_newer"


class MissingRightError(AmarreError):
    """We lack a right in this database; `facts['grant']` is the SQL by which its owner gives it."""

    code = "missing_right"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, and whether it is run again when it changes."""

    name: str
    sql: str
    repeatable: bool

    @property
    def checksum(self) -> str:
        """Tell the text from another; line endings do not count, since git may turn them."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def alone(self) -> bool:
        """Say whether it must not run inside a transaction."""
        return self.sql.startswith(NO_TRANSACTION)


def read(folder: Path = DEFAULT) -> list[Migration]:
    """List the migrations of a folder in the order in which they run."""
    numbered = [_read(path, path.stem, repeatable=False) for path in _sql_files(folder / "migrations")]
    repeatable = [
        _read(path, f"repeatable/{path.stem}", repeatable=True) for path in _sql_files(folder / "repeatable")
    ]
    return numbered + repeatable


def _sql_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))


def _read(path: Path, name: str, *, repeatable: bool) -> Migration:
    # Reading as text turns \r\n into \n.
    return Migration(name, path.read_text(encoding="utf-8"), repeatable)


async def migrate(
    url: str, *, now: datetime, folder: Path = DEFAULT, repeat: bool = False, patience: timedelta = PATIENCE
) -> list[str]:
    """Run what is missing, and say which files that were.

    With `repeat`, the repeatable files run even if they are unchanged: it restores
    functions that somebody has replaced.

    Raises:
        MigrationChangedError, NewerDatabaseError: nothing was run; the texts do not fit.
        MigrationFailedError, MissingRightError: the files before were run and kept.
        MigrationBusyError: another process held the lock all through `patience`.
        DatabaseDownError: nobody answers at `url`.
    """
    wanted = read(folder)
    async with _connect(url) as conn:
        missing = missing_of(wanted, await _recorded(conn))
        if repeat:
            missing += [one for one in wanted if one.repeatable and one not in missing]
        run = _Run(url, conn, now, repeat, patience)
        if missing:
            await run.prepare()
        return [one.name for one in missing if await run.bring(one)]


async def pending(url: str, *, folder: Path = DEFAULT) -> list[str]:
    """Say which files `migrate` would run; changes nothing.

    Raises:
        MigrationChangedError, NewerDatabaseError, DatabaseDownError: as for `migrate`.
    """
    async with _connect(url) as conn:
        return [one.name for one in missing_of(read(folder), await _recorded(conn))]


def missing_of(wanted: Sequence[Migration], recorded: Mapping[str, str]) -> list[Migration]:
    """Compare files with what the database has recorded (checksums by name).

    Raises:
        NewerDatabaseError: the database knows numbered files that we do not.
        MigrationChangedError: a numbered file was edited after it had been run.
    """
    known = {one.name for one in wanted}
    # A repeatable file may be given up by a later version; a numbered one never is.
    unknown = sorted(name for name in recorded if name not in known and not name.startswith("repeatable/"))
    if unknown:
        raise NewerDatabaseError(
            f"This database was migrated by a newer Amarre: {', '.join(unknown)}.", unknown=unknown[0]
        )
    for one in wanted:
        if not one.repeatable and recorded.get(one.name, one.checksum) != one.checksum:
            raise MigrationChangedError(f"{one.name} was changed after it had been run here.", name=one.name)
    return [one for one in wanted if recorded.get(one.name) != one.checksum]


@asynccontextmanager
async def _connect(url: str) -> AsyncGenerator[Conn]:
    try:
        conn = await AsyncConnection[DictRow].connect(
            with_patience(url, application_name="amarre migrate"),
            autocommit=True,
            prepare_threshold=None,
            row_factory=dict_row,
        )
    except psycopg.OperationalError as error:
        raise DatabaseDownError(f"The database does not answer: {error}") from error
    async with conn:
        refuse_old(conn.info.server_version)
        yield conn


TABLE_EXISTS = """
    select to_regclass('amarre.migrations') is not null as there
"""

RECORDED = """
    select name, checksum from amarre.migrations
"""


async def _recorded(conn: Conn) -> dict[str, str]:
    exists = await (await conn.execute(TABLE_EXISTS)).fetchone()
    if not (exists and exists["there"]):
        return {}
    return {row["name"]: row["checksum"] for row in await (await conn.execute(RECORDED)).fetchall()}


CREATE_SCHEMA = """
    -- Not `if not exists`, which asks for the right to create even where nothing is missing.
    do $$
    begin
        if to_regnamespace('amarre') is null then
            create schema amarre;
        end if;
    end $$
"""

CREATE_TABLE = """
    create table if not exists amarre.migrations (
        name       text primary key,
        checksum   text not null,
        applied_at timestamptz not null
    )
"""

TRY_LOCK = """
    -- Asked again and again instead of waited for: a statement that waits holds a snapshot,
    -- and CREATE INDEX CONCURRENTLY would wait for it in turn, for ever.
    -- The limits are for this transaction: it may build an index for an hour.
    select pg_try_advisory_xact_lock(hashtextextended('amarre.migrations', 0)) as held,
           set_config('statement_timeout', '0', true),
           set_config('idle_in_transaction_session_timeout', '0', true)
"""

RECORD = """
    insert into amarre.migrations (name, checksum, applied_at)
    values (%(name)s, %(checksum)s, %(now)s)
        on conflict (name) do update
       set checksum = excluded.checksum, applied_at = excluded.applied_at
"""


@dataclass(frozen=True, slots=True)
class _Run:
    url: str
    conn: Conn
    now: datetime
    repeat: bool
    patience: timedelta

    async def prepare(self) -> None:
        """Make the table that remembers, in a transaction of its own: others must see it."""
        async with explained(self.conn, "the schema amarre"), self._locked():
            await self.conn.execute(CREATE_SCHEMA)
            await self.conn.execute(CREATE_TABLE)

    async def bring(self, one: Migration) -> bool:
        """Run a file unless somebody else has done so meanwhile; say whether it was run."""
        async with explained(self.conn, one.name), self._locked():
            if not one.alone:
                return await self._run(one, self.conn)
            # The lock's transaction stays open, and idle: it holds no snapshot, so the
            # index that the other connection builds does not wait for it.
            async with _connect(self.url) as other:
                return await self._run(one, other)

    async def _run(self, one: Migration, conn: Conn) -> bool:
        done = await _recorded(conn)
        if done.get(one.name) == one.checksum and not (self.repeat and one.repeatable):
            return False
        # Bytes: several statements in one go, and no placeholders.
        await conn.execute(one.sql.encode(), prepare=False)
        await conn.execute(RECORD, {"name": one.name, "checksum": one.checksum, "now": self.now})
        await log.ainfo("migrated", name=one.name)
        return True

    @asynccontextmanager
    async def _locked(self) -> AsyncGenerator[None]:
        """Open a transaction that holds the lock, and keep both for the body."""
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + self.patience.total_seconds()
        while clock() < give_up_at:
            async with self.conn.transaction():
                row = await (await self.conn.execute(TRY_LOCK)).fetchone()
                if row and row["held"]:
                    yield
                    return
            await asyncio.sleep(ASK_EVERY.total_seconds())
        raise MigrationBusyError("Another process has been migrating this database for very long.")


@asynccontextmanager
async def explained(conn: Conn, name: str) -> AsyncGenerator[None]:
    """Turn what PostgreSQL says of a migration into what a person can act upon."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise await _missing_right(conn, name, error) from error
    except psycopg.Error as error:
        if means_gone(error):
            raise DatabaseDownError(f"The database went away during {name}: {error}") from error
        raise MigrationFailedError(
            f"{name} stopped: {error.diag.message_primary or error}",
            name=name,
            position=int(error.diag.statement_position or 0),
        ) from error


RIGHTS = """
    -- Asked for instead of read from the refusal: that is in the server's language.
    select has_database_privilege(current_database(), 'create') as may_create,
           has_schema_privilege('public', 'create') as may_use_public,
           (select rolsuper or rolcreaterole from pg_roles where rolname = current_user) as may_make_roles,
           quote_ident(current_user) as me,
           quote_ident(current_database()) as here
"""


async def _missing_right(conn: Conn, name: str, error: psycopg.Error) -> MissingRightError:
    rights = await (await conn.execute(RIGHTS)).fetchone()
    assert rights is not None  # noqa: S101  # a SELECT without FROM returns a row
    me = rights["me"]
    lacking = {
        "CREATE on the database": None
        if rights["may_create"]
        else f"grant create on database {rights['here']} to {me}",
        "CREATE in schema public": None
        if rights["may_use_public"]
        else f"grant create on schema public to {me}",
        "CREATEROLE": None if rights["may_make_roles"] else f"alter role {me} createrole",
    }
    grants = [f"{grant};" for grant in lacking.values() if grant]
    right = ", ".join(right for right, grant in lacking.items() if grant) or str(error.diag.message_primary)
    return MissingRightError(
        f"{name} needs a right that {me} lacks: {right}. {' '.join(grants)}".strip(),
        name=name,
        right=right,
        grant=" ".join(grants),
    )
