"""The REST API's documentation and its OpenAPI document."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse, Response

from amarre import __version__
from amarre.web.access import Reader
from amarre.web.pages import frame, render

router = APIRouter(include_in_schema=False)


def schema_of(app: FastAPI) -> dict[str, Any]:
    """Give the OpenAPI document of what machines may call."""
    # Pages and probes say of themselves that they are not part of it.
    return get_openapi(title="Amarre", version=__version__, routes=app.routes)


@router.get("/api/openapi.json")
async def document(request: Request, _: Reader) -> Response:
    """Give the OpenAPI document."""
    return JSONResponse(schema_of(request.app))


@router.get("/api/docs")
async def show(request: Request, caller: Reader) -> Response:
    """Show what machines may call."""
    return frame.answer(request, render.api(frame.of(request, caller, live=False), schema_of(request.app)))
