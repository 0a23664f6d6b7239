"""One's own account: language, theme, password."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from amarre.core.errors import InvalidError
from amarre.flows import people
from amarre.flows.people import WrongLoginError
from amarre.store.access import User
from amarre.web.access import COOKIE, Caller, Member
from amarre.web.pages import frame, render
from amarre.web.state import site_of

router = APIRouter(prefix="/account", include_in_schema=False)


def _person(caller: Caller) -> User:
    assert caller.person is not None  # noqa: S101  # a Member is one
    return caller.person


@router.get("")
async def show(request: Request, caller: Member) -> Response:
    """Show the account."""
    return frame.answer(request, render.account(frame.of(request, caller, live=False)))


@router.post("")
async def change(
    request: Request,
    caller: Member,
    locale: Annotated[str, Form()] = "",
    theme: Annotated[str, Form()] = "",
) -> Response:
    """Change language and theme."""
    site = site_of(request)
    await people.change(
        site.means, _person(caller).id, locale=locale or "auto", theme=theme or "auto", now=site.means.clock()
    )
    return RedirectResponse("/account", 303)


@router.post("/password")
async def password(
    request: Request,
    caller: Member,
    old: Annotated[str, Form(max_length=1000)],
    new: Annotated[str, Form(max_length=1000)],
) -> Response:
    """Change the password; one logs in anew with it."""
    site = site_of(request)
    try:
        await people.change_password(site.means, _person(caller), old=old, new=new, now=site.means.clock())
    except (WrongLoginError, InvalidError) as refused:
        framed = frame.of(request, caller, live=False)
        page = render.account(framed, error=refused.code, facts=refused.facts)
        return frame.answer(request, page, refused.status)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/")
    return response
