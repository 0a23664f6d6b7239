"""Logging in and out."""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from amarre.core.errors import TooManyError
from amarre.flows import people
from amarre.flows.people import WrongLoginError
from amarre.web.access import COOKIE, identify, refuse_other_sites
from amarre.web.pages import frame, render
from amarre.web.state import site_of

router = APIRouter(include_in_schema=False)


@router.get("/login")
async def show(request: Request, next: Annotated[str, Query(max_length=500)] = "/") -> Response:  # noqa: A002
    """Show the login page; who is logged in goes on."""
    if request.headers.get("authorization") is None and await identify(request) is not None:
        return RedirectResponse(unquote(frame.safe_next(next)), 303)
    return frame.answer(
        request, render.login(frame.of(request, None, live=False), next=frame.safe_next(next))
    )


@router.post("/login")
async def enter(
    request: Request,
    email: Annotated[str, Form(max_length=320)],
    password: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form(max_length=500)] = "/",  # noqa: A002
) -> Response:
    """Begin a session. What another site's page sends is refused."""
    refuse_other_sites(request)
    site = site_of(request)
    try:
        session = await people.log_in(
            site.means,
            email=email,
            password=password,
            address=request.client.host if request.client else "unknown",
            now=site.means.clock(),
        )
    except (WrongLoginError, TooManyError) as refused:
        framed = frame.of(request, None, live=False)
        page = render.login(
            framed, next=frame.safe_next(next), email=email, error=refused.code, facts=refused.facts
        )
        answer = frame.answer(request, page, refused.status)
        if isinstance(refused, TooManyError):
            answer.headers["Retry-After"] = str(refused.facts["retry_after_s"])
        return answer
    response = RedirectResponse(unquote(frame.safe_next(next)), 303)
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=int(people.SESSION_LIFE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=site.secure,
        path="/",
    )
    return response


@router.post("/logout")
async def leave(request: Request) -> Response:
    """End the session."""
    refuse_other_sites(request)
    if token := request.cookies.get(COOKIE):
        await people.log_out(site_of(request).means, token)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/")
    return response
