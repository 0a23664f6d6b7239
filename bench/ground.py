"""What the benches stand on: a whole service in this process, on an embedded database."""

import asyncio
import contextlib
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvicorn
from pydantic import SecretStr

from amarre.app.build import Running, open_running
from amarre.app.log import set_up
from amarre.app.serve import QuietServer, keys_of, site_of
from amarre.settings import load
from amarre.simulators.evolution import EvolutionSettings, EvolutionSimulator
from amarre.web.asgi import build


@dataclass(frozen=True, slots=True)
class Ground:
    """A running service, its simulated gateway, and a client."""

    running: Running
    simulator: EvolutionSimulator
    http: aiohttp.ClientSession
    service: dict[str, str]


@contextlib.asynccontextmanager
async def ground() -> AsyncGenerator[Ground]:
    """Start everything in a temporary folder."""
    set_up("error")
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amarre-bench-")))
        folder.chmod(0o711)  # noqa: ASYNC240  # nothing else runs yet
        simulator = await stack.enter_async_context(EvolutionSimulator(EvolutionSettings(draw_codes=False)))
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listening.getsockname()[1]
        settings = load(
            data_dir=folder,
            base_url=f"http://127.0.0.1:{port}",
            evolution_url=simulator.base_url,
            evolution_key=SecretStr(simulator.api_key),
        )
        running = await stack.enter_async_context(open_running(settings, work=True))
        await stack.enter_async_context(
            serving(build(site_of(running, keys_of(running.settings))), listening)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        key = running.settings.service_key
        service = {"Authorization": f"Bearer {key.get_secret_value() if key else ''}"}
        yield Ground(running, simulator, http, service)
        running.live.close()


@contextlib.asynccontextmanager
async def serving(app: Callable[..., Awaitable[None]], listening: socket.socket) -> AsyncGenerator[None]:
    """Serve an application on a socket that listens."""
    server = QuietServer(uvicorn.Config(app, log_config=None, lifespan="off", access_log=False))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    await server.answering.wait()
    try:
        yield
    finally:
        server.should_exit = True
        await task


async def rate(call: Callable[[int], Awaitable[None]], *, times: int, at_once: int) -> float:
    """Call `times` times, `at_once` at a time; return calls a second."""
    numbers = iter(range(times))

    async def work() -> None:
        for number in numbers:
            await call(number)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return times / (time.perf_counter() - began)


async def took_ms(call: Callable[[int], Awaitable[None]], *, times: int) -> float:
    """Call one after another; return the median in milliseconds."""
    each: list[float] = []
    for number in range(times):
        began = time.perf_counter()
        await call(number)
        each.append((time.perf_counter() - began) * 1000)
    return statistics.median(each)
