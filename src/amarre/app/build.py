"""Putting a process together: database, keys, gateways, loops."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from amarre.app.clock import read as read_now
from amarre.app.loops import Bells, keep_running, loops
from amarre.core.errors import AmarreError
from amarre.flows import reconcile
from amarre.flows.intake import Door
from amarre.flows.means import Means, Policy
from amarre.gateways import GATEWAYS, GatewayAccess
from amarre.settings import Settings, with_generated_keys
from amarre.store.database import Database, Listener
from amarre.store.embedded import EmbeddedServer, running_url
from amarre.store.migrate import migrate
from amarre.store.vault import SecretKeyError, Vault, prove_key
from amarre.store.wake import CHANNEL, EVENTS
from amarre.web.live import Live

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
# How long a request waits for a database that restarts before it is answered 503.
DATABASE_PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Running:
    """A process that has been put together."""

    settings: Settings
    means: Means
    door: Door
    live: Live
    database_url: str = field(repr=False)
    bells: Bells = field(default_factory=Bells)


@asynccontextmanager
async def open_running(
    settings: Settings, *, work: bool, read_clock: Callable[[], datetime] = read_now
) -> AsyncGenerator[Running]:
    """Start the database where it is ours, migrate, connect, and (`work`) start the loops.

    Raises:
        AmarreError: something is missing or wrong; its text says what to do.
    """
    async with AsyncExitStack() as stack:
        settings, url = await _database(stack, settings)
        await migrate(url, now=read_clock())
        db = await Database.open(url, application_name="amarre", connect_within=DATABASE_PATIENCE)
        stack.push_async_callback(db.close)
        means = await _means(stack, settings, db, read_clock, enter=True)
        running = Running(settings, means, Door(means), Live(db), url)
        stack.push_async_callback(running.door.close)
        if not means.gateways:
            log.warning("no_gateway", hint="set EVOLUTION_API_BASE_URL and EVOLUTION_API_KEY")
        if work:
            await _enter(stack, means)
            _start_loops(stack, running)
        await _listen(stack, running)
        yield running


@asynccontextmanager
async def open_means(
    settings: Settings, *, read_clock: Callable[[], datetime] = read_now
) -> AsyncGenerator[Means]:
    """Give a command its means: the running installation's database, or its own for a moment.

    Raises:
        AmarreError: something is missing or wrong; its text says what to do.
    """
    async with AsyncExitStack() as stack:
        url = running_url(settings.data_dir / "database") if settings.database_url is None else None
        if url is not None:
            settings = with_generated_keys(settings)
        else:
            settings, url = await _database(stack, settings)
            await migrate(url, now=read_clock())
        db = await Database.open(url, application_name="amarre command", max_size=4)
        stack.push_async_callback(db.close)
        yield await _means(stack, settings, db, read_clock, enter=False)


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncGenerator[str]:
    """Give the URL of the installation's database, started for a moment where it is ours and rests."""
    async with AsyncExitStack() as stack:
        url = running_url(settings.data_dir / "database") if settings.database_url is None else None
        yield url or (await _database(stack, settings))[1]


async def _database(stack: AsyncExitStack, settings: Settings) -> tuple[Settings, str]:
    if settings.database_url is not None:
        if settings.secret_key is None:
            raise SecretKeyError(
                "AMARRE_SECRET_KEY must be set where DATABASE_URL is (openssl rand -base64 32)"
            )
        return settings, settings.database_url.get_secret_value()
    settings = with_generated_keys(settings)
    server = EmbeddedServer(settings.data_dir / "database")
    url = await asyncio.to_thread(server.start)
    stack.push_async_callback(asyncio.to_thread, server.stop)
    stack.push_async_callback(_end, asyncio.create_task(_supervise(server), name="supervisor"))
    return settings, url


async def _supervise(server: EmbeddedServer) -> None:
    """Bring our own database back when it has ended by itself (out of memory, killed)."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if server.alive:
            continue
        log.error("database_ended", hint="it is started again; its log is postgres.log")
        try:
            await asyncio.to_thread(server.start)
        except AmarreError as failed:
            log.warning("database_not_started", code=failed.code)


async def _means(
    stack: AsyncExitStack,
    settings: Settings,
    db: Database,
    read_clock: Callable[[], datetime],
    *,
    enter: bool,
) -> Means:
    vault = Vault(settings.secret_key.get_secret_value() if settings.secret_key else "")
    async with db.transaction() as conn:
        await prove_key(conn, vault)
    window = settings.pairing_window_min
    policy = Policy(
        base_url=settings.webhook_base_url or settings.url,
        public_url=settings.url,
        lease=timedelta(seconds=settings.lease_s),
        window=timedelta(minutes=window) if window else None,
    )
    access = _gateways(settings)
    configured = {one.name: (one.kind, one.base_url) for one in access}
    ids = await reconcile.enter(db, configured, now=read_clock()) if enter else await reconcile.ids(db)
    clients = {ids[one.name]: GATEWAYS[one.kind](one) for one in access if one.name in ids}
    for client in clients.values():
        stack.push_async_callback(client.close)
    return Means(db=db, vault=vault, policy=policy, clock=read_clock, gateways=clients)


def _gateways(settings: Settings) -> list[GatewayAccess]:
    if settings.evolution_url is None or settings.evolution_key is None:
        return []
    return [
        GatewayAccess(
            name=settings.evolution_name,
            kind="evolution",
            base_url=settings.evolution_url,
            key=settings.evolution_key.get_secret_value(),
        )
    ]


async def _enter(stack: AsyncExitStack, means: Means) -> None:
    await means.presence.enter(means.db.url, locked=means.db.session.session_locks, now=means.clock())

    async def leave() -> None:
        await means.presence.leave(now=means.clock())

    stack.push_async_callback(leave)


def _start_loops(stack: AsyncExitStack, running: Running) -> None:
    tasks = [
        asyncio.create_task(keep_running(loop, running.means, running.bells), name=loop.name)
        for loop in loops(running.bells, listens=running.means.db.session.listen)
    ]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(end)


async def _listen(stack: AsyncExitStack, running: Running) -> None:
    """Ring the bells and wake the pages when the database says so."""
    feed = asyncio.create_task(running.live.run(), name="live")
    stack.push_async_callback(_end, feed)
    if not running.means.db.session.listen:
        log.warning("polling", hint="LISTEN does not work on this connection (a pooler in transaction mode?)")
        return

    def woken(channel: str, payload: str) -> None:
        if channel == EVENTS:
            running.live.ring()
        else:
            running.bells.ring(payload or "all")

    def missed() -> None:
        running.bells.ring("all")
        running.live.ring()

    listener = Listener(running.means.db.url, [CHANNEL, EVENTS], on_notice=woken, on_reconnect=missed)
    await listener.start()
    stack.push_async_callback(listener.close)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
