"""The fleet, and adding a customer to it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from amarre.core.errors import ConflictError, InvalidError
from amarre.flows import provision
from amarre.store import fleet, gateway, profile
from amarre.store.fleet import Wish
from amarre.web.access import Reader, Writer
from amarre.web.pages import frame, render
from amarre.web.pages.view import PAGE_ROWS, Asked, fleet_view
from amarre.web.state import site_of

router = APIRouter(include_in_schema=False)

WORDS = frozenset(
    {
        *("creating", "connecting", "connected", "disconnected", "error"),
        *("awaiting_code", "code_shown", "scanned", "reconnecting", "pairing_expired", "unlinked"),
        *("restricted", "banned", "webhook_missing", "provisioning_failed"),
        *("attention", "moving", "resting"),
    }
)


@router.get("/")
async def home() -> Response:
    """Lead to the fleet."""
    return RedirectResponse("/fleet", 303)


@router.get("/fleet")
async def show(
    request: Request,
    caller: Reader,
    q: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=40)] = "",
    gw: Annotated[str, Query(alias="gateway", max_length=200)] = "",
    sort: Annotated[str, Query(max_length=20)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """Show the fleet, filtered and page by page. An unknown filter shows all."""
    word = state if state in WORDS else ""
    asked = Asked(q=q, word=word, gateway=gw, by_name=sort == "name", page=page)
    wish = Wish(
        q=q or None,
        word=word or None,
        gateway=gw or None,
        by_name=asked.by_name,
        limit=PAGE_ROWS,
        offset=(page - 1) * PAGE_ROWS,
    )
    framed = frame.of(request, caller)
    async with site_of(request).means.db.transaction() as conn:
        view = fleet_view(
            await fleet.page(conn, wish),
            counts=await fleet.counts(conn),
            found=await fleet.count(conn, wish),
            gateways=[one.name for one in await gateway.all_of_them(conn)],
            asked=asked,
            frame=framed,
        )
    return frame.answer(request, render.fleet(framed, view, part=frame.part(request)))


@router.get("/customers/new")
async def ask(request: Request, caller: Writer) -> Response:
    """Show the form for a new customer."""
    return frame.answer(request, render.new(frame.of(request, caller, live=False)))


@router.post("/customers")
async def add(
    request: Request,
    caller: Writer,
    full_name: Annotated[str, Form(max_length=200)] = "",
    email: Annotated[str, Form(max_length=320)] = "",
    phone: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Add a customer and lead to his instance's page; a mistake comes back with the form."""
    means = site_of(request).means
    try:
        added = await provision.sign_up(
            means, email=email, full_name=full_name, phone=phone.strip() or None, actor=caller.name
        )
    except (InvalidError, ConflictError) as wrong:
        framed = frame.of(request, caller, live=False)
        values = {"full_name": full_name, "email": email, "phone": phone}
        field = str(wrong.facts.get("field", ""))
        page = render.new(framed, values=values, error=wrong.code, field=field)
        return frame.answer(request, page, wrong.status)
    return RedirectResponse(f"/customers/{added.id}", 303)


@router.get("/customers/{profile_id}")
async def lead(request: Request, caller: Reader, profile_id: UUID) -> Response:
    """Lead to a customer's instance; while no worker has begun it, show that it is coming."""
    means = site_of(request).means
    his = await provision.soon(means, profile_id)
    if his is not None:
        return RedirectResponse(f"/instances/{his.id}", 303)
    async with means.db.transaction() as conn:
        customer = await profile.get(conn, profile_id)
    label = (customer.full_name or customer.email or "") if customer else ""
    framed = frame.of(request, caller)
    return frame.answer(request, render.coming(framed, label=label, part=frame.part(request)))
