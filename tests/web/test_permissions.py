"""Who may do what, over HTTP, for every route that there is.

alice is an administrator, bob supports, carol only looks, dan is an end user who owns one
instance, eve is a stranger who tries.
"""

import base64
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from aiohttp import ClientResponse
from fastapi.routing import iter_route_contexts

from amarre.flows import people, provision
from amarre.web.asgi import build
from amarre.web.state import Keys, Site
from tests.story.harbour import (
    INTERNAL_KEY,
    JWT_SECRET,
    PASSWORD,
    SERVICE_KEY,
    Harbour,
    harbour,
    with_team,
)

from .browsing import log_in

ROUTES = {
    "public": {
        *("GET /", "GET /healthz", "GET /readyz", "GET /login", "POST /login", "POST /logout", "GET /static"),
        *("GET /pair/{token}", "GET /pair/{token}/events"),
    },
    "gateway": {"POST /functions/v1/evolution-webhook-handler"},
    "own": {
        *("POST /functions/v1/create-evolution-instance", "POST /functions/v1/check-instance-status"),
    },
    "person": {"GET /account", "POST /account", "POST /account/password"},
    "read": {
        *("GET /fleet", "GET /customers/{profile_id}", "GET /instances/{instance_id}"),
        *("GET /instances/{instance_id}/link", "GET /events", "GET /metrics"),
        *("GET /api/docs", "GET /api/openapi.json", "GET /api/v1/events", "GET /api/v1/gateways"),
        *("GET /api/v1/profiles", "GET /api/v1/profiles/{profile_id}"),
        *("GET /api/v1/instances", "GET /api/v1/instances/{instance_id}"),
        *("GET /api/v1/instances/{instance_id}/events", "GET /api/v1/instances/{instance_id}/deliveries"),
    },
    "write": {
        *("GET /customers/new", "POST /customers", "POST /instances/{instance_id}/pairing"),
        *("POST /instances/{instance_id}/rest", "POST /instances/{instance_id}/link"),
        *("POST /instances/{instance_id}/retry", "POST /api/v1/profiles"),
        *("POST /api/v1/instances/{instance_id}/pairing", "DELETE /api/v1/instances/{instance_id}/pairing"),
        *("POST /api/v1/instances/{instance_id}/pairing-links", "POST /api/v1/instances/{instance_id}/retry"),
        *("POST /functions/v1/refresh-qr-codes", "POST /functions/v1/process-evolution-queue"),
    },
    "admin": {
        *("GET /instances/{instance_id}/remove", "POST /instances/{instance_id}/remove"),
        "DELETE /api/v1/profiles/{profile_id}",
    },
}
# yes: it is let through the door (whatever it finds there); no: 403; out: 401, or led to the login.
TABLE = """
           nobody  dan   carol  bob  alice  read-key  write-key  admin-key  job   service
public     yes     -     -      -    -      -         -          -          -     -
own        out     yes   no     yes  yes    no        yes        yes        yes   yes
person     out     no    yes    yes  yes    no        no         no         no    no
read       out     no    yes    yes  yes    yes       yes        yes        yes   yes
write      out     no    no     yes  yes    no        yes        yes        yes   yes
admin      out     no    no     no   yes    no        no         yes        no    yes
"""
HOUR = timedelta(hours=1)
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
DAN = UUID("00000000-0000-4000-8000-00000000000d")
EVE = UUID("00000000-0000-4000-8000-00000000000e")


@pytest.fixture
async def h(database_url: str) -> AsyncGenerator[Harbour]:
    async with harbour(database_url) as opened:
        await with_team(opened)
        yield opened


def token(h: Harbour, sub: UUID, *, secret: str = JWT_SECRET, life: timedelta = HOUR, **more):
    """Make what the end user's own application gives him."""
    claims = {"sub": str(sub), "exp": h.clock() + life, "role": "authenticated", **more}
    return jwt.encode(claims, secret, algorithm="HS256")


def unsigned(h: Harbour, sub: UUID) -> str:
    """Make a token that says of itself that nobody signed it."""
    claims = {"sub": str(sub), "exp": int((h.clock() + HOUR).timestamp())}
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().strip("=") for one in parts)
        + "."
    )


async def key(h: Harbour, scope: str, *, life: timedelta | None = None) -> str:
    return (await people.add_key(h.means, name=scope, scope=scope, actor="alice", life=life, now=h.clock()))[
        1
    ]


@dataclass(frozen=True)
class Proof:
    """What a caller sends to say who he is."""

    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)


def bearer(proof: str) -> Proof:
    return Proof({"Authorization": f"Bearer {proof}"})


async def session(h: Harbour, name: str) -> Proof:
    return Proof(cookies={"amarre_session": await log_in(h, name)})


async def callers(h: Harbour) -> dict[str, Proof]:
    return {
        "nobody": Proof(),
        "dan": bearer(token(h, DAN)),
        **{name: await session(h, name) for name in ("alice", "bob", "carol")},
        **{f"{scope}-key": bearer(await key(h, scope)) for scope in ("read", "write", "admin")},
        "job": Proof({"X-Internal-Key": INTERNAL_KEY}),
        "service": bearer(SERVICE_KEY),
    }


def ask(h: Harbour, route: str, proof: Proof, **more):
    """Call a route with made-up ids and without a body: what counts is whether the door opens."""
    method, _, path = route.partition(" ")
    for name in ("instance_id", "profile_id", "token"):
        path = path.replace(f"{{{name}}}", str(uuid4()))
    path = "/static/amarre.css" if path == "/static" else path
    return h.http.request(
        method,
        path,
        headers={**SAME_ORIGIN, **proof.headers},
        cookies=proof.cookies,
        allow_redirects=False,
        **more,
    )


def heard(answer: ClientResponse) -> str:
    if answer.status == 401 or answer.headers.get("Location", "").startswith("/login?next="):
        return "out"
    return "no" if answer.status == 403 else "yes"


def cells() -> dict[tuple[str, str], str]:
    head, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return {
        (need, who): cell for need, *row in rows for who, cell in zip(head, row, strict=True) if cell != "-"
    }


def test_every_route_is_in_the_table():
    site = Site(None, None, None, Keys())  # pyright: ignore[reportArgumentType]  # nothing is called
    found = {
        f"{method} {one.path}"
        for one in iter_route_contexts(build(site).routes)
        for method in (one.methods or {"GET"})
    }

    assert found == set[str]().union(*ROUTES.values())


async def test_each_caller_may_do_what_the_table_says(h: Harbour):
    proofs = await callers(h)
    wrong: dict[str, str] = {}
    for (need, who), cell in cells().items():
        for route in ROUTES[need]:
            async with ask(h, route, proofs[who]) as answer:
                if heard(answer) != cell:
                    wrong[f"{who}: {route}"] = f"{answer.status}, should be: {cell}"

    assert wrong == {}


async def test_a_proof_that_is_not_valid_opens_nothing(h: Harbour):
    revoked = await key(h, "admin")
    await people.revoke_key(h.means, revoked[:10], actor="alice", now=h.clock())
    tries = {
        "expired token": bearer(token(h, EVE, life=timedelta(seconds=-1))),
        "wrong signature": bearer(token(h, EVE, secret="another-secret-0123456789-0123456789-abc")),
        "no signature": bearer(unsigned(h, EVE)),
        "no user": bearer(jwt.encode({"exp": h.clock() + HOUR}, JWT_SECRET)),
        "another role": bearer(token(h, EVE, role="anon")),
        "anon key": bearer("anon"),
        "revoked key": bearer(revoked),
        "expired key": bearer(await key(h, "admin", life=timedelta(seconds=-1))),
        "made-up key": bearer("amk_made-up"),
        "basic": Proof({"Authorization": "Basic YWxpY2U6cGFzc3dvcmQ="}),
        "development key": Proof({"X-Internal-Key": "dev-internal-key"}),
        "half the internal key": Proof({"X-Internal-Key": INTERNAL_KEY[:31]}),
        "made-up session": Proof(cookies={"amarre_session": "made-up"}),
        "wrong key beside a session": Proof({"X-Internal-Key": "x"}, (await session(h, "alice")).cookies),
    }
    guarded = ROUTES["own"] | ROUTES["person"] | ROUTES["read"] | ROUTES["write"] | ROUTES["admin"]
    wrong: dict[str, int] = {}
    for what, proof in tries.items():
        for route in guarded:
            async with ask(h, route, proof) as answer:
                if heard(answer) != "out":
                    wrong[f"{what}: {route}"] = answer.status

    assert wrong == {}


async def test_a_machine_is_answered_with_a_problem_and_a_person_is_led_to_the_login(h: Harbour):
    async with ask(h, "GET /api/v1/instances", Proof()) as machine, ask(h, "GET /fleet", Proof()) as person:
        told = await machine.json(content_type="application/problem+json")

        assert (machine.status, told["code"]) == (401, "unauthenticated")
        assert machine.headers["WWW-Authenticate"] == "Bearer"
        assert (person.status, person.headers["Location"]) == (303, "/login?next=/fleet")


# ------------------------------------------------------------------------------- dan and eve


async def _call(h: Harbour, function: str, sub: UUID, **said) -> tuple[int, dict[str, Any]]:
    route = f"POST /functions/v1/{function}"
    async with ask(h, route, bearer(token(h, sub)), json=said) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_an_end_user_gets_his_own_instance_and_a_link_that_shows_its_code(h: Harbour):
    await provision.sign_up(h.means, email=None, full_name="Dan", profile_id=DAN, actor="test")

    status, told = await _call(h, "create-evolution-instance", DAN)
    again, same = await _call(h, "create-evolution-instance", DAN, userId=str(DAN))
    async with h.http.get(told["pairing_url"]) as page:
        shown = page.status
    checked, state = await _call(h, "check-instance-status", DAN)

    assert (status, again, checked, shown) == (200, 200, 200, 200)
    assert told["instance"]["profile_id"] == str(DAN)
    assert same["instance"]["id"] == told["instance"]["id"] == state["instance"]["id"]
    assert "token" not in json.dumps(told)


async def test_an_end_user_gets_nothing_of_anybody_else(h: Harbour):
    await provision.sign_up(h.means, email=None, full_name="Dan", profile_id=DAN, actor="test")
    await _call(h, "create-evolution-instance", DAN)
    his = await h.of_user(DAN)

    taken = await _call(h, "create-evolution-instance", EVE, userId=str(DAN))
    looked = await _call(h, "check-instance-status", EVE, userId=str(DAN))
    none = await _call(h, "check-instance-status", EVE)
    unknown = await _call(h, "create-evolution-instance", EVE)
    async with h.http.get(f"/api/v1/instances/{his.id}", headers=bearer(token(h, DAN)).headers) as rest:
        listed = rest.status

    assert [one[0] for one in (taken, looked, none, unknown)] == [403, 403, 404, 404]
    assert listed == 403
    assert str(his.id) not in json.dumps([taken, looked, none, unknown])


# ------------------------------------------------------------------------------- browsers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "own"}, 303),
        ({}, 403),
    ],
)
async def test_another_sites_page_cannot_use_a_session(h: Harbour, headers: dict[str, str], status: int):
    if headers.get("Origin") == "own":
        headers = {"Origin": h.url}
    cookies = {"amarre_session": await log_in(h, "bob")}
    told = {"full_name": "Fleurs de Lys"}
    async with h.http.post(
        "/customers", data=told, headers=headers, cookies=cookies, allow_redirects=False
    ) as answer:
        assert answer.status == status


async def test_another_sites_page_can_neither_log_anybody_in_nor_out(h: Harbour):
    form = {"email": "bob@marelle.example", "password": PASSWORD}
    cookies = {"amarre_session": await log_in(h, "bob")}
    there = {"Sec-Fetch-Site": "cross-site"}
    async with h.http.post("/login", data=form, headers=there) as entering:
        assert entering.status == 403
    async with h.http.post("/logout", headers=there, cookies=cookies) as leaving:
        assert leaving.status == 403
    async with h.http.get("/fleet", cookies=cookies, allow_redirects=False) as still:
        assert still.status == 200


async def test_a_machine_needs_no_origin(h: Harbour):
    headers = {**bearer(await key(h, "write")).headers, "Sec-Fetch-Site": "cross-site"}
    async with h.http.post("/api/v1/profiles", json={"full_name": "Dan"}, headers=headers) as answer:
        assert answer.status == 201


async def _try(h: Harbour, password: str, email: str = "bob@marelle.example") -> ClientResponse:
    form = {"email": email, "password": password}
    async with h.http.post("/login", data=form, headers=SAME_ORIGIN, allow_redirects=False) as answer:
        await answer.read()
        return answer


async def test_after_five_wrong_passwords_the_right_one_waits_too(h: Harbour):
    wrong = [(await _try(h, f"wrong password {n}")).status for n in range(6)]
    right = await _try(h, PASSWORD)
    h.clock.advance(timedelta(minutes=15, seconds=1))
    later = await _try(h, PASSWORD)

    assert wrong == [401] * 5 + [429]
    assert (right.status, right.headers["Retry-After"]) == (429, "900")
    assert later.status == 303


async def test_nobody_learns_whether_an_address_is_known(h: Harbour):
    known = await _try(h, "wrong password")
    unknown = await _try(h, "wrong password", "nobody@marelle.example")

    assert (known.status, unknown.status) == (401, 401)
    said = [
        (await one.text()).partition('id="w-password"')[2].partition("</p>")[0] for one in (known, unknown)
    ]
    assert "Unknown address or password" in said[0]
    assert said[0].partition(".")[0] == said[1].partition(".")[0]


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(h: Harbour):
    answer = await _try(h, PASSWORD)
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["amarre_session"]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "lax", "/")
    assert len(cookie.value) >= 32


async def test_logging_out_ends_the_session_and_not_only_the_cookie(h: Harbour):
    cookies = {"amarre_session": await log_in(h, "bob")}
    async with h.http.post("/logout", headers=SAME_ORIGIN, cookies=cookies, allow_redirects=False) as left:
        assert left.headers["Location"] == "/login"
    async with h.http.get("/fleet", cookies=cookies, allow_redirects=False) as after:
        assert after.headers["Location"] == "/login?next=/fleet"


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"active": False}])
async def test_whoever_may_do_something_else_now_logs_in_anew(h: Harbour, change):
    cookies = {"amarre_session": await log_in(h, "bob")}

    await people.change_by_email(h.means, "bob@marelle.example", now=h.clock(), **change)

    async with h.http.get("/fleet", cookies=cookies, allow_redirects=False) as after:
        assert after.status == 303


async def test_a_new_password_ends_all_sessions(h: Harbour):
    here, there = [{"amarre_session": await log_in(h, "bob")} for _ in range(2)]
    form = {"old": PASSWORD, "new": "another long password"}
    async with h.http.post(
        "/account/password", data=form, headers=SAME_ORIGIN, cookies=here, allow_redirects=False
    ):
        pass
    async with h.http.get("/fleet", cookies=there, allow_redirects=False) as after:
        assert after.status == 303
    assert (await _try(h, PASSWORD)).status == 401


@pytest.mark.parametrize(
    "next_", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
async def test_the_login_leads_nowhere_else(h: Harbour, next_: str):
    form = {"email": "bob@marelle.example", "password": PASSWORD, "next": next_}
    async with h.http.post("/login", data=form, headers=SAME_ORIGIN, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/"
