"""The page of the person with the phone: a code, live, by a one-time link."""

from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from amarre.core.errors import NotFoundError
from amarre.core.instance import State
from amarre.flows import pairing
from amarre.web.pages import frame, render
from amarre.web.pages.instance_view import pair_view
from amarre.web.state import site_of

router = APIRouter(prefix="/pair/{token}", include_in_schema=False)

# For so long a link that has paired still shows that it has.
RESULT_SHOWN = timedelta(hours=1)


@router.get("")
async def show(request: Request, token: str) -> Response:
    """Show the code of the link's instance. Public: who has the link may scan, once."""
    means = site_of(request).means
    now = means.clock()
    framed = frame.of(request, None)
    try:
        used, found = await pairing.open_link(means, token, now=now)
    except NotFoundError:
        return frame.answer(request, render.pair_gone(framed, used=False), 404)
    if used.used_at is not None and (found.state != State.CONNECTED or now - used.used_at > RESULT_SHOWN):
        # It has paired once. What is paired after that is not for whoever still has this link.
        return frame.answer(request, render.pair_gone(framed, used=True), 410)
    if used.used_at is None:
        await pairing.watch(means, found.id, now=now)
    page = render.pair(framed, pair_view(found, token, now), part=frame.part(request))
    return frame.answer(request, page)
