"""Renders the pages. `part` gives only the named fragment, which a live page swaps in place."""

from collections.abc import Mapping
from typing import Any, Final

from amarre.web.i18n import error_text, speech
from amarre.web.pages.api_view import chapters
from amarre.web.pages.instance_view import InstanceView, PairView
from amarre.web.pages.view import FleetView, Frame
from amarre.web.templating import render, render_block
from amarre.web.wording import mark

TITLES: Final = {
    401: mark("Log in first"),
    403: mark("Not yours to do"),
    404: mark("Nothing here"),
    409: mark("Not now"),
    410: mark("No longer here"),
    422: mark("Something is not right"),
    429: mark("Too many tries"),
    502: mark("A gateway does not answer"),
    503: mark("Not available right now"),
    504: mark("A gateway does not answer"),
}
NOTHING: Final[Mapping[str, Any]] = {}
UNUSABLE: Final = mark("This cannot be used.")
TAKEN: Final = mark("A customer has this address already.")
FIELDS: Final = {
    ("invalid", "email"): mark("This is not an e-mail address."),
    ("invalid", "phone"): mark("This is not a phone number. Write it with its country: +33 6 39 98 12 34."),
    ("invalid", "full_name"): mark("A name is needed."),
    ("invalid", "password"): mark("The new password is too short: at least 12 characters."),
}
QUESTIONS: Final = {
    "remove": (
        mark("Remove %(name)s"),
        mark("The phone is unlinked; the instance and the customer are deleted. This cannot be undone."),
        mark("Remove for good"),
    ),
}
ROLES: Final = {"admin": mark("administrator"), "support": mark("support"), "viewer": mark("viewer")}


def login(
    frame: Frame,
    *,
    next: str = "/",  # noqa: A002  # the name of the field and of the query
    email: str = "",
    error: str | None = None,
    facts: Mapping[str, object] = NOTHING,
) -> str:
    """Render the door. `error` is the code of what was wrong with the last try."""
    text = _login_error(error, facts, frame.lang) if error else None
    return render("login.html", frame.lang, frame=frame, email=email, error=text, next=next)


def _login_error(code: str, facts: Mapping[str, object], lang: str) -> str:
    """Say why a log-in failed, and how many tries are left where that is known."""
    text = error_text(code, facts, lang)
    left = facts.get("left")
    if not isinstance(left, int):
        return text
    say = speech(lang)
    tries = say.plural("%(n)s try left.", "%(n)s tries left.", left)
    return f"{text} {tries}"


def fleet(frame: Frame, view: FleetView, part: str | None = None) -> str:
    """Render the fleet. Part: `fleet`."""
    return _page("fleet.html", "fleet", frame, part, view=view)


def instance(frame: Frame, view: InstanceView, part: str | None = None) -> str:
    """Render an instance. Part: `instance`."""
    return _page("instance.html", "instance", frame, part, view=view)


def pair(frame: Frame, view: PairView, part: str | None = None) -> str:
    """Render the page of the person with the phone. Part: `pair`."""
    return _page("pair.html", "pair", frame, part, view=view)


def pair_gone(frame: Frame, *, used: bool) -> str:
    """Render what a link shows that was used (410) or was never one (404)."""
    return render("gone.html", frame.lang, frame=frame, used=used)


def new(
    frame: Frame,
    *,
    values: Mapping[str, str] = NOTHING,
    error: str | None = None,
    field: str = "",
) -> str:
    """Render the form for a new customer, with what was typed and what is wrong with it."""
    say = speech(frame.lang)
    if field not in ("full_name", "email", "phone"):
        field = ""  # said below the form
    errors = (
        {field: say(FIELDS.get((error, field), TAKEN if error == "conflict" else UNUSABLE))} if error else {}
    )
    return render("new.html", frame.lang, frame=frame, values=values, errors=errors)


def coming(frame: Frame, *, label: str, part: str | None = None) -> str:
    """Render what a new customer's page shows while his instance does not exist yet."""
    return _page("coming.html", "coming", frame, part, label=label)


def account(frame: Frame, *, error: str | None = None, facts: Mapping[str, object] = NOTHING) -> str:
    """Render a person's own page. `error` is the code of why the password was not changed."""
    say = speech(frame.lang)
    errors: dict[str, str] = {}
    if error == "wrong_login":
        errors["old"] = say("This is not your present password.")
    elif error:
        errors["new"] = (
            say(FIELDS[("invalid", "password")])
            if error == "invalid"
            else error_text(error, facts, frame.lang)
        )
    role = say(ROLES[frame.person.role]) if frame.person else ""
    return render("account.html", frame.lang, frame=frame, errors=errors, role=role)


def confirm(frame: Frame, *, what: str, label: str, action: str, back: str) -> str:
    """Ask again before an act that cannot be undone. `what` is a key of QUESTIONS."""
    say = speech(frame.lang)
    title, text, verb = QUESTIONS[what]
    return render(
        "confirm.html",
        frame.lang,
        frame=frame,
        title=say(title, name=label),
        text=say(text),
        verb=say(verb),
        label=label,
        action=action,
        back=back,
    )


def error(frame: Frame, *, status: int, code: str, facts: Mapping[str, object] = NOTHING) -> str:
    """Render a problem for people. A pairing link's is told to somebody outside the team."""
    if frame.path.startswith("/pair/") and status in (404, 410):
        return pair_gone(frame, used=status == 410)  # noqa: PLR2004  # gone: it has been used
    title = TITLES.get(status, mark("Something went wrong"))
    broken = status >= 500  # noqa: PLR2004  # ours to mend, not the reader's
    return render(
        "error.html",
        frame.lang,
        frame=frame,
        title=speech(frame.lang)(title),
        text=error_text(code, facts, frame.lang),
        status=status,
        code=code,
        tone="bad" if broken else "off",
        glyph="g-cut" if broken else "g-rest",
        back="/fleet" if frame.person else None,
    )


def api(frame: Frame, schema: Mapping[str, Any], *, href: str = "/api/openapi.json") -> str:
    """Render the API's operations from its OpenAPI document, which is at `href`."""
    told = schema.get("info", {})
    title = f"{told.get('title', 'API')} {told.get('version', '')}".strip()
    groups = chapters(schema)
    return render("api.html", frame.lang, frame=frame, groups=groups, schema_title=title, schema_href=href)


def _page(template: str, block: str, frame: Frame, part: str | None, **values: object) -> str:
    if part == block:
        return render_block(template, block, frame.lang, frame=frame, **values)
    return render(template, frame.lang, frame=frame, **values)
