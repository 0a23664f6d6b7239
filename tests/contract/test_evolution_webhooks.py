"""How the simulated Evolution delivers webhooks: order, retries, tokens, and what may go wrong."""

import asyncio
import base64
import hashlib
import hmac
import json

import pytest

from amarre.simulators.evolution import FAST
from amarre.simulators.evolution_tasks import Tasks
from tests.contract.evolution_stage import (  # pytest puts this folder on the path
    PHONE,
    open_gateway,
    open_mailbox,
)


@pytest.fixture
async def stage():
    async with open_gateway(FAST) as (gateway, call), open_mailbox() as mailbox:
        yield gateway, call, mailbox


async def test_pairing_is_told_in_the_recorded_order(stage):
    _, call, mailbox = stage

    await call.pair("q1", webhook=mailbox.hook())
    await mailbox.until(lambda: "connection.update open" in mailbox.events)

    assert mailbox.events == [
        "instance.create",
        "connection.update connecting",
        "qrcode.updated",
        "connection.update connecting",
        "connection.update open",
    ]
    assert mailbox.bodies[-1]["data"]["wuid"] == f"{PHONE}@s.whatsapp.net"
    assert ["sender" in body for body in mailbox.bodies] == [False, False, False, False, True]


async def test_a_delivery_carries_the_headers_that_were_asked_for(stage):
    _, call, mailbox = stage

    await call.create("q1", webhook=mailbox.hook(headers={"X-Secret": "s3cr3t"}))
    await mailbox.until(lambda: bool(mailbox.bodies))

    assert mailbox.headers[0]["X-Secret"] == "s3cr3t"
    assert mailbox.headers[0]["User-Agent"].startswith("axios/")


async def test_a_jwt_key_becomes_a_signed_token(stage):
    _, call, mailbox = stage

    await call.create("q1", webhook=mailbox.hook(headers={"jwt_key": "supersecret"}))
    await mailbox.until(lambda: bool(mailbox.bodies))

    signed, seal = mailbox.headers[0]["Authorization"].removeprefix("Bearer ").rsplit(".", 1)
    claims = json.loads(unpad(signed.split(".")[1]))
    assert unpad(seal) == hmac.new(b"supersecret", signed.encode(), hashlib.sha256).digest()
    assert (claims["exp"] - claims["iat"], claims["app"], claims["action"]) == (600, "evolution", "webhook")
    assert "jwt_key" not in mailbox.headers[0]


def unpad(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_by_events_is_appended_even_behind_a_query_string(stage):
    _, call, mailbox = stage

    await call.create("q1", webhook=mailbox.hook(url=mailbox.url + "?tok=abc", byEvents=True))
    await mailbox.until(lambda: bool(mailbox.paths))

    assert mailbox.paths == ["/hook?tok=abc/instance-create"]


async def test_a_delivery_is_tried_ten_times(stage):
    gateway, call, mailbox = stage
    mailbox.statuses = [500] * 10

    await call.create("q1", webhook=mailbox.hook())
    await gateway.until(lambda: len(gateway.attempts) == 10)

    assert [attempt.number for attempt in gateway.attempts] == list(range(1, 11))
    assert len({body["date_time"] for body in mailbox.bodies}) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_delivery_that_was_refused_is_not_tried_again(stage, status):
    gateway, call, mailbox = stage
    mailbox.statuses = [status]

    await call.create("q1", webhook=mailbox.hook())
    await gateway.until(lambda: len(gateway.attempts) == 1)
    await call.pair("q2", webhook=mailbox.hook())
    await mailbox.until(lambda: "connection.update open" in mailbox.events)

    assert [attempt.instance for attempt in gateway.attempts].count("q1") == 1


async def test_retries_let_later_events_overtake(stage):
    _, call, mailbox = stage
    mailbox.failures = {"instance.create": 8}

    await call.create("q1", qrcode=True, webhook=mailbox.hook())
    await mailbox.until(lambda: mailbox.events.count("instance.create") == 9)

    delivered = len(mailbox.events) - 1 - mailbox.events[::-1].index("instance.create")
    assert mailbox.events[0] == "instance.create"
    assert mailbox.events.index("qrcode.updated") < delivered


async def test_lost_and_doubled_webhooks(stage):
    gateway, call, mailbox = stage
    gateway.fault("drop_webhooks", route="instance.create")
    gateway.fault("duplicate_webhooks", route="qrcode.updated", times=1)

    await call.pair("q1", webhook=mailbox.hook())
    await mailbox.until(lambda: "connection.update open" in mailbox.events)

    assert (mailbox.events.count("instance.create"), mailbox.events.count("qrcode.updated")) == (0, 2)


async def test_webhooks_overtake_each_other_on_demand(stage):
    gateway, call, mailbox = stage
    await call.pair("q1", webhook=mailbox.hook(events=["MESSAGES_UPSERT"]))
    gateway.fault("reorder_webhooks")

    for text in ("one", "two"):
        gateway.receive("q1", text=text)
    await mailbox.until(lambda: len(mailbox.bodies) == 2)

    assert [body["data"]["message"]["conversation"] for body in mailbox.bodies] == ["two", "one"]


async def test_work_that_crashed_is_told_at_the_end():
    tasks = Tasks()
    await asyncio.wait({tasks.start(crash())})

    with pytest.raises(ZeroDivisionError):
        await tasks.stop()


async def crash():
    raise ZeroDivisionError
