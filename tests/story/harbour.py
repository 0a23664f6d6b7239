"""A whole installation in one event loop: database, simulated gateway, the real web application.

Work is done when the test says so (`work`), at the time that the test says (`clock`), so
that a story can be told step by step; `until` works and waits for the gateway's deliveries
until something is true.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import uvicorn
from fastapi import FastAPI
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from amarre.app.serve import QuietServer as _QuietServer
from amarre.flows import intake, pairing, people, provision, reconcile
from amarre.flows.intake import Door
from amarre.flows.means import Means, Policy
from amarre.gateways import GATEWAYS, Gateway, GatewayAccess
from amarre.simulators.evolution import FAST, EvolutionSettings, EvolutionSimulator
from amarre.store import event, instance
from amarre.store.database import Database
from amarre.store.delivery import Arrival
from amarre.store.event import Event
from amarre.store.instance import Instance
from amarre.store.vault import Vault
from amarre.store.worker import Presence
from amarre.web.asgi import build
from amarre.web.live import Live
from amarre.web.state import Keys, Site

SECRET_KEY = "a-key-of-the-tests-0123456789-abcdefgh"
SERVICE_KEY = "service-key-of-the-tests-0123456789-abc"
INTERNAL_KEY = "internal-key-of-the-tests-0123456789-a"
JWT_SECRET = "jwt-secret-of-the-tests-0123456789-abcd"
PASSWORD = "a long enough password"
PATIENCE = timedelta(seconds=10)


@dataclass(slots=True)
class Clock:
    """The machine's clock, moved ahead by what the test says."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead  # noqa: TID251  # the edge of the tests

    def advance(self, by: timedelta) -> None:
        self.ahead += by


@dataclass(slots=True)
class Harbour:
    """One installation. `means` is what stories are told with."""

    means: Means
    simulator: EvolutionSimulator
    url: str
    clock: Clock
    http: aiohttp.ClientSession
    live: Live
    app: FastAPI
    database_url: str
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def another_worker(self, number: int) -> Means:
        """Give the means of another process on the same database."""
        return replace(self.means, presence=Presence(number))

    async def work(self) -> int:
        """Do all that is due, until nothing is."""
        done = 0
        while True:
            now = self.clock()
            did = await intake.apply(self.means, now)
            did += (await provision.run(self.means, now)).processed
            did += await pairing.run(self.means, now)
            if not did:
                return done
            done += did

    async def until(self, true: Callable[[Instance], bool], of: UUID) -> Instance:
        """Work until something is true of an instance."""
        async with asyncio.timeout(PATIENCE.total_seconds()):
            while True:
                self.arrived.clear()
                await self.work()
                found = await self.get(of)
                if true(found):
                    return found
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.arrived.wait()

    async def sign_up(self, name: str = "Café du Port") -> UUID:
        """Have a customer sign up; return his id."""
        return (await provision.sign_up(self.means, email=None, full_name=name, actor="test")).id

    async def of_user(self, user: UUID) -> Instance:
        async with self.means.db.transaction() as conn:
            found = await instance.of_user(conn, user)
        assert found is not None
        return found

    async def get(self, of: UUID) -> Instance:
        async with self.means.db.transaction() as conn:
            found = await instance.get(conn, of)
        assert found is not None
        return found

    async def shown(self, name: str = "Café du Port") -> Instance:
        """Have a customer sign up and wait until his code is shown."""
        user = await self.sign_up(name)
        await self.work()
        return await self.until(lambda one: one.reason == "code_shown", (await self.of_user(user)).id)

    async def connected(self, name: str = "Café du Port", phone: str = "33639980001") -> Instance:
        """Have a customer sign up and scan his code."""
        shown = await self.shown(name)
        self.simulator.scan(shown.name, phone=phone)
        return await self.until(lambda one: one.state == "connected", shown.id)

    async def story(self, of: UUID) -> list[Event]:
        """Read an instance's events, oldest first."""
        async with self.means.db.transaction() as conn:
            return (await event.of_instance(conn, of, limit=500))[::-1]

    async def kinds(self, of: UUID) -> list[str]:
        return [one.kind for one in await self.story(of)]

    async def reconcile(self) -> None:
        """Compare the gateway's list now."""
        await reconcile.ask_all(self.means)

    async def sql(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """Run a statement as an operator would."""
        connecting = AsyncConnection[DictRow].connect(
            self.database_url, autocommit=True, row_factory=dict_row
        )
        async with await connecting as conn:
            cursor = await conn.execute(statement, values or None)  # pyright: ignore[reportArgumentType]
            return [dict(row) for row in await cursor.fetchall()] if cursor.description else []


@contextlib.asynccontextmanager
async def harbour(
    database_url: str,
    settings: EvolutionSettings = FAST,
    *,
    policy: dict[str, Any] | None = None,
    create_timeout: timedelta | None = None,
    gateway: Gateway | None = None,
) -> AsyncGenerator[Harbour]:
    """Open an installation on a migrated database."""
    clock = Clock()
    async with contextlib.AsyncExitStack() as stack:
        db = await Database.open(database_url, application_name="tests", max_size=10)
        stack.push_async_callback(db.close)
        simulator = await stack.enter_async_context(EvolutionSimulator(settings))
        ids = await reconcile.enter(db, {"evo-1": ("evolution", simulator.base_url)}, now=clock())
        access = GatewayAccess("evo-1", "evolution", simulator.base_url, simulator.api_key)
        client = gateway or GATEWAYS["evolution"](access, create_timeout=create_timeout)
        stack.push_async_callback(client.close)
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        means = Means(
            db=db,
            vault=Vault(SECRET_KEY),
            policy=replace(Policy(base_url, base_url), **(policy or {})),
            clock=clock,
            gateways={ids["evo-1"]: client},
            presence=Presence(1),
        )
        live = Live(db)
        arrived = asyncio.Event()
        door = _RingingDoor(means, arrived)
        keys = Keys(service=SERVICE_KEY, anon="anon", jwt_secret=JWT_SECRET, internal=(INTERNAL_KEY,))
        site = Site(means, door, live, keys, "Marelle")
        app = build(site)
        await stack.enter_async_context(_serving(app, site, listening))
        http = await stack.enter_async_context(aiohttp.ClientSession(base_url))
        yield Harbour(means, simulator, base_url, clock, http, live, app, database_url, arrived)


class _RingingDoor(Door):
    """The real door, which also tells the test that something came in."""

    def __init__(self, means: Means, arrived: asyncio.Event) -> None:
        super().__init__(means)
        self._arrived = arrived

    async def take(self, arrived: Arrival) -> UUID:
        kept = await super().take(arrived)
        self._arrived.set()
        return kept


@contextlib.asynccontextmanager
async def _serving(app: FastAPI, site: Site, listening: socket.socket) -> AsyncGenerator[None]:
    """Serve the real application on a socket that listens already."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    feeding = asyncio.create_task(site.live.run())
    await asyncio.wait_for(server.answering.wait(), 5)
    try:
        yield
    finally:
        site.live.close()
        server.should_exit = True
        await serving
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def with_team(h: Harbour) -> None:
    """Add alice the administrator, bob of the support and carol who only looks."""
    for name, role in (("alice", "admin"), ("bob", "support"), ("carol", "viewer")):
        await people.add(
            h.means, email=f"{name}@marelle.example", name=name.title(), role=role, password=PASSWORD
        )
