"""People, their sessions, API keys, and the tries that failed. Only hashes of secrets are kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import errors
from psycopg.rows import class_row

from amarre.core.errors import ConflictError
from amarre.store.conn import Conn


@dataclass(frozen=True, slots=True)
class User:
    """A person of the team. `role`: admin, support or viewer."""

    id: UUID
    email: str
    name: str
    role: str
    locale: str | None
    theme: str | None
    active: bool
    created_at: datetime
    last_login_at: datetime | None


ADD_USER = """
    insert into amarre.users (email, name, role, password_hash, locale)
    values (%(email)s, %(name)s, %(role)s, %(hash)s, %(locale)s)
 returning id, email, name, role, locale, theme, active, created_at, last_login_at
"""


async def add_user(
    conn: Conn,
    *,
    email: str,
    name: str,
    role: str,
    password_hash: str,
    locale: str | None = None,
) -> User:
    """Write a person down.

    Raises:
        ConflictError: somebody has this address already.
    """
    values = {"email": email, "name": name, "role": role, "hash": password_hash, "locale": locale}
    try:
        async with conn.cursor(row_factory=class_row(User)) as cursor:
            await cursor.execute(ADD_USER, values)
            added = await cursor.fetchone()
    except errors.UniqueViolation as taken:
        raise ConflictError("somebody has this e-mail address", field="email") from taken
    assert added is not None  # noqa: S101  # an INSERT returns its row
    return added


USERS = """
    select id, email, name, role, locale, theme, active, created_at, last_login_at
      from amarre.users
     order by lower(email)
"""


async def users(conn: Conn) -> list[User]:
    """Read all people of the team."""
    async with conn.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(USERS)
        return await cursor.fetchall()


BY_EMAIL = """
    select id, email, name, role, locale, theme, active, created_at, last_login_at
      from amarre.users
     where lower(email) = lower(%(email)s)
"""
HASH_OF = """
    select password_hash from amarre.users where id = %(id)s
"""


async def user_by_email(conn: Conn, email: str) -> tuple[User, str] | None:
    """Read a person and the hash of his password."""
    async with conn.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(BY_EMAIL, {"email": email})
        found = await cursor.fetchone()
    if found is None:
        return None
    row = await (await conn.execute(HASH_OF, {"id": found.id})).fetchone()
    return (found, str(row["password_hash"])) if row else None


CHANGE_USER = """
    update amarre.users
       set name = coalesce(%(name)s, name), role = coalesce(%(role)s, role),
           locale = nullif(coalesce(%(locale)s, locale), 'auto'),
           theme = nullif(coalesce(%(theme)s, theme), 'auto'),
           active = coalesce(%(active)s, active), password_hash = coalesce(%(hash)s, password_hash),
           updated_at = %(now)s
     where id = %(id)s
"""
DROP_SESSIONS = """
    delete from amarre.sessions where user_id = %(id)s
"""


async def change_user(
    conn: Conn,
    user: UUID,
    *,
    now: datetime,
    name: str | None = None,
    role: str | None = None,
    locale: str | None = None,
    theme: str | None = None,
    active: bool | None = None,
    password_hash: str | None = None,
) -> None:
    """Change what is given. A new password or role, or leaving, ends all sessions."""
    values = {"id": user, "name": name, "role": role, "locale": locale, "theme": theme}
    await conn.execute(CHANGE_USER, {**values, "active": active, "hash": password_hash, "now": now})
    if password_hash is not None or role is not None or active is False:
        await conn.execute(DROP_SESSIONS, {"id": user})


OPEN_SESSION = """
    insert into amarre.sessions (token_hash, user_id, created_at, seen_at, expires_at)
    values (%(hash)s, %(user)s, %(now)s, %(now)s, %(now)s + %(life)s)
"""
LOGGED_IN = """
    update amarre.users set last_login_at = %(now)s where id = %(user)s
"""


async def open_session(conn: Conn, user: UUID, *, token_hash: bytes, life: timedelta, now: datetime) -> None:
    """Begin a session."""
    values = {"hash": token_hash, "user": user, "life": life, "now": now}
    await conn.execute(OPEN_SESSION, values)
    await conn.execute(LOGGED_IN, {"user": user, "now": now})


SESSION_USER = """
    select u.id, u.email, u.name, u.role, u.locale, u.theme, u.active, u.created_at, u.last_login_at
      from amarre.sessions s
      join amarre.users u on u.id = s.user_id
     where s.token_hash = %(hash)s and s.expires_at > %(now)s
       and s.seen_at > %(now)s - %(idle)s and u.active
"""
SEE_SESSION = """
    update amarre.sessions set seen_at = %(now)s
     where token_hash = %(hash)s and seen_at < %(now)s - interval '1 minute'
"""


async def session_user(conn: Conn, token_hash: bytes, *, idle: timedelta, now: datetime) -> User | None:
    """Read who a live session belongs to, and keep it alive."""
    async with conn.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(SESSION_USER, {"hash": token_hash, "idle": idle, "now": now})
        found = await cursor.fetchone()
    if found is not None:
        await conn.execute(SEE_SESSION, {"hash": token_hash, "now": now})
    return found


CLOSE_SESSION = """
    delete from amarre.sessions where token_hash = %(hash)s
"""


async def close_session(conn: Conn, token_hash: bytes) -> None:
    """End a session."""
    await conn.execute(CLOSE_SESSION, {"hash": token_hash})


FAILED = """
    insert into amarre.login_failures (subject, at)
    select subject, %(now)s from unnest(%(subjects)s::text[]) as t (subject)
"""
FAILURES = """
    select subject, count(*)::int as n
      from amarre.login_failures
     where subject = any (%(subjects)s) and at > %(now)s - %(within)s
     group by subject
"""
ONE_AT_A_TIME = """
    select pg_advisory_xact_lock(hashtext('amarre login ' || %(subject)s))
"""


async def count_try(conn: Conn, subjects: list[str], *, within: timedelta, now: datetime) -> dict[str, int]:
    """Count a try as failed before its password is looked at; return the counts before it.

    Tries for the same first subject come one after another, so that a burst of parallel
    ones does not pass the limit. Call it in a transaction; `forgive` takes it back.
    """
    await conn.execute(ONE_AT_A_TIME, {"subject": subjects[0]})
    before = await login_failures(conn, subjects, within=within, now=now)
    await login_failed(conn, subjects, now=now)
    return before


FORGET = """
    delete from amarre.login_failures where subject = any (%(subjects)s)
"""


async def login_failed(conn: Conn, subjects: list[str], *, now: datetime) -> None:
    """Count a failed try against each subject (an address, a network address)."""
    await conn.execute(FAILED, {"subjects": subjects, "now": now})


async def login_failures(
    conn: Conn, subjects: list[str], *, within: timedelta, now: datetime
) -> dict[str, int]:
    """Count the failed tries of each of the subjects; those without any are left out."""
    values = {"subjects": subjects, "within": within, "now": now}
    rows = await (await conn.execute(FAILURES, values)).fetchall()
    return {str(row["subject"]): int(row["n"]) for row in rows}


async def forgive(conn: Conn, subjects: list[str]) -> None:
    """Forget failed tries: the right password came."""
    await conn.execute(FORGET, {"subjects": subjects})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A machine's key, without the key. `scope`: read, write or admin."""

    id: UUID
    name: str
    prefix: str
    scope: str
    created_by: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


ADD_KEY = """
    insert into amarre.api_keys (name, key_hash, prefix, scope, created_by, created_at, expires_at)
    values (%(name)s, %(hash)s, %(prefix)s, %(scope)s, %(by)s, %(now)s, %(expires_at)s)
 returning id, name, prefix, scope, created_by, created_at, last_used_at, expires_at, revoked_at
"""


async def add_key(
    conn: Conn,
    *,
    name: str,
    key_hash: bytes,
    prefix: str,
    scope: str,
    by: str,
    expires_at: datetime | None,
    now: datetime,
) -> ApiKey:
    """Write a machine's key down."""
    values = {"name": name, "hash": key_hash, "prefix": prefix, "scope": scope, "by": by}
    async with conn.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(ADD_KEY, {**values, "now": now, "expires_at": expires_at})
        added = await cursor.fetchone()
    assert added is not None  # noqa: S101  # an INSERT returns its row
    return added


KEYS = """
    select id, name, prefix, scope, created_by, created_at, last_used_at, expires_at, revoked_at
      from amarre.api_keys
     order by created_at
"""


async def keys(conn: Conn) -> list[ApiKey]:
    """Read all keys, revoked ones too."""
    async with conn.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(KEYS)
        return await cursor.fetchall()


USE_KEY = """
    update amarre.api_keys
       set last_used_at = case when last_used_at > %(now)s - interval '1 minute'
                               then last_used_at else %(now)s end
     where key_hash = %(hash)s and revoked_at is null
       and (expires_at is null or expires_at > %(now)s)
 returning id, name, prefix, scope, created_by, created_at, last_used_at, expires_at, revoked_at
"""


async def use_key(conn: Conn, key_hash: bytes, *, now: datetime) -> ApiKey | None:
    """Read a key that is valid now, and note its use."""
    async with conn.cursor(row_factory=class_row(ApiKey)) as cursor:
        await cursor.execute(USE_KEY, {"hash": key_hash, "now": now})
        return await cursor.fetchone()


REVOKE = """
    update amarre.api_keys set revoked_at = %(now)s
     where prefix = %(prefix)s and revoked_at is null
"""


async def revoke_key(conn: Conn, prefix: str, *, now: datetime) -> bool:
    """Revoke a key by its visible beginning."""
    return (await conn.execute(REVOKE, {"prefix": prefix, "now": now})).rowcount == 1


PRUNE_SESSIONS = """
    delete from amarre.sessions where expires_at <= %(now)s
"""
PRUNE_FAILURES = """
    delete from amarre.login_failures where at < %(now)s - interval '1 day'
"""


async def prune(conn: Conn, *, now: datetime) -> int:
    """Delete ended sessions and old failed tries; return how many."""
    sessions = await conn.execute(PRUNE_SESSIONS, {"now": now})
    failures = await conn.execute(PRUNE_FAILURES, {"now": now})
    return sessions.rowcount + failures.rowcount
