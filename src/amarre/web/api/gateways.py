"""Gateways: how they are."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel

from amarre.store import gateway
from amarre.web.access import Reader
from amarre.web.state import site_of

router = APIRouter(prefix="/gateways", tags=["gateways"])


class GatewayOut(BaseModel):
    """A gateway as last heard. `state`: unknown, ok, silent, refused, unlicensed or broken."""

    id: UUID
    kind: str
    name: str
    base_url: str
    active: bool
    version: str | None
    state: str
    state_since: datetime
    response_ms: int | None
    listed_at: datetime | None
    instances: int


@router.get("")
async def every_one(request: Request, _: Reader) -> list[GatewayOut]:
    """List gateways."""
    async with site_of(request).means.db.transaction() as conn:
        rows = await gateway.all_of_them(conn)
    return [GatewayOut.model_validate(one, from_attributes=True) for one in rows]
