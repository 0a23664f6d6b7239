"""Routes and middleware, nothing else."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

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
    app.middleware("http")(_harden)
    return app


def schema(app: FastAPI) -> dict[str, object]:
    """Give the OpenAPI document of what machines may call."""
    routes = [one for one in app.routes if getattr(one, "path", "").startswith(("/api/v1", "/functions/v1"))]
    return get_openapi(title="Amarre", version=__version__, routes=routes)


async def _harden(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Say on every answer what browsers may do with it."""
    response = await call_next(request)
    path = request.url.path
    # The pairing page may be shown inside the customer's own application; nothing else may.
    ancestors = "*" if path.startswith("/pair/") else "'none'"
    response.headers.setdefault("Content-Security-Policy", CSP.format(ancestors=ancestors))
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "public, max-age=3600")
    else:
        response.headers.setdefault("Cache-Control", "no-store")
    return response
