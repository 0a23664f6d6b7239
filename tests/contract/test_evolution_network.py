"""What the client of Evolution makes of bad networks: was the call carried out or not?"""

import asyncio
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from amarre.gateways.base import (
    GatewayBrokenError,
    GatewayBusyError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnclearError,
    GatewayUnreachableError,
)
from amarre.gateways.evolution import LARGEST_BODY
from tests.contract.evolution_wire import (
    HOOK,
    SHORT,
    client_of,
    free_port,
    open_server,
    raw_server,
    self_signed,
)


@pytest.fixture
async def server():
    async with open_server() as server:
        yield server


@pytest.fixture
async def client(server):
    client = client_of(server.base_url + "/", call_timeout=timedelta(seconds=5))
    yield client
    await client.close()


async def test_a_gateway_that_says_nothing_is_silent(server):
    server.gate.clear()
    client = client_of(server.base_url, call_timeout=SHORT, create_timeout=SHORT)

    for call in (client.state("q1"), client.create("q1", HOOK)):
        with pytest.raises(GatewaySilentError) as caught:
            await call
        assert type(caught.value) is GatewaySilentError
    await client.close()


async def test_an_answer_that_stops_in_the_middle_is_silent(server):
    async def half(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"instance":')
        await hold.wait()
        return response

    hold = asyncio.Event()
    server.answer = half
    client = client_of(server.base_url, call_timeout=SHORT)

    with pytest.raises(GatewaySilentError):
        await client.state("q1")
    hold.set()
    await client.close()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", GatewaySilentError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", GatewayUnclearError),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", GatewayUnclearError),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            GatewayUnclearError,
        ),
    ],
    ids=["hang-up", "cut short", "not HTTP", "not gzip"],
)
async def test_what_breaks_off_is_silent_before_and_unclear_within_the_answer(reply, error):
    async with raw_server(reply) as base_url:
        client = client_of(base_url)
        with pytest.raises(error) as caught:
            await client.list_all()
        await client.close()

    assert type(caught.value) is error


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:{port}", "127.0.0.1", "ftp://127.0.0.1", "http://[::1"]
)
async def test_where_no_connection_can_be_made_nothing_was_carried_out(address):
    client = client_of(address.format(port=free_port()))

    with pytest.raises(GatewayUnreachableError):
        await client.list_all()
    await client.close()


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
    async with raw_server(answer, tls=self_signed(tmp_path)) as base_url:
        client = client_of(base_url)
        with pytest.raises(GatewayUnreachableError) as caught:
            await client.list_all()
        await client.close()

    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorCertificateError)


async def test_a_redirect_is_not_followed(server, client):
    server.says("", status=302, Location="/instance/fetchInstances")

    with pytest.raises(GatewayUnclearError):
        await client.list_all()

    assert len(server.asked) == 1


async def test_a_body_without_end_is_refused(server, client):
    server.says('"' + "x" * LARGEST_BODY + '"')

    with pytest.raises(GatewayUnclearError, match="larger"):
        await client.list_all()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, GatewayBrokenError),
        (503, GatewaySilentError),
        (401, GatewayRefusedError),
        (429, GatewayBusyError),
    ],
)
async def test_nothing_is_asked_twice(server, client, status, error):
    server.says({"message": "no"}, status=status)

    with pytest.raises(error):
        await client.state("q1")

    assert len(server.asked) == 1


async def test_a_busy_gateway_says_when_to_come_back(server, client):
    server.says({}, status=429, **{"Retry-After": "12"})

    with pytest.raises(GatewayBusyError) as caught:
        await client.list_all()

    assert caught.value.retry_after == timedelta(seconds=12)
