"""The functions of the HTTP contract under /functions/v1: thin, over the same stories.

A batch that ran is 200 with true counts; where no gateway answered it is 502 or 503, so
that a caller never books an outage as work done. Tokens are never in an answer.
"""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from amarre.core.errors import ForbiddenError, NotFoundError
from amarre.flows import pairing, provision, reconcile
from amarre.flows.means import Means
from amarre.store import gateway, instance
from amarre.store import request as requests
from amarre.store.instance import Instance
from amarre.web.access import Caller, EndUser, May, Writer
from amarre.web.api.instances import InstanceOut, out
from amarre.web.state import site_of

router = APIRouter(prefix="/functions/v1", tags=["functions"])


class Batch(BaseModel):
    """What a batch did. `success` is false when no gateway could be asked."""

    success: bool
    message: str
    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    waiting: int = 0


class Wanted(BaseModel):
    """For whom, and whether an existing instance is to show a new code."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    user_id: UUID | None = Field(None, alias="userId")
    force_refresh: bool = Field(default=False, alias="forceRefresh")
    from_queue: bool = Field(default=False, alias="fromQueue")


NOTHING_SAID = Wanted.model_validate({})


class OneInstance(BaseModel):
    """The caller's instance, and a link to the page that shows its code."""

    success: bool = True
    instance: InstanceOut | None
    pairing_url: str | None = None
    message: str


async def _outage(means: Means) -> JSONResponse | None:
    """Give the answer for: no gateway answers. None when one does."""
    async with means.db.transaction() as conn:
        rows = [one for one in await gateway.all_of_them(conn) if one.active]
    if not rows:
        return _not_done(503, "no_gateway", "no gateway is configured")
    if all(one.state in ("silent", "refused", "unlicensed", "broken") for one in rows):
        states = ", ".join(f"{one.name}: {one.state}" for one in rows)
        return _not_done(502, "gateway_silent", f"no gateway answers ({states})")
    return None


def _not_done(status: int, code: str, error: str) -> JSONResponse:
    told: dict[str, Any] = {
        "type": f"/errors/{code}",
        "title": code,
        "status": status,
        "code": code,
        "detail": error,
        "success": False,
        "error": error,
    }
    return JSONResponse(told, status, media_type="application/problem+json")


@router.post("/refresh-qr-codes", response_model=Batch)
async def refresh_codes(request: Request, _: Writer) -> Batch | JSONResponse:
    """Look after every instance that is being paired, now. Live codes are left alone."""
    means = site_of(request).means
    await reconcile.ask_all(means)
    if (outage := await _outage(means)) is not None:
        return outage
    found, live = await pairing.refresh_all(means)
    return Batch(
        success=True,
        message=f"{live} of {found} codes are live",
        processed=found,
        succeeded=live,
        waiting=found - live,
    )


@router.post("/process-evolution-queue", response_model=Batch)
async def process_queue(request: Request, _: Writer) -> Batch | JSONResponse:
    """Provide what is due in the creation queue, now."""
    means = site_of(request).means
    ran = await provision.run(means, means.clock())
    if ran.processed and not ran.completed and (outage := await _outage(means)) is not None:
        return outage
    async with means.db.transaction() as conn:
        left = await requests.counts(conn)
    return Batch(
        success=True,
        message=f"{ran.completed} of {ran.processed} completed",
        processed=ran.processed,
        succeeded=ran.completed,
        failed=ran.failed,
        waiting=left.get("pending", 0),
    )


def _whose(caller: Caller, wanted: Wanted) -> UUID:
    if caller.user_id is not None:
        if wanted.user_id not in (None, caller.user_id):
            raise ForbiddenError("a user may ask for his own instance only")
        return caller.user_id
    if caller.may < May.WRITE:
        raise ForbiddenError("this caller may not do this")
    if wanted.user_id is None:
        raise NotFoundError("userId is missing: whose instance?", what="profile")
    return wanted.user_id


@router.post("/create-evolution-instance")
async def create(request: Request, caller: EndUser, wanted: Wanted | None = None) -> OneInstance:
    """Give a user his instance: the one he has, or one that is created now.

    Called by the user himself (his JWT) or for him by a trusted machine (`userId`). Calling
    it again is harmless: there is one instance a user. `pairing_url` shows the code.
    """
    means, wanted = site_of(request).means, wanted or NOTHING_SAID
    user = _whose(caller, wanted)
    await provision.ask(means, user)
    await provision.run(means, means.clock())
    async with means.db.transaction() as conn:
        his = await instance.of_user(conn, user)
    if his is None:
        return OneInstance(instance=None, message="the instance is being created")
    if wanted.force_refresh and his.state != "connected":
        await pairing.begin(means, his.id, actor=caller.name, now=means.clock())
    return await _shown(means, his.id, caller)


async def _shown(means: Means, instance_id: UUID, caller: Caller) -> OneInstance:
    async with means.db.transaction() as conn:
        his = await instance.get(conn, instance_id)
    if his is None:
        raise NotFoundError("no such instance")
    url = None
    if his.state != "connected":
        url = await pairing.make_link(means, his.id, actor=caller.name, now=means.clock(), quietly=True)
    return OneInstance(instance=out(his, means.clock()), pairing_url=url, message=_said(his))


def _said(one: Instance) -> str:
    return f"the instance is {one.state}" + (f" ({one.reason})" if one.reason else "")


@router.post("/check-instance-status")
async def check(request: Request, caller: EndUser, wanted: Wanted | None = None) -> OneInstance:
    """Ask the gateway for the present state of a user's instance, and answer with it."""
    means = site_of(request).means
    user = _whose(caller, wanted or NOTHING_SAID)
    async with means.db.transaction() as conn:
        his = await instance.of_user(conn, user)
    if his is None:
        raise NotFoundError("this user has no instance", what="instance")
    await reconcile.ask_one(means, his)
    async with means.db.transaction() as conn:
        checked = await instance.get(conn, his.id)
    found = checked or his
    return OneInstance(instance=out(found, means.clock()), message=_said(found))
