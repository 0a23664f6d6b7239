"""Customers: adding one leads to an instance, deleting one takes it away."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from amarre.core.errors import NotFoundError
from amarre.flows import provision, remove
from amarre.store import instance, profile
from amarre.web.access import Admin, Reader, Writer
from amarre.web.state import site_of

router = APIRouter(prefix="/profiles", tags=["profiles"])


class NewProfile(BaseModel):
    """A customer to be added. A name or an address is needed."""

    model_config = ConfigDict(extra="forbid")

    id: UUID | None = Field(None, description="The customer's id in your own system, if he has one.")
    email: str | None = Field(None, max_length=320)
    full_name: str | None = Field(None, max_length=200)
    phone: str | None = Field(None, max_length=40)
    locale: Literal["fr", "en"] | None = None


class ProfileOut(BaseModel):
    """A customer, and the instance that is his (null until a worker has begun)."""

    id: UUID
    email: str | None
    full_name: str | None
    phone: str | None
    locale: str | None
    created_at: datetime
    instance_id: UUID | None = None


def _out(one: profile.Profile, instance_id: UUID | None = None) -> ProfileOut:
    return ProfileOut(
        id=one.id,
        email=one.email,
        full_name=one.full_name,
        phone=one.phone,
        locale=one.locale,
        created_at=one.created_at,
        instance_id=instance_id,
    )


@router.post("", status_code=201)
async def add(request: Request, caller: Writer, new: NewProfile) -> ProfileOut:
    """Add a customer. His instance is created within seconds."""
    added = await provision.sign_up(
        site_of(request).means,
        email=new.email,
        full_name=new.full_name,
        phone=new.phone,
        locale=new.locale,
        profile_id=new.id,
        actor=caller.name,
    )
    return _out(added)


@router.get("")
async def page(
    request: Request,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[ProfileOut]:
    """List customers, newest first."""
    async with site_of(request).means.db.transaction() as conn:
        return [_out(one) for one in await profile.page(conn, limit=limit, offset=offset)]


@router.get("/{profile_id}")
async def get(request: Request, _: Reader, profile_id: UUID) -> ProfileOut:
    """Read one customer."""
    async with site_of(request).means.db.transaction() as conn:
        found = await profile.get(conn, profile_id)
        his = await instance.of_user(conn, profile_id)
    if found is None:
        raise NotFoundError("no such profile")
    return _out(found, his.id if his else None)


@router.delete("/{profile_id}", status_code=204)
async def delete(request: Request, _: Admin, profile_id: UUID) -> None:
    """Delete a customer. His instance is logged out and deleted at the gateway."""
    await remove.customer(site_of(request).means, profile_id)
