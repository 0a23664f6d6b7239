"""`make bench`: what the service does, beside the least that the machine could take for it.

Prints a table, and the same as JSON on the last line. Ratios are to be trusted, not single
figures: machines are shared and noisy.
"""

import asyncio
import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
from psycopg.types.json import Jsonb

from amarre.flows import provision
from amarre.flows.means import HOOK_PATH
from amarre.store import event, fleet
from amarre.store.fleet import Wish
from bench.ground import Ground, ground, rate, serving, took_ms

DELIVERIES = 4000
SENDERS = 64
FLEET = 10_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its floor, in the same unit. `ratio` above 1 is slower than the floor."""

    name: str
    unit: str
    figure: float
    floor: float
    floor_is: str

    @property
    def ratio(self) -> float:
        """Say how many times the floor it costs."""
        return self.floor / self.figure if self.unit.endswith("/s") else self.figure / self.floor


async def main() -> None:
    """Run all benches and print them."""
    async with ground() as g:
        figures = [
            await sign_up(g),
            await door(g),
            await feed(g),
            await page(g),
        ]
    for one in figures:
        figure, floor = f"{one.figure:10.1f} {one.unit:5}", f"{one.floor:10.1f} ({one.floor_is})"
        print(f"{one.name:34} {figure}  floor {floor}  ratio {one.ratio:.1f}")
    print(json.dumps([asdict(one) | {"ratio": round(one.ratio, 2)} for one in figures]))


async def sign_up(g: Ground) -> Figure:
    """From the sign-up to a code on the screen; floor: the same calls made at the gateway by hand."""
    means = g.running.means

    async def whole(number: int) -> None:
        await provision.sign_up(means, email=None, full_name=f"Bench {number}", actor="bench")
        while True:
            async with means.db.transaction() as conn:
                if await fleet.page(conn, Wish(q=f"Bench {number}", word="code_shown")):
                    return
            await asyncio.sleep(0.005)

    async def by_hand(number: int) -> None:
        name, headers = f"by-hand-{number}", {"apikey": g.simulator.api_key}
        body = {"instanceName": name, "integration": "WHATSAPP-BAILEYS", "qrcode": False}
        async with g.http.post(f"{g.simulator.base_url}/instance/create", json=body, headers=headers):
            pass
        async with g.http.get(f"{g.simulator.base_url}/webhook/find/{name}", headers=headers):
            pass
        connecting = asyncio.create_task(_connect(g, name, headers))
        await g.simulator.until(lambda: g.simulator.live_code(name) is not None)
        connecting.cancel()

    return Figure(
        "sign-up to code",
        "ms",
        await took_ms(whole, times=7),
        await took_ms(by_hand, times=7),
        "create, webhook/find, connect by hand until the simulator has a code",
    )


async def _connect(g: Ground, name: str, headers: dict[str, str]) -> None:
    async with g.http.get(f"{g.simulator.base_url}/instance/connect/{name}", headers=headers):
        pass


async def door(g: Ground) -> Figure:
    """Deliveries kept a second, each committed before its answer; floor: a bare server's empty answers."""
    row = g.simulator.instances[0]
    assert row.hook is not None
    headers = dict(row.hook.headers or {})

    def body(number: int) -> dict[str, Any]:
        key = {"remoteJid": "33639980099@s.whatsapp.net", "fromMe": False, "id": f"{number}"}
        data = {"key": key, "message": {"conversation": "Bonjour"}, "messageType": "conversation"}
        return {"event": "messages.upsert", "instance": row.name, "data": data, "apikey": "t"}

    async def deliver(number: int) -> None:
        async with g.http.post(HOOK_PATH, json=body(number), headers=headers) as answer:
            assert answer.status == 200, answer.status

    kept = await rate(deliver, times=DELIVERIES, at_once=SENDERS)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with serving(_bare, listening), aiohttp.ClientSession(url) as http:

            async def nothing(number: int) -> None:
                async with http.post("/", json=body(number), headers=headers) as answer:
                    assert answer.status == 200

            floor = await rate(nothing, times=DELIVERIES, at_once=SENDERS)
    return Figure("webhook deliveries kept", "1/s", kept, floor, "a bare server that reads and answers")


async def _bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def feed(g: Ground) -> Figure:
    """From the commit of an event to an open page; floor: a bare INSERT that commits."""
    db = g.running.means.db
    async with g.http.get("/events?topic=fleet", headers=g.service) as stream:
        await stream.content.readuntil(b"\n\n")

        async def tell(number: int) -> None:
            async with db.transaction() as conn:
                await event.tell(conn, "bench", now=g.running.means.clock(), facts={"number": number})
            while b'"kind": "bench"' not in await stream.content.readuntil(b"\n\n"):
                pass

        figure = await took_ms(tell, times=200)

    async def insert(number: int) -> None:
        async with db.transaction() as conn:
            await conn.execute(
                "insert into amarre.system_config (key, value) values (%(key)s, %(value)s)",
                {"key": f"bench-{number}", "value": Jsonb({})},
            )

    return Figure("event to page", "ms", figure, await took_ms(insert, times=200), "a bare INSERT, committed")


async def page(g: Ground) -> Figure:
    """The fleet's first page with 10,000 instances; floor: a static file of the same service."""
    db = g.running.means.db
    async with db.transaction() as conn:
        await conn.execute(
            """
            insert into amarre.instances (kind, gateway_id, name, label, state, state_since, phone)
            select 'evolution', (select id from amarre.gateways limit 1), 'bench-' || n, 'Client ' || n,
                   'connected', now(), '3363998' || lpad(n::text, 4, '0')
              from generate_series(1, %(n)s) n
            """,
            {"n": FLEET},
        )
    async with db.connection() as conn:
        await conn.execute("analyze")

    async def show(_: int) -> None:
        async with g.http.get("/fleet", headers=g.service) as answer:
            assert answer.status == 200
            await answer.read()

    async def static(_: int) -> None:
        async with g.http.get("/static/amarre.css") as answer:
            await answer.read()

    return Figure(
        f"fleet page, {FLEET} instances",
        "ms",
        await took_ms(show, times=20),
        await took_ms(static, times=20),
        "a static file of the same service",
    )


if __name__ == "__main__":
    asyncio.run(main())
