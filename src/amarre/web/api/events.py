"""Events: the audit trail of everything."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from amarre.store import event
from amarre.web.access import Reader
from amarre.web.api.instances import EventOut, event_out
from amarre.web.state import site_of

router = APIRouter(prefix="/events", tags=["events"])


@router.get("")
async def recent(
    request: Request,
    _: Reader,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[EventOut]:
    """Read what happened, newest first. `before` is the id to page on from."""
    async with site_of(request).means.db.transaction() as conn:
        return [
            event_out(one) for one in await event.recent(conn, before=before or event.LAST_ID, limit=limit)
        ]
