"""The door for gateways' webhooks: authenticate, keep, answer.

2xx means: it is committed. 401 tells a gateway that its secret is wrong (it does not try
again), 503 that it must try again: our database down is never a 4xx.
"""

import json
import math
from typing import Any, cast

from fastapi import APIRouter, Request
from prometheus_client import Counter, Histogram
from starlette.responses import JSONResponse

from amarre.core.errors import AmarreError, InvalidError, TooManyError, UnauthenticatedError
from amarre.flows import intake
from amarre.flows.means import HOOK_HEADER, HOOK_PATH
from amarre.web.state import site_of

router = APIRouter()

LARGEST = 2 * 1024 * 1024
WAITING_MOST = 5000

KEPT = Counter("amarre_deliveries_kept", "Webhook deliveries that were kept.")
REFUSED = Counter("amarre_deliveries_refused", "Webhook deliveries that were refused.", ["reason"])
TOOK = Histogram("amarre_delivery_seconds", "How long a webhook's sender waited for our answer.")


class TooLargeError(AmarreError):
    """The body is larger than a delivery can be."""

    code = "too_large"
    status = 413


@router.post(HOOK_PATH, include_in_schema=True, summary="Take a gateway's webhook", tags=["functions"])
async def take(request: Request) -> JSONResponse:
    """Keep one delivery of an Evolution API server. The secret of the instance comes in a header."""
    with TOOK.time():
        try:
            await _take(request)
        except AmarreError as refused:
            REFUSED.labels(refused.code).inc()
            raise
    KEPT.inc()
    return JSONResponse({"success": True})


async def _take(request: Request) -> None:
    site = site_of(request)
    secret = request.headers.get(HOOK_HEADER)
    if not secret:
        raise UnauthenticatedError(f"the header {HOOK_HEADER} is missing")
    if site.door.waiting >= WAITING_MOST:
        raise TooManyError("too many deliveries wait", retry_after_s=5)
    body = _read(await _body(request))
    try:
        arrived = intake.arrival_from_any(site.means, body, secret, site.means.clock())
    except RecursionError as deep:
        raise InvalidError("the body is nested too deeply", field="body") from deep
    await site.door.take(arrived)


async def _body(request: Request) -> bytes:
    """Read the body, no further than it may be long."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > LARGEST:
        raise TooLargeError(f"a delivery has at most {LARGEST} bytes")
    taken = bytearray()
    async for chunk in request.stream():
        taken += chunk
        if len(taken) > LARGEST:
            raise TooLargeError(f"a delivery has at most {LARGEST} bytes")
    return bytes(taken)


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written} is too large a number")
    return number


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _read(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as wrong:
        raise InvalidError("the body is not JSON", field="body") from wrong
    if not isinstance(body, dict):
        raise InvalidError("the body is not a JSON object", field="body")
    return cast("dict[str, Any]", body)
