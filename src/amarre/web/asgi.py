"""Routes and middleware, nothing else."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amarre import __version__
from amarre.core.errors import AmarreError
from amarre.web import api, functions, hooks, problems, status
from amarre.web.pages import account, api_docs, fleet, instance, login, pair, stream
from amarre.web.state import Site
from amarre.web.templating import STATIC

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
)


def build(site: Site) -> FastAPI:
    """Make the ASGI application of one web process."""
    app = FastAPI(
        title="Amarre",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.site = site
    for part in (hooks, functions, api, status, login, account, fleet, instance, pair, stream, api_docs):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(AmarreError, problems.on_amarre_error)
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(Exception, problems.on_defect)
    app.add_middleware(Harden)
    return app


class Harden:
    """Says on every answer what browsers may do with it. Plain ASGI: streams pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                _harden(scope["path"], MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_hardened)


def _harden(path: str, headers: MutableHeaders) -> None:
    # The pairing page may be shown inside the customer's own application; nothing else may.
    ancestors = "*" if path.startswith("/pair/") else "'none'"
    headers.setdefault("Content-Security-Policy", CSP.format(ancestors=ancestors))
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    cached = "public, max-age=3600" if path.startswith("/static/") else "no-store"
    headers.setdefault("Cache-Control", cached)
