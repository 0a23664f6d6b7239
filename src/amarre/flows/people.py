"""People of the team and machines: who they are, and how they get in."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from amarre.core.errors import InvalidError, NotFoundError, TooManyError, UnauthenticatedError
from amarre.flows.means import Means
from amarre.store import access, event
from amarre.store.access import ApiKey, User
from amarre.store.vault import hash_secret, new_secret

ROLES = ("admin", "support", "viewer")
SCOPES = ("read", "write", "admin")
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
TRIES = 5
# An office shares one network address: a colleague's mistakes must not lock everybody out.
TRIES_OF_AN_ADDRESS = 50
TRIES_WITHIN = timedelta(minutes=15)
SESSION_LIFE = timedelta(days=30)
SESSION_IDLE = timedelta(days=7)
KEY_PREFIX = "amk_"

_hasher = PasswordHasher()


@cache
def _nobody() -> str:
    """Make the hash to compare with when there is no such person: both answers take the same time."""
    return _hasher.hash(secrets.token_urlsafe(16))


class WrongLoginError(UnauthenticatedError):
    """The address or the password is not right; `facts['left']` says how many tries are left."""

    code = "wrong_login"


@dataclass(frozen=True, slots=True)
class Session:
    """A new session; `token` goes into the cookie and nowhere else."""

    user: User
    token: str

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Session(user={self.user.id})"


async def add(
    means: Means, *, email: str, name: str, role: str, password: str | None = None, locale: str | None = None
) -> tuple[User, str]:
    """Write a person down; return him and his password, a generated one where none was given.

    Raises:
        InvalidError: the address, the role or the password cannot be right.
        ConflictError: somebody has this address already.
    """
    if "@" not in email[1:-1]:
        raise InvalidError("this is not an e-mail address", field="email")
    if role not in ROLES:
        raise InvalidError(f"a role is one of {', '.join(ROLES)}", field="role")
    chosen = password if password is not None else secrets.token_urlsafe(12)
    hashed = await hash_password(chosen)
    async with means.db.transaction() as conn:
        added = await access.add_user(
            conn,
            email=email.strip(),
            name=name.strip() or email,
            role=role,
            password_hash=hashed,
            locale=locale,
        )
    return added, chosen


async def hash_password(password: str) -> str:
    """Hash a password (argon2id), in a thread: it takes some tens of milliseconds by design.

    Raises:
        InvalidError: it is too short or absurdly long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidError(
            f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters",
            field="password",
            shortest=SHORTEST_PASSWORD,
        )
    return await asyncio.to_thread(_hasher.hash, password)


async def log_in(means: Means, *, email: str, password: str, address: str, now: datetime) -> Session:
    """Begin a session.

    After 5 failed tries in 15 minutes for an e-mail address, or 50 from a network address,
    further tries are refused unseen.

    Raises:
        WrongLoginError: the address or the password is not right.
        TooManyError: too many tries failed.
    """
    subjects = [f"email:{email.strip().lower()[:200]}", f"net:{address}"]
    async with means.db.transaction() as conn:
        before = await access.count_try(conn, subjects, within=TRIES_WITHIN, now=now)
        failures = before.get(subjects[0], 0)
        if failures >= TRIES or before.get(subjects[1], 0) >= TRIES_OF_AN_ADDRESS:
            # Not counted (the transaction is undone): waiting must end some day.
            wait_s = int(TRIES_WITHIN.total_seconds())
            raise TooManyError("too many failed tries", retry_after_s=wait_s)
        found = await access.user_by_email(conn, email.strip())
    hashed = found[1] if found else await asyncio.to_thread(_nobody)
    right = await asyncio.to_thread(_matches, hashed, password[:LONGEST_PASSWORD])
    if found is None or not right or not found[0].active:
        raise WrongLoginError("address or password unknown", left=max(TRIES - failures - 1, 0))
    token = new_secret()
    async with means.db.transaction() as conn:
        await access.forgive(conn, subjects)
        await access.open_session(
            conn, found[0].id, token_hash=hash_secret(token), life=SESSION_LIFE, now=now
        )
    return Session(found[0], token)


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (Argon2Error, InvalidHashError):
        return False


async def who(means: Means, token: str, *, now: datetime) -> User | None:
    """Say whose live session this is."""
    async with means.db.transaction() as conn:
        return await access.session_user(conn, hash_secret(token), idle=SESSION_IDLE, now=now)


async def log_out(means: Means, token: str) -> None:
    """End a session."""
    async with means.db.transaction() as conn:
        await access.close_session(conn, hash_secret(token))


async def change_password(means: Means, user: User, *, old: str, new: str, now: datetime) -> None:
    """Change one's own password; all sessions end.

    Raises:
        WrongLoginError: the old one is not right.
        InvalidError: the new one is too short.
    """
    async with means.db.transaction() as conn:
        found = await access.user_by_email(conn, user.email)
    if found is None or not await asyncio.to_thread(_matches, found[1], old):
        raise WrongLoginError("the old password is not right", left=0)
    hashed = await hash_password(new)
    async with means.db.transaction() as conn:
        await access.change_user(conn, user.id, password_hash=hashed, now=now)


async def set_password(means: Means, email: str, *, password: str | None, now: datetime) -> str:
    """Give a person a new password, a generated one where none is given; return it.

    Raises:
        NotFoundError: nobody has this address.
        InvalidError: it is too short.
    """
    chosen = password if password is not None else secrets.token_urlsafe(12)
    hashed = await hash_password(chosen)
    async with means.db.transaction() as conn:
        found = await access.user_by_email(conn, email)
        if found is None:
            raise NotFoundError("nobody has this address")
        await access.change_user(conn, found[0].id, password_hash=hashed, now=now)
        await access.forgive(conn, [f"email:{email.strip().lower()[:200]}"])
    return chosen


async def change(
    means: Means,
    user: UUID,
    *,
    now: datetime,
    locale: str | None = None,
    theme: str | None = None,
    role: str | None = None,
    active: bool | None = None,
) -> None:
    """Change how a person sees pages, what he may do, or whether he may come in.

    Raises:
        InvalidError: there is no such role, language or theme.
    """
    for field, value, choices in (
        ("role", role, ROLES),
        ("locale", locale, ("fr", "en", "auto")),
        ("theme", theme, ("light", "dark", "auto")),
    ):
        if value is not None and value not in choices:
            raise InvalidError(f"{field} is one of {', '.join(choices)}", field=field)
    async with means.db.transaction() as conn:
        await access.change_user(conn, user, locale=locale, theme=theme, role=role, active=active, now=now)


async def change_by_email(
    means: Means, email: str, *, now: datetime, role: str | None = None, active: bool | None = None
) -> None:
    """Change what a person may do, or lock him out, found by his address.

    Raises:
        NotFoundError: nobody has this address.
        InvalidError: there is no such role.
    """
    async with means.db.transaction() as conn:
        found = await access.user_by_email(conn, email)
    if found is None:
        raise NotFoundError("nobody has this address")
    await change(means, found[0].id, role=role, active=active, now=now)


async def first_admin(means: Means, *, email: str, password: str | None = None) -> tuple[User, str] | None:
    """Write the first administrator down; None when there are people already."""
    async with means.db.transaction() as conn:
        if await access.users(conn):
            return None
    return await add(means, email=email, name="Admin", role="admin", password=password)


async def add_key(
    means: Means, *, name: str, scope: str, actor: str, life: timedelta | None, now: datetime
) -> tuple[ApiKey, str]:
    """Make a key for a machine; return it with its text, which is shown once.

    Raises:
        InvalidError: there is no such scope.
    """
    if scope not in SCOPES:
        raise InvalidError(f"a scope is one of {', '.join(SCOPES)}", field="scope")
    text = KEY_PREFIX + new_secret()
    async with means.db.transaction() as conn:
        added = await access.add_key(
            conn,
            name=name,
            key_hash=hash_secret(text),
            prefix=text[: len(KEY_PREFIX) + 6],
            scope=scope,
            by=actor,
            expires_at=now + life if life else None,
            now=now,
        )
        await event.tell(conn, "key_added", now=now, actor=actor, facts={"name": name, "scope": scope})
    return added, text


async def use_key(means: Means, text: str, *, now: datetime) -> ApiKey | None:
    """Say which valid key this is."""
    if not text.startswith(KEY_PREFIX):
        return None
    async with means.db.transaction() as conn:
        return await access.use_key(conn, hash_secret(text), now=now)


async def revoke_key(means: Means, prefix: str, *, actor: str, now: datetime) -> None:
    """Revoke a key by its visible beginning.

    Raises:
        NotFoundError: no valid key begins so.
    """
    async with means.db.transaction() as conn:
        if not await access.revoke_key(conn, prefix, now=now):
            raise NotFoundError("no valid key begins so")
        await event.tell(conn, "key_revoked", now=now, actor=actor, facts={"prefix": prefix})
