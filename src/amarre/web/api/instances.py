"""Instances: reading them, and what a person may ask of one."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from amarre.core.errors import NotFoundError
from amarre.flows import pairing, provision
from amarre.store import delivery, event, fleet, instance
from amarre.store.fleet import Wish
from amarre.store.instance import Instance
from amarre.web.access import Reader, Writer
from amarre.web.state import site_of

router = APIRouter(prefix="/instances", tags=["instances"])


class InstanceOut(BaseModel):
    """An instance. `code` is what a QR encodes, null when no code can be scanned now."""

    id: UUID
    name: str
    label: str
    kind: str
    gateway: str | None
    profile_id: UUID | None
    state: str
    reason: str | None
    state_since: datetime
    phone: str | None
    profile_name: str | None
    code: str | None
    pairing_code: str | None
    code_expires_at: datetime | None
    webhook_configured_at: datetime | None
    last_delivery_at: datetime | None
    connected_at: datetime | None
    created_at: datetime


class EventOut(BaseModel):
    """Something that happened. `facts` depend on the kind; see the reference of events."""

    id: int
    at: datetime
    kind: str
    instance_id: UUID | None
    actor: str | None
    facts: dict[str, Any]


class DeliveryOut(BaseModel):
    """A webhook delivery, without its body."""

    id: int
    event: str
    received_at: datetime
    applied_at: datetime | None
    outcome: str | None


class LinkOut(BaseModel):
    """A one-time link for the person with the phone. It is shown only here, only now."""

    url: str
    expires_in_s: int = Field(description="Seconds until it ends by itself.")


def out(one: Instance, now: datetime) -> InstanceOut:
    """Show an instance as the API does; a code that has died is not shown."""
    code = pairing.code_of(one, now)
    return InstanceOut(
        id=one.id,
        name=one.name,
        label=one.label,
        kind=one.kind,
        gateway=one.gateway,
        profile_id=one.user_id,
        state=one.state,
        reason=one.reason,
        state_since=one.state_since,
        phone=one.phone,
        profile_name=one.profile_name,
        code=code.text if code else None,
        pairing_code=code.pairing_code if code else None,
        code_expires_at=one.code_expires_at if code else None,
        webhook_configured_at=one.webhook_configured_at,
        last_delivery_at=one.last_delivery_at,
        connected_at=one.connected_at,
        created_at=one.created_at,
    )


def event_out(one: event.Event) -> EventOut:
    """Show an event as the API does."""
    return EventOut(
        id=one.id,
        at=one.at,
        kind=one.kind,
        instance_id=one.instance_id,
        actor=one.actor,
        facts=dict(one.facts),
    )


@router.get("")
async def page(
    request: Request,
    _: Reader,
    q: Annotated[str | None, Query(max_length=200)] = None,
    state: Annotated[str | None, Query(max_length=40)] = None,
    gateway: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[InstanceOut]:
    """List instances, those that need a person first. `state` is a state, a reason or a group."""
    means = site_of(request).means
    wish = Wish(q=q, word=state, gateway=gateway, limit=limit, offset=offset)
    async with means.db.transaction() as conn:
        return [out(one, means.clock()) for one in await fleet.page(conn, wish)]


async def _get(request: Request, instance_id: UUID) -> Instance:
    async with site_of(request).means.db.transaction() as conn:
        found = await instance.get(conn, instance_id)
    if found is None:
        raise NotFoundError("no such instance")
    return found


@router.get("/{instance_id}")
async def get(request: Request, _: Reader, instance_id: UUID) -> InstanceOut:
    """Read one instance."""
    return out(await _get(request, instance_id), site_of(request).means.clock())


@router.get("/{instance_id}/events")
async def events(
    request: Request,
    _: Reader,
    instance_id: UUID,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[EventOut]:
    """Read an instance's story, newest first. `before` is the id to page on from."""
    await _get(request, instance_id)
    async with site_of(request).means.db.transaction() as conn:
        story = await event.of_instance(conn, instance_id, before=before or event.LAST_ID, limit=limit)
    return [event_out(one) for one in story]


@router.get("/{instance_id}/deliveries")
async def deliveries(request: Request, _: Reader, instance_id: UUID) -> list[DeliveryOut]:
    """Read the newest webhook deliveries of an instance and what came of them."""
    await _get(request, instance_id)
    async with site_of(request).means.db.transaction() as conn:
        seen = await delivery.of_instance(conn, instance_id)
    return [
        DeliveryOut(
            id=one.id,
            event=one.event,
            received_at=one.received_at,
            applied_at=one.applied_at,
            outcome=one.outcome,
        )
        for one in seen
    ]


@router.post("/{instance_id}/pairing", status_code=202)
async def begin(request: Request, caller: Writer, instance_id: UUID) -> InstanceOut:
    """Keep a live code on this instance from now on, waking it where it rests."""
    means = site_of(request).means
    await pairing.begin(means, instance_id, actor=caller.name, now=means.clock())
    return out(await _get(request, instance_id), means.clock())


@router.delete("/{instance_id}/pairing", status_code=202)
async def rest(request: Request, caller: Writer, instance_id: UUID) -> InstanceOut:
    """Stop showing codes until somebody looks or asks."""
    means = site_of(request).means
    await pairing.rest(means, instance_id, actor=caller.name, now=means.clock())
    return out(await _get(request, instance_id), means.clock())


@router.post("/{instance_id}/pairing-links", status_code=201)
async def link(request: Request, caller: Writer, instance_id: UUID) -> LinkOut:
    """Make a one-time link that shows the code to the person with the phone."""
    means = site_of(request).means
    url = await pairing.make_link(means, instance_id, actor=caller.name, now=means.clock())
    return LinkOut(url=url, expires_in_s=round(means.policy.link_life.total_seconds()))


@router.post("/{instance_id}/retry", status_code=202)
async def retry(request: Request, caller: Writer, instance_id: UUID) -> InstanceOut:
    """Try again to create an instance that was given up."""
    means = site_of(request).means
    await provision.retry(means, instance_id, actor=caller.name)
    return out(await _get(request, instance_id), means.clock())
