"""A small server that plays the real one's part towards the pages' scripts."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from playwright.async_api import Browser, Page

from amarre.web.asgi import CSP
from amarre.web.templating import STATIC


@dataclass(eq=False)
class Server:
    """Serves the pages of `make(part)` at any path, and their stream at `.../events` and `/events`."""

    make: Callable[[str | None], str]
    base: str = ""
    status: int = 200
    away: bool = False
    asked: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    streams: dict[web.StreamResponse, asyncio.Event] = field(default_factory=dict)

    async def page(self, request: web.Request) -> web.StreamResponse:
        part = request.headers.get("X-Part")
        if part:
            self.asked.append(part)
            await self.hold.wait()
        headers = {"Content-Security-Policy": CSP.format(ancestors="'none'")}
        return web.Response(
            text=self.make(part), content_type="text/html", status=self.status, headers=headers
        )

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            return web.Response(status=503)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 200\nevent: hello\ndata: {}\n\n")
        ended = self.streams[response] = asyncio.Event()
        await ended.wait()
        return response

    async def change(self, times: int = 1) -> None:
        """Say that something changed."""
        for one in list(self.streams):
            await one.write(b'id: 7\nevent: changed\ndata: {"kind": "connected"}\n\n' * times)

    def hang_up(self) -> None:
        """End all streams, as a restart does."""
        for ended in self.streams.values():
            ended.set()
        self.streams.clear()


@asynccontextmanager
async def served(make: Callable[[str | None], str]) -> AsyncGenerator[Server]:
    """Serve a page."""
    server = Server(make)
    server.hold.set()
    app = web.Application()
    app.router.add_static("/static", STATIC)
    app.router.add_get("/events", server.stream)
    app.router.add_get("/pair/{token}/events", server.stream)
    app.router.add_get("/{path:.*}", server.page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.base = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        server.hang_up()
        await runner.cleanup()


async def opened(chrome: Browser, url: str, **wish: object) -> tuple[Page, list[str]]:
    """Open a page; return it and the list that its complaints go to."""
    context = await chrome.new_context(reduced_motion="reduce", **wish)  # pyright: ignore[reportArgumentType]
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(url)
    return page, complaints
