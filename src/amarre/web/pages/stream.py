"""The live streams of open pages. A page that is open keeps its instance's code alive."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from amarre.core.errors import InvalidError, NotFoundError, UnauthenticatedError
from amarre.flows import pairing
from amarre.store import instance
from amarre.web.access import Reader, identify
from amarre.web.live import Topic
from amarre.web.state import Site, site_of

router = APIRouter(include_in_schema=False)


@router.get("/events")
async def team(
    request: Request, caller: Reader, topic: Annotated[str, Query(max_length=60)] = "fleet"
) -> StreamingResponse:
    """Stream what happens in the fleet, or to one instance (`instance:<id>`)."""
    site = site_of(request)
    if topic == "fleet":
        return _stream(request, site, Topic(), _session_lives(request))
    found = _instance(topic)
    await pairing.watch(site.means, found, now=site.means.clock(), who=caller.name)
    gateway = await _gateway_of(site, found)
    return _stream(request, site, Topic(found, gateway), _watching(request, site, found))


def _instance(topic: str) -> UUID:
    kind, _, number = topic.partition(":")
    try:
        if kind != "instance":
            raise InvalidError("a topic is fleet or instance:<id>", field="topic")
        found = UUID(number)
    except ValueError as wrong:
        raise InvalidError("a topic is fleet or instance:<id>", field="topic") from wrong
    return found


async def _gateway_of(site: Site, instance_id: UUID) -> UUID | None:
    async with site.means.db.transaction() as conn:
        found = await instance.get(conn, instance_id)
    if found is None:
        raise NotFoundError("no such instance")
    return found.gateway_id


@router.get("/pair/{token}/events")
async def guest(request: Request, token: str) -> StreamingResponse:
    """Stream what happens to the instance of a pairing link."""
    site = site_of(request)
    link, found = await pairing.open_link(site.means, token, now=site.means.clock())

    async def still_here() -> bool:
        now = site.means.clock()
        if link.used_at is None:
            await pairing.watch(site.means, found.id, now=now)
        return now < link.expires_at

    return _stream(request, site, Topic(found.id, found.gateway_id), still_here)


def _session_lives(request: Request) -> Callable[[], Awaitable[bool]]:
    async def lives() -> bool:
        try:
            return await identify(request) is not None
        except UnauthenticatedError:
            return False

    return lives


def _watching(request: Request, site: Site, instance_id: UUID) -> Callable[[], Awaitable[bool]]:
    lives = _session_lives(request)

    async def still_here() -> bool:
        await pairing.watch(site.means, instance_id, now=site.means.clock())
        return await lives()

    return still_here


def _stream(
    request: Request, site: Site, topic: Topic, still_here: Callable[[], Awaitable[bool]]
) -> StreamingResponse:
    sent = request.headers.get("last-event-id", "")
    last_id = int(sent) if sent.isdigit() and len(sent) < 19 else None  # noqa: PLR2004  # a bigint
    stream = site.live.follow(topic, last_id=last_id, now=site.means.clock(), still_here=still_here)
    # X-Accel-Buffering: a proxy in front must pass each message on at once.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
