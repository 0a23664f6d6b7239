"""Serving: web, workers, or both in one process, until a signal ends it."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import structlog
import uvicorn
from fastapi import FastAPI
from jwt import PyJWKSet
from pydantic import SecretStr
from typing_extensions import override

from amarre.app.build import Running, open_running
from amarre.core.errors import ConflictError
from amarre.flows import people
from amarre.settings import Settings, SettingsError
from amarre.web.asgi import build
from amarre.web.state import Keys, Site

log = structlog.get_logger()

FIRST_ADMIN = "admin@localhost"


class AddressTakenError(ConflictError):
    """Somebody else listens on this address, or it is not one of this machine."""

    code = "address_taken"


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def keys_of(settings: Settings) -> Keys:
    """Give the web room its keys.

    Raises:
        SettingsError: AMARRE_JWKS is not a key set.
    """
    internal = (_text(settings.internal_key), _text(settings.internal_key_previous))
    try:
        jwks = PyJWKSet.from_dict(json.loads(settings.jwks)) if settings.jwks else None
    except Exception as wrong:
        raise SettingsError("AMARRE_JWKS is not a JSON Web Key Set") from wrong
    return Keys(
        service=_text(settings.service_key),
        anon=_text(settings.anon_key),
        jwt_secret=_text(settings.jwt_secret),
        jwks=jwks,
        internal=tuple(key for key in internal if key),
    )


def site_of(running: Running, keys: Keys) -> Site:
    """Make what the routes are handed."""
    return Site(
        means=running.means,
        door=running.door,
        live=running.live,
        keys=keys,
        company=running.settings.company,
        secure=running.settings.url.startswith("https://"),
        zone=ZoneInfo(running.settings.zone),
    )


Ready = Callable[[Running], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Admin:
    """Who administers a new installation. Without a password one is generated."""

    email: str = FIRST_ADMIN
    password: str | None = field(default=None, repr=False)


async def serve(
    settings: Settings,
    *,
    web: bool,
    work: bool,
    say: Callable[[str], None],
    ready: Ready,
    admin: Admin | None = None,
) -> None:
    """Run until SIGINT or SIGTERM. `ready` is awaited when requests are answered.

    `say` takes lines for the person who started it.
    """
    first_admin = admin or Admin()
    keys = keys_of(settings)  # what is wrong with them is said before anything starts
    listening, settings = _bind(settings) if web else (None, settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with open_running(settings, work=work) as running:
        first = await people.first_admin(
            running.means, email=first_admin.email, password=first_admin.password
        )
        if first is not None and first_admin.password is None:
            say(f"First administrator: {first[0].email}  password: {first[1]}  (shown once)")
        if listening is None:
            await ready(running)
            await stop.wait()
            return
        with listening:
            await _serve_web(build(site_of(running, keys)), listening, running, stop, lambda: ready(running))


def _bind(settings: Settings) -> tuple[socket.socket, Settings]:
    """Take the address before anything else; port 0 becomes the free one that was taken.

    Raises:
        AddressTakenError: somebody else listens there, or it is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as taken:
        where = f"{settings.host} port {settings.port} ({taken.strerror})"
        raise AddressTakenError(f"cannot listen on {where}: choose another with --port") from taken
    return listening, settings.model_copy(update={"port": listening.getsockname()[1]})


async def _serve_web(
    app: FastAPI,
    listening: socket.socket,
    running: Running,
    stop: asyncio.Event,
    ready: Callable[[], Awaitable[None]],
) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        forwarded_allow_ips="127.0.0.1",
    )
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    answering = asyncio.create_task(_when_answering(server, ready))
    await asyncio.wait({serving, stopping, answering}, return_when=asyncio.FIRST_COMPLETED)
    if answering.done() and answering.exception() is None and not serving.done():
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    running.live.close()
    server.should_exit = True
    for task in (stopping, answering):
        task.cancel()
    await serving
    await asyncio.gather(stopping, return_exceptions=True)
    with contextlib.suppress(asyncio.CancelledError):
        await answering


async def _when_answering(server: "QuietServer", ready: Callable[[], Awaitable[None]]) -> None:
    await server.answering.wait()
    await ready()


class QuietServer(uvicorn.Server):
    """A server that says when it answers, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.answering.set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
