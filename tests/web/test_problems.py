"""What is wrong, told to its reader: a problem document to machines, a page to people."""

import json
from collections.abc import AsyncGenerator
from io import BytesIO
from uuid import uuid4

import pytest
from aiohttp import ClientResponse

from tests.story.harbour import SERVICE_KEY, Harbour, harbour, with_team

from .browsing import log_in

BEARER = {"Authorization": f"Bearer {SERVICE_KEY}"}
JSON = {**BEARER, "Content-Type": "application/json"}
HOOK = "/functions/v1/evolution-webhook-handler"
TRACES = ("Traceback", 'File "', "psycopg", "site-packages")
# method, path, headers, body, status, code
WRONGS = [
    ("GET", "/api/v1/instances", {}, b"", 401, "unauthenticated"),
    ("GET", f"/api/v1/instances/{uuid4()}", BEARER, b"", 404, "not_found"),
    ("GET", "/api/v1/instances/not-an-id", BEARER, b"", 422, "invalid"),
    ("GET", "/api/v1/instances?limit=0", BEARER, b"", 422, "invalid"),
    ("GET", "/api/v1/instances?limit=1e3", BEARER, b"", 422, "invalid"),
    ("GET", "/api/v1/nowhere", BEARER, b"", 404, "not_found"),
    ("PATCH", "/api/v1/instances", BEARER, b"", 405, "method_not_allowed"),
    ("POST", "/api/v1/profiles", JSON, b"{}", 422, "invalid"),
    ("POST", "/api/v1/profiles", JSON, b"{", 422, "invalid"),
    ("POST", "/api/v1/profiles", JSON, b"[]", 422, "invalid"),
    ("POST", "/api/v1/profiles", JSON, b"\xff\xfe", 422, "invalid"),
    ("POST", "/api/v1/profiles", JSON, b'{"full_name": "x", "surprise": 1}', 422, "invalid"),
    ("POST", "/api/v1/profiles", JSON, b'{"email": "nobody"}', 422, "invalid"),
    ("POST", "/api/v1/profiles", JSON, b'{"full_name": "a\\u0000b"}', 422, "invalid"),
    ("POST", "/api/v1/profiles", {**BEARER, "Content-Type": "text/plain"}, b"{}", 422, "invalid"),
    ("POST", "/functions/v1/check-instance-status", JSON, b"{}", 404, "not_found"),
    ("POST", "/functions/v1/check-instance-status", JSON, b'{"userId": 7}', 422, "invalid"),
    ("GET", "/functions/v1/refresh-qr-codes", BEARER, b"", 405, "method_not_allowed"),
    ("POST", "/functions/v1/nowhere", BEARER, b"", 404, "not_found"),
    ("POST", HOOK, {}, b"{}", 401, "unauthenticated"),
    ("POST", HOOK, {"X-Amarre-Secret": "made-up"}, b"{", 422, "invalid"),
    ("POST", HOOK, {"X-Amarre-Secret": "made-up"}, b"NaN", 422, "invalid"),
    ("POST", HOOK, {"X-Amarre-Secret": "made-up"}, b"[" * 100_000, 422, "invalid"),
    ("POST", HOOK, {"X-Amarre-Secret": "made-up"}, b" " * (2 * 1024 * 1024 + 1), 413, "too_large"),
    ("GET", "/events?topic=nothing", BEARER, b"", 422, "invalid"),
    ("GET", f"/events?topic=instance:{uuid4()}", BEARER, b"", 404, "not_found"),
]
TITLES = {
    "fr": {401: "Entrez d’abord", 404: "Il n’y a rien ici", 405: "Cette adresse"},
    "en": {401: "Log in first", 404: "There is nothing here", 405: "This address"},
}


@pytest.fixture
async def h(database_url: str) -> AsyncGenerator[Harbour]:
    async with harbour(database_url) as opened:
        await with_team(opened)
        yield opened


@pytest.mark.parametrize("lang", ["fr", "en"])
async def test_a_machine_gets_a_document_with_a_stable_code_in_its_language(h: Harbour, lang: str):
    wrong: dict[str, str] = {}
    for method, path, headers, body, status, code in WRONGS:
        sent = {**headers, "Accept-Language": f"{lang}-FR;q=0.8, de"}
        async with h.http.request(method, path, headers=sent, data=BytesIO(body) if body else None) as answer:
            text = await answer.text()
            faults = _faults(answer, text, wanted=status, code=code, lang=lang)
            if answer.headers.get("Content-Language") != lang:
                faults.append("no language")
        if faults:
            wrong[f"{method} {path} {body[:30]!r}"] = f"{faults}: {text[:200]}"

    assert wrong == {}


def _faults(answer: ClientResponse, text: str, *, wanted: int, code: str, lang: str) -> list[str]:
    found, kind, path = answer.status, answer.content_type, answer.url.path
    if kind != "application/problem+json":
        return [f"{found} {kind}"]
    told = json.loads(text)
    claims = {
        f"status {found}": found == wanted == told["status"],
        "code": told["code"] == code,
        "title": told["title"].startswith(TITLES[lang].get(wanted, "")),
        "type": told["type"] == f"/errors/{code}",
        "success": not path.startswith("/functions/v1") or told["success"] is False,
        "error": not path.startswith("/functions/v1") or told["error"] == told["title"],
        "trace": not any(one in text for one in TRACES),
    }
    return [name for name, holds in claims.items() if not holds]


async def test_people_get_a_page(h: Harbour):
    cookies = {"amarre_session": await log_in(h, "carol")}
    wrong: dict[str, str] = {}
    for path, status, says in [
        ("/nowhere", 404, "Il n’y a rien ici"),
        (f"/instances/{uuid4()}", 404, "Il n’y a rien ici"),
        ("/instances/not-an-id", 422, "instance_id"),
        ("/customers/new", 403, "Vous n’en avez pas le droit"),
        ("/fleet?page=0", 422, "page"),
    ]:
        async with h.http.get(path, cookies=cookies, headers={"Accept-Language": "fr"}) as answer:
            text = await answer.text()
            if (answer.status, answer.content_type) != (status, "text/html") or says not in text:
                wrong[path] = f"{answer.status} {answer.content_type} {text[-900:]}"
            if any(one in text for one in TRACES):
                wrong[path] = "a trace"

    assert wrong == {}


async def test_nothing_that_is_odd_breaks_a_page(h: Harbour):
    cookies = {"amarre_session": await log_in(h, "bob")}
    form = {"Sec-Fetch-Site": "same-origin"}
    statuses: dict[str, int] = {}
    for odd in (
        "%",
        "_",
        "'",
        "\\",
        "a\x00b",
        "\ud83d\ude80".encode("utf-16", "surrogatepass").decode("utf-16"),
        "x" * 200,
    ):
        async with h.http.get("/fleet", params={"q": odd}, cookies=cookies) as answer:
            statuses[f"search {odd[:5]!r}"] = answer.status
        async with h.http.post(
            "/customers", data={"full_name": odd}, cookies=cookies, headers=form, allow_redirects=False
        ) as answer:
            statuses[f"add {odd[:5]!r}"] = answer.status

    assert {what: status for what, status in statuses.items() if status >= 500} == {}


async def test_a_database_that_is_away_is_said_and_not_hidden(h: Harbour):
    await h.means.db.close()
    async with h.http.get("/api/v1/instances", headers=BEARER) as machine:
        told = await machine.json(content_type="application/problem+json")
    async with h.http.get("/readyz") as ready, h.http.get("/healthz") as alive:
        statuses = (ready.status, alive.status)

    assert (machine.status, told["code"]) == (503, "database_down")
    assert statuses == (503, 200)
