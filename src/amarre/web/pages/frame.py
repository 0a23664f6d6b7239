"""What every page needs from its request: the reader, the language, the frame."""

from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse

from amarre.store.access import User
from amarre.web.access import Caller
from amarre.web.i18n import pick_language
from amarre.web.pages import render
from amarre.web.pages.view import Frame, Notice, Person
from amarre.web.state import site_of

LANG_COOKIE = "amarre_lang"
PART_HEADER = "x-part"


def language(request: Request, user: User | None) -> str:
    """Choose the reader's language."""
    return pick_language(
        person=user.locale if user else None,
        asked=request.query_params.get("lang"),
        cookie=request.cookies.get(LANG_COOKIE),
        accepted=request.headers.get("accept-language", ""),
    )


def of(request: Request, caller: Caller | None, *, notice: Notice | None = None, live: bool = True) -> Frame:
    """Make the frame of a page."""
    site = site_of(request)
    user = caller.person if caller else None
    return Frame(
        lang=language(request, user),
        company=site.company,
        now=site.means.clock(),
        person=person(user) if user else None,
        zone=site.zone,
        path=request.url.path,
        live=live,
        notice=notice,
    )


def person(user: User) -> Person:
    """Give a person as pages know him."""
    return Person(user.name, user.role, user.email, user.locale, user.theme)


def part(request: Request) -> str | None:
    """Say which part of its own page a live page asks for; None for the whole."""
    return request.headers.get(PART_HEADER)


def answer(request: Request, html: str, status: int = 200) -> HTMLResponse:
    """Answer with a page, and keep the language that was asked for by `?lang=`."""
    response = HTMLResponse(html, status)
    asked = request.query_params.get("lang")
    if asked in ("fr", "en"):
        response.set_cookie(LANG_COOKIE, asked, max_age=365 * 24 * 3600, samesite="lax", httponly=True)
    response.headers["Vary"] = "X-Part, Cookie, Accept-Language"
    return response


def safe_next(path: str) -> str:
    """Give a path of our own to go on to after the login, quoted; anything else becomes the fleet."""
    parts = urlsplit(path)
    if parts.scheme or parts.netloc or not path.startswith("/") or path.startswith(("//", "/\\")):
        return "/"
    return quote(path, safe="/?=&-._~")


def error_page(request: Request, status: int, code: str, facts: dict[str, str | int]) -> str:
    """Render an error for a person, inside his frame where he is known."""
    caller: Caller | None = getattr(request.state, "caller", None)
    return render.error(of(request, caller, live=False), status=status, code=code, facts=facts)
