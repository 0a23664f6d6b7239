"""What machines ask of the service itself: alive, ready, figures."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.responses import JSONResponse, Response

from amarre.store import fleet, gateway
from amarre.store import request as requests
from amarre.web.access import Reader
from amarre.web.state import site_of

router = APIRouter(include_in_schema=False)

INSTANCES = Gauge("amarre_instances", "Instances by state and reason.", ["state", "reason"])
REQUESTS = Gauge("amarre_provisioning_requests", "Requests for an instance by status.", ["status"])
GATEWAYS = Gauge("amarre_gateway_up", "1 where a gateway answers as it should.", ["gateway"])
GATEWAY_MS = Gauge("amarre_gateway_response_ms", "How long a gateway's list call took.", ["gateway"])
WAITING = Gauge("amarre_deliveries_waiting", "Senders that wait at the door.")


@router.get("/healthz")
async def alive() -> JSONResponse:
    """Say that the process answers. Public: it tells nothing else."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """Say whether requests can be served: 503 while the database is away. Public."""
    site = site_of(request)
    if site.live.closing.is_set():
        return JSONResponse({"status": "stopping"}, 503)
    if not await site.means.db.is_up():
        return JSONResponse({"status": "not ready", "code": "database_down"}, 503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics")
async def metrics(request: Request, _: Reader) -> Response:
    """Give figures in the Prometheus text format. Needs a key: they name gateways."""
    site = site_of(request)
    async with site.means.db.transaction() as conn:
        counts = await fleet.counts(conn)
        rows = await gateway.all_of_them(conn)
        queue = await requests.counts(conn)
    for gauge in (INSTANCES, REQUESTS, GATEWAYS, GATEWAY_MS):
        gauge.clear()
    for (state, reason), n in counts.items():
        INSTANCES.labels(state, reason).set(n)
    for status, n in queue.items():
        REQUESTS.labels(status).set(n)
    for one in rows:
        GATEWAYS.labels(one.name).set(one.state == "ok")
        if one.response_ms is not None:
            GATEWAY_MS.labels(one.name).set(one.response_ms)
    WAITING.set(site.door.waiting)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
