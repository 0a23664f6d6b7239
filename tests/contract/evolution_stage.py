"""What the tests of the simulated Evolution share: a caller, a receiver of webhooks, the tape."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from amarre.simulators.evolution import EvolutionSimulator

DATA = Path(__file__).parents[1] / "data" / "evolution"
PHONE = "33639980001"
EVENTS = ["QRCODE_UPDATED", "CONNECTION_UPDATE", "STATUS_INSTANCE", "LOGOUT_INSTANCE", "SEND_MESSAGE"]


def read_tape() -> list[dict[str, Any]]:
    """Read what a real server answered, in the order of recording."""
    return json.loads((DATA / "transcripts.json").read_text())


def read_hooks(series: str) -> list[dict[str, Any]]:
    """Read one recorded series of deliveries, without the marks of the recording."""
    (path,) = DATA.glob(f"hooks-{series}-*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["body"]["event"] != "--"]


class Caller:
    """Calls a simulator as a client would."""

    def __init__(self, gateway: EvolutionSimulator, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def __call__(
        self, verb: str, path: str, body: Any = None, *, key: str | None = "", headers=None
    ) -> tuple[int, Any]:
        """Make one call with the global key (None for no key) and return status and JSON."""
        sent = dict(headers or {})
        if key is not None:
            sent["apikey"] = key or self.gateway.api_key
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        url = self.gateway.base_url + path
        async with self.session.request(verb, url, data=text, headers=sent) as answer:
            return answer.status, await answer.json()

    async def create(self, name: str, **fields: Any) -> dict[str, Any]:
        """Create an instance that answers at once, with no code."""
        status, made = await self(
            "POST",
            "/instance/create",
            {"instanceName": name, "integration": "WHATSAPP-BAILEYS", **fields},
        )
        assert status == 201, made
        return made

    async def pair(self, name: str, *, phone: str = PHONE, **fields: Any) -> None:
        """Create an instance and scan its first code."""
        await self.create(name, **fields)
        await self("GET", f"/instance/connect/{name}")
        await self.rescan(name, phone=phone)

    async def rescan(self, name: str, *, phone: str = PHONE) -> None:
        """Scan the next code of an instance and wait until it is connected."""
        await self.gateway.until(lambda: self.gateway.live_code(name) is not None)
        self.gateway.scan(name, phone=phone, profile_name="Resto Test")
        await self.gateway.until(lambda: self.gateway.instance(name).state == "open")


class Mailbox:
    """A tiny server that receives webhooks and answers them as it is told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.statuses: list[int] = []  # the next answers; 200 once they are used up
        self.failures: dict[str, int] = {}  # how often an event is answered 503 first
        self.url = ""
        self._came = asyncio.Event()

    @property
    def events(self) -> list[str]:
        """What came, in the order of arrival; connection updates with their state."""
        return [
            f"{body['event']} {body['data']['state']}"
            if body["event"] == "connection.update"
            else body["event"]
            for body in self.bodies
        ]

    def hook(self, **fields: Any) -> dict[str, Any]:
        """Say it as the `webhook` of a create."""
        return {"enabled": True, "url": self.url, "events": [], **fields}

    async def until(self, claim: Callable[[], bool], *, within_s: float = 5) -> None:
        """Wait until what came makes the claim true."""
        async with asyncio.timeout(within_s):
            while not claim():
                self._came.clear()
                await self._came.wait()

    async def receive(self, request: web.Request) -> web.Response:
        """Keep what came and answer it."""
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        self.paths.append(request.path_qs)
        self._came.set()
        event = self.bodies[-1]["event"]
        if self.failures.get(event):
            self.failures[event] -= 1
            return web.Response(status=503)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@asynccontextmanager
async def open_mailbox() -> AsyncGenerator[Mailbox]:
    """Run a mailbox on a free port."""
    mailbox = Mailbox()
    app = web.Application()
    app.router.add_post("/{tail:.*}", mailbox.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    mailbox.url = "http://{}:{}/hook".format(*runner.addresses[0][:2])
    try:
        yield mailbox
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_gateway(settings: Any) -> AsyncGenerator[tuple[EvolutionSimulator, Caller]]:
    """Run a simulator and somebody who calls it."""
    async with EvolutionSimulator(settings) as gateway, aiohttp.ClientSession() as session:
        yield gateway, Caller(gateway, session)
