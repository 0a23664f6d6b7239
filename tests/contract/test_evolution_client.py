"""The client of Evolution on the wire: what it sends, and what it makes of bad networks."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
import pytest

from amarre.core.instance import Heard
from amarre.gateways import GATEWAYS
from amarre.gateways.base import (
    GatewayBusyError,
    GatewayError,
    GatewayInvalidError,
    GatewayUnclearError,
)
from amarre.gateways.evolution import Evolution
from tests.contract.evolution_wire import HOOK, KEY, SHORT, client_of, free_port, open_server

DATA = Path(__file__).parents[1] / "data" / "evolution"
TAPE = json.loads((DATA / "transcripts.json").read_text())


@pytest.fixture
async def server():
    async with open_server() as server:
        yield server


@pytest.fixture
async def client(server):
    client = client_of(server.base_url + "/", call_timeout=timedelta(seconds=5))
    yield client
    await client.close()


# --- what is sent ---


def call_of(client, request):
    """Return the call of ours that sends a recorded request, or None where we never send such."""
    url = urlsplit(request["path"])
    route, name = url.path.rpartition("/")[0], unquote(url.path.rpartition("/")[2])
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    body = request["body"] or {}
    calls = {
        "GET /": client.about,
        "GET /instance/connectionState": lambda: client.state(name),
        "GET /instance/connect": lambda: client.connect(name, number=query.get("number")),
        "POST /instance/restart": lambda: client.restart(name),
        "DELETE /instance/logout": lambda: client.logout(name),
        "DELETE /instance/delete": lambda: client.delete(name),
        "GET /webhook/find": lambda: client.webhook(name),
        "POST /webhook/set": lambda: client.set_webhook(name, HOOK),
        "POST /message/sendText": lambda: client.send_text(name, to="33639980001", text="Bonjour"),
        "POST /instance": lambda: client.create(body.get("instanceName") or "a1", HOOK),
        "GET /instance": lambda: (
            client.find(query["instanceName"]) if "instanceName" in query else client.list_all()
        ),
    }
    return calls.get(f"{request['method']} {route or '/'}")


@pytest.mark.parametrize("entry", TAPE, ids=[entry["name"] for entry in TAPE])
async def test_each_recorded_answer_is_borne_over_http(server, client, entry):
    request, response = entry["request"], entry["response"]
    server.says(response["body"], status=response["status"])
    call = call_of(client, request)
    if call is None:
        assert request["path"].startswith(("/settings/", "/instance/qrcode/")) or request["method"] == "PUT"
        return

    try:
        await call()
    except GatewayError as error:
        wrong = error
        assert type(wrong) is not GatewayError

    (method, path, _, _) = server.asked[0]
    assert method == request["method"]
    assert (
        path == request["path"] or "instanceId=" in request["path"] or "?instanceName=a1" in request["path"]
    )


async def test_create_asks_for_no_code_and_says_all_of_the_webhook(server, client):
    server.says({"instance": {"instanceName": "q1"}, "hash": "token"}, status=201)

    created = await client.create("q1", HOOK)

    method, path, headers, body = server.asked[0]
    assert (method, path, headers["apikey"]) == ("POST", "/instance/create", KEY)
    assert created.token == "token"
    assert json.loads(body) == {
        "instanceName": "q1",
        "integration": "WHATSAPP-BAILEYS",
        "qrcode": False,
        "webhook": {
            "enabled": True,
            "url": "https://amarre.example/hook",
            "headers": {"X-Secret": "s3cr3t"},
            "byEvents": False,
            "base64": False,
            "events": ["QRCODE_UPDATED", "CALL"],
        },
    }


async def test_a_webhook_is_set_nested_and_a_text_sent_flat(server, client):
    server.says({"url": HOOK.url, "events": []}, status=201)
    await client.set_webhook("q1", HOOK)
    server.says({"key": {"id": "3EB0"}}, status=201)
    sent = await client.send_text("q1", to="33639980001", text="Ça va ?")

    (_, set_path, _, hook), (_, send_path, _, text) = server.asked
    assert (set_path, send_path, sent) == ("/webhook/set/q1", "/message/sendText/q1", "3EB0")
    assert list(json.loads(hook)) == ["webhook"]
    assert json.loads(text) == {"number": "33639980001", "text": "Ça va ?"}


async def test_about_needs_no_key_and_says_how_long_it_took(server, client):
    server.says({"version": "2.3.7"})

    about = await client.about()

    assert "apikey" not in server.asked[0][2]
    assert (about.version, about.dialect) == ("2.3.7", "v2")
    assert timedelta() < about.took < timedelta(seconds=5)


async def test_a_name_is_a_single_piece_of_the_path_whatever_is_in_it(server, client):
    server.says({"instance": {"state": "open"}})

    for name in ("a/b", "a b", "a?b=c", "é&x=y#z", "..%2f"):
        assert await client.state(name) is Heard.OPEN
    await client.connect("q1", number="33639980001&instanceName=other")

    assert [path.removeprefix("/instance/") for _, path, _, _ in server.asked] == [
        "connectionState/a%2Fb",
        "connectionState/a%20b",
        "connectionState/a%3Fb%3Dc",
        "connectionState/%C3%A9%26x%3Dy%23z",
        "connectionState/..%252f",
        "connect/q1?number=33639980001%26instanceName%3Dother",
    ]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_would_name_another_route_is_never_sent(server, client, name):
    for call in (client.delete, client.find, client.connect, lambda name: client.create(name, HOOK)):
        with pytest.raises(GatewayInvalidError):
            await call(name)

    assert server.asked == []


async def test_an_old_gateway_is_named_by_about_and_refused_by_all_else(server, client):
    server.says({"version": "1.8.2"})
    about = await client.about()

    with pytest.raises(GatewayUnclearError, match=r"1\.8\.2; 2\.1 or later is needed"):
        await client.create("q1", HOOK)

    assert about.dialect == "v1"
    assert len(server.asked) == 1


async def test_an_old_gateway_is_used_once_it_was_upgraded(server, client):
    server.says({"version": "2.0.10"})
    await client.about()
    server.says({"version": "2.3.7"})
    await client.about()
    server.says([])

    assert await client.list_all() == []


# --- places, sessions, secrets ---


async def test_no_more_calls_are_under_way_than_there_are_places(server):
    server.says([])
    server.gate.clear()
    client = client_of(server.base_url, calls_at_once=3)

    calls = [asyncio.create_task(client.list_all()) for _ in range(9)]
    for _ in range(3):
        await server.came.acquire()
    server.gate.set()
    await asyncio.gather(*calls)

    assert (server.most_under_way, len(server.asked)) == (3, 9)
    await client.close()


async def test_a_call_that_finds_no_place_in_time_was_not_carried_out(server):
    server.gate.clear()
    client = client_of(
        server.base_url, calls_at_once=1, call_timeout=SHORT, create_timeout=timedelta(seconds=30)
    )
    slow = asyncio.create_task(client.create("q1", HOOK))
    await server.came.acquire()

    with pytest.raises(GatewayBusyError, match="under way"):
        await client.state("q1")

    assert len(server.asked) == 1
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    await client.close()


async def test_a_cancelled_call_gives_its_place_back(server):
    server.says([])
    server.gate.clear()
    client = client_of(server.base_url, calls_at_once=1)
    cancelled = asyncio.create_task(client.list_all())
    await server.came.acquire()
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    server.gate.set()

    assert await client.list_all() == []
    await client.close()


async def test_connections_are_kept_and_a_session_of_somebody_else_stays_open(server):
    server.says([])
    async with aiohttp.ClientSession() as session:
        client = client_of(server.base_url, session=session)
        await client.list_all()
        await client.close()

        assert not session.closed
        assert await client.list_all() == []


async def test_a_closed_client_opens_again(server, client):
    server.says([])

    await client.list_all()
    await client.close()

    assert await client.list_all() == []


async def test_neither_key_nor_number_gets_into_an_error(server, client, caplog):
    number = "33639980001"
    server.says({"message": [f"bad key {KEY}", {"jid": f"{number}@s.whatsapp.net"}]}, status=400)
    lost = client_of(f"http://user:{KEY}@127.0.0.1:{free_port()}")
    bad = client_of(f"ftp://user:{KEY}@127.0.0.1")

    errors = []
    for one in (client, lost, bad):
        for call in (one.send_text(number, to=number, text="x"), one.connect(number, number=number)):
            with pytest.raises(GatewayError) as caught:
                await call
            errors += [repr(caught.value), repr(caught.value.__cause__), str(caught.value.facts)]
    await lost.close()
    await bad.close()

    assert KEY not in " ".join(errors) + caplog.text
    assert number not in " ".join(errors) + caplog.text


def test_evolution_is_in_the_list_of_gateways():
    assert GATEWAYS["evolution"] is Evolution
    assert Evolution.facts.code_life == timedelta(seconds=45)
