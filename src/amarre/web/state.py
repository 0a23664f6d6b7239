"""What every route is handed: the means of the stories, the door, the live feed, the keys."""

from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from jwt import PyJWKSet
from starlette.requests import HTTPConnection

from amarre.flows.intake import Door
from amarre.flows.means import Means
from amarre.web.live import Live


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of machines and the secrets that JWTs are checked with. None: not set, not accepted."""

    service: str | None = field(default=None, repr=False)
    anon: str | None = field(default=None, repr=False)
    jwt_secret: str | None = field(default=None, repr=False)
    jwks: PyJWKSet | None = field(default=None, repr=False)
    internal: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Site:
    """One web process."""

    means: Means
    door: Door
    live: Live
    keys: Keys
    company: str = ""
    secure: bool = False  # served over https: cookies say so
    zone: tzinfo = UTC  # in which pages tell the time


def site_of(connection: HTTPConnection) -> Site:
    """Give the site that a request came to."""
    site = connection.app.state.site
    assert isinstance(site, Site)  # noqa: S101  # asgi.build puts it there
    return site
