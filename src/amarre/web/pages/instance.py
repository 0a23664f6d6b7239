"""One instance: its line, its code, its story, and what a person may do about it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from amarre.core.errors import NotFoundError
from amarre.flows import pairing, provision, remove
from amarre.flows.means import Means
from amarre.store import event, instance
from amarre.store.instance import Instance
from amarre.web.access import Admin, Reader, Writer
from amarre.web.pages import frame, render
from amarre.web.pages.instance_view import instance_view
from amarre.web.pages.view import Frame
from amarre.web.state import site_of

router = APIRouter(prefix="/instances/{instance_id}", include_in_schema=False)

STORY = 60


async def _get(means: Means, instance_id: UUID) -> Instance:
    async with means.db.transaction() as conn:
        found = await instance.get(conn, instance_id)
    if found is None:
        raise NotFoundError("no such instance")
    return found


async def _page(
    means: Means, framed: Frame, instance_id: UUID, *, part: str | None, link: str | None = None
) -> str:
    found = await _get(means, instance_id)
    async with means.db.transaction() as conn:
        told = await event.of_instance(conn, instance_id, limit=STORY)
    return render.instance(framed, instance_view(found, told, frame=framed, link=link), part=part)


@router.get("")
async def show(request: Request, caller: Reader, instance_id: UUID) -> Response:
    """Show an instance."""
    page = await _page(
        site_of(request).means, frame.of(request, caller), instance_id, part=frame.part(request)
    )
    return frame.answer(request, page)


@router.post("/pairing")
async def begin(request: Request, caller: Writer, instance_id: UUID) -> Response:
    """Ask for a live code from now on."""
    means = site_of(request).means
    await pairing.begin(means, instance_id, actor=caller.name, now=means.clock())
    return RedirectResponse(f"/instances/{instance_id}", 303)


@router.post("/rest")
async def rest(request: Request, caller: Writer, instance_id: UUID) -> Response:
    """Stop showing codes."""
    means = site_of(request).means
    await pairing.rest(means, instance_id, actor=caller.name, now=means.clock())
    return RedirectResponse(f"/instances/{instance_id}", 303)


@router.post("/link")
async def link(request: Request, caller: Writer, instance_id: UUID) -> Response:
    """Make a one-time link and show it, this once."""
    means = site_of(request).means
    url = await pairing.make_link(means, instance_id, actor=caller.name, now=means.clock())
    page = await _page(means, frame.of(request, caller), instance_id, part=None, link=url)
    return frame.answer(request, page)


@router.get("/link")
async def link_again(instance_id: UUID, _: Reader) -> Response:
    """Lead a reloaded page back: a link is shown once."""
    return RedirectResponse(f"/instances/{instance_id}", 303)


@router.post("/retry")
async def retry(request: Request, caller: Writer, instance_id: UUID) -> Response:
    """Try again to create an instance that was given up."""
    await provision.retry(site_of(request).means, instance_id, actor=caller.name)
    return RedirectResponse(f"/instances/{instance_id}", 303)


@router.get("/remove")
async def ask_to_remove(request: Request, caller: Admin, instance_id: UUID) -> Response:
    """Ask again before an irreversible act."""
    found = await _get(site_of(request).means, instance_id)
    framed = frame.of(request, caller, live=False)
    page = f"/instances/{instance_id}"
    asked = render.confirm(framed, what="remove", label=found.label, action=f"{page}/remove", back=page)
    return frame.answer(request, asked)


@router.post("/remove")
async def remove_it(
    request: Request, _: Admin, instance_id: UUID, sure: Annotated[str, Form()] = ""
) -> Response:
    """Delete the customer and his instance, here and at the gateway."""
    means = site_of(request).means
    found = await _get(means, instance_id)
    if sure != "yes":
        return RedirectResponse(f"/instances/{instance_id}/remove", 303)
    if found.user_id is None:
        raise NotFoundError("this instance is being removed already")
    await remove.customer(means, found.user_id)
    return RedirectResponse("/fleet", 303)
