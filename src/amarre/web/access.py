"""Who calls, and what he may do.

Three kinds of callers: people (a session cookie), machines (API keys, the service key, the
internal key of scheduled jobs) and end users (a JWT of the application that they use).
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import jwt
from fastapi import Depends, Request

from amarre.core.errors import ForbiddenError, UnauthenticatedError
from amarre.flows import people
from amarre.store.access import User
from amarre.web.state import Site, site_of

COOKIE = "amarre_session"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class May(IntEnum):
    """What a caller may do; each includes those before."""

    OWN = 1  # an end user: what is his
    READ = 2
    WRITE = 3
    ADMIN = 4


_ROLES = {"viewer": May.READ, "support": May.WRITE, "admin": May.ADMIN}
_SCOPES = {"read": May.READ, "write": May.WRITE, "admin": May.ADMIN}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody known. `name` goes into the audit trail; `user_id` is an end user's."""

    name: str
    may: May
    person: User | None = None
    user_id: UUID | None = None
    job: bool = False


async def identify(request: Request) -> Caller | None:
    """Say who calls, from the strongest proof that was sent; None for nobody.

    Raises:
        UnauthenticatedError: a proof was sent that is not valid (a wrong key is never ignored).
        ForbiddenError: a browser's request comes from another site.
    """
    site = site_of(request)
    if (internal := request.headers.get("x-internal-key")) is not None:
        return _internal(site, internal)
    authorization = request.headers.get("authorization", "")
    if authorization:
        scheme, _, proof = authorization.partition(" ")
        if scheme.lower() != "bearer" or not proof:
            raise UnauthenticatedError("only Bearer authorization is understood")
        return await _bearer(site, proof.strip())
    token = request.cookies.get(COOKIE)
    return await _person(request, site, token) if token else None


def _internal(site: Site, sent: str) -> Caller:
    if not any(_equal(sent, key) for key in site.keys.internal):
        raise UnauthenticatedError("this internal key is not valid")
    return Caller("job", May.WRITE, job=True)


async def _bearer(site: Site, proof: str) -> Caller | None:
    if site.keys.service and _equal(proof, site.keys.service):
        return Caller("service", May.ADMIN)
    if site.keys.anon and _equal(proof, site.keys.anon):
        # Public by design: it opens nothing alone.
        return None
    if proof.startswith(people.KEY_PREFIX):
        key = await people.use_key(site.means, proof, now=site.means.clock())
        if key is None:
            raise UnauthenticatedError("this API key is not valid")
        return Caller(f"key {key.name}", _SCOPES[key.scope])
    return _end_user(site, proof)


def _end_user(site: Site, token: str) -> Caller:
    """Read an end user's JWT (HS256 by the shared secret, ES256 by the configured key set)."""
    try:
        header = jwt.get_unverified_header(token)
        match header.get("alg"):
            case "HS256" if site.keys.jwt_secret:
                key, algorithms = site.keys.jwt_secret, ["HS256"]
            case "ES256" if site.keys.jwks is not None:
                key, algorithms = site.keys.jwks[header.get("kid", "")].key, ["ES256"]
            case _:
                raise UnauthenticatedError("this kind of token is not accepted here")
        claims = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            options={"require": ["exp", "sub"], "verify_aud": False},
        )
        user_id = UUID(claims["sub"])
    except (jwt.PyJWTError, ValueError, KeyError) as wrong:
        raise UnauthenticatedError("this token is not valid") from wrong
    if claims.get("role") == "service_role":
        return Caller("service", May.ADMIN)
    if claims.get("role", "authenticated") != "authenticated":
        raise UnauthenticatedError("this token is of no signed-in user")
    return Caller(f"user {user_id}", May.OWN, user_id=user_id)


async def _person(request: Request, site: Site, token: str) -> Caller | None:
    user = await people.who(site.means, token, now=site.means.clock())
    if user is None:
        return None
    if request.method in UNSAFE:
        refuse_other_sites(request)
    return Caller(user.name, _ROLES[user.role], person=user)


def refuse_other_sites(request: Request) -> None:
    """Refuse a browser's request that another site made it send.

    Raises:
        ForbiddenError: Sec-Fetch-Site (or, from old browsers, Origin) says so, or nothing does.
    """
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None:
        if fetch_site in ("same-origin", "none"):
            return
    elif urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host"):
        return
    raise ForbiddenError("this request was not made from a page of this service", reason="other_site")


def _equal(sent: str, key: str) -> bool:
    """Compare in constant time, whatever the lengths."""
    return hmac.compare_digest(hashlib.sha256(sent.encode()).digest(), hashlib.sha256(key.encode()).digest())


async def _own(request: Request) -> Caller:
    return await _check(request, May.OWN)


async def _read(request: Request) -> Caller:
    return await _check(request, May.READ)


async def _member(request: Request) -> Caller:
    caller = await _check(request, May.READ)
    if caller.person is None:
        raise ForbiddenError("only people have an account")
    return caller


async def _write(request: Request) -> Caller:
    return await _check(request, May.WRITE)


async def _admin(request: Request) -> Caller:
    return await _check(request, May.ADMIN)


async def _check(request: Request, least: May) -> Caller:
    caller = await identify(request)
    if caller is None:
        raise UnauthenticatedError("nobody said who calls")
    if caller.may < least:
        raise ForbiddenError("this caller may not do this")
    request.state.caller = caller
    return caller


# What a route writes into its signature.
EndUser = Annotated[Caller, Depends(_own)]
Reader = Annotated[Caller, Depends(_read)]
Member = Annotated[Caller, Depends(_member)]  # of the team: a person, whatever his role
Writer = Annotated[Caller, Depends(_write)]
Admin = Annotated[Caller, Depends(_admin)]
