"""The odd moments of Evolution API, each of which the simulator must reproduce on demand."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import aiohttp
import pytest

from amarre.simulators.evolution import FAST, Seed
from amarre.simulators.evolution_instance import DeadCodeError, NoLiveCodeError, NotOpenError
from tests.contract.evolution_stage import (  # pytest puts this folder on the path
    PHONE,
    open_gateway,
    open_mailbox,
)

MILLISECOND = timedelta(milliseconds=1)
SLOW_WORK = replace(
    FAST,
    create_work=150 * MILLISECOND,
    delete_work=300 * MILLISECOND,
    socket_delay=150 * MILLISECOND,
    connect_wait=250 * MILLISECOND,
)
QUICK_CODES = replace(FAST, qr_life=60 * MILLISECOND, draw_codes=False)


@pytest.fixture
async def stage():
    async with open_gateway(FAST) as (gateway, call), open_mailbox() as mailbox:
        yield gateway, call, mailbox


@pytest.fixture
async def slow():
    async with open_gateway(SLOW_WORK) as (gateway, call), open_mailbox() as mailbox:
        yield gateway, call, mailbox


@pytest.fixture
async def quick():
    async with open_gateway(QUICK_CODES) as (gateway, call), open_mailbox() as mailbox:
        yield gateway, call, mailbox


async def test_a_code_dies_when_the_next_one_is_shown(quick):
    gateway, call, _ = quick
    await call.create("q1")
    await call("GET", "/instance/connect/q1")
    first = gateway.live_code("q1")

    await gateway.until(lambda: gateway.live_code("q1") not in (None, first))

    with pytest.raises(DeadCodeError):
        gateway.scan_code(first, phone=PHONE)


async def test_connect_answers_the_code_of_the_last_pairing_until_whatsapp_gives_another():
    late = replace(FAST, connect_wait=10 * MILLISECOND)
    async with open_gateway(late) as (gateway, call):
        await call.pair("q1")
        used = gateway.instance("q1").shown.code
        await call("DELETE", "/instance/logout/q1")

        status, stale = await call("GET", "/instance/connect/q1")

        await gateway.until(lambda: gateway.live_code("q1") is not None)
        _, fresh = await call("GET", "/instance/connect/q1")
    assert (status, stale["code"], stale["count"]) == (200, used, 1)
    assert (fresh["code"] != used, fresh["count"]) == (True, 2)


async def test_the_same_code_is_answered_however_often_one_asks(stage):
    _, call, _ = stage
    await call.create("q1")

    answers = [await call("GET", "/instance/connect/q1") for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]


async def test_at_the_limit_memory_says_close_and_the_database_connecting(quick):
    gateway, call, mailbox = quick
    gateway.fault("qr_limit", number=2)
    await call.create("q1", webhook=mailbox.hook())

    await call("GET", "/instance/connect/q1")
    await mailbox.until(lambda: mailbox.events.count("qrcode.updated") == 3)

    _, state = await call("GET", "/instance/connectionState/q1")
    _, rows = await call("GET", "/instance/fetchInstances")
    await mailbox.until(lambda: "connection.update refused" in mailbox.events)
    assert (state["instance"]["state"], rows[0]["connectionStatus"]) == ("close", "connecting")
    assert "connection.update close" not in mailbox.events


async def test_the_counter_starts_again_after_the_limit_and_not_after_a_pairing(quick):
    gateway, call, _ = quick
    await call.pair("q1")
    before = gateway.instance("q1").shown.count
    await call("DELETE", "/instance/logout/q1")
    _, continued = await call("GET", "/instance/connect/q1")
    gateway.fault("qr_limit", number=1)
    await gateway.until(lambda: gateway.instance("q1").state == "close")
    gateway.clear_faults()

    _, restarted = await call("GET", "/instance/connect/q1")

    assert (continued["count"] > before, restarted["count"]) == (True, 1)


async def test_after_a_batch_of_codes_it_reconnects_and_goes_on(quick):
    gateway, call, mailbox = quick
    await call.create("q1", webhook=mailbox.hook())

    await call("GET", "/instance/connect/q1")
    await mailbox.until(lambda: mailbox.events.count("qrcode.updated") == 7)

    assert mailbox.events.count("connection.update connecting") == 2
    assert gateway.instance("q1").state == "connecting"


async def test_parallel_connects_open_parallel_sockets(slow):
    gateway, call, mailbox = slow
    await call.create("q1", webhook=mailbox.hook())

    await asyncio.gather(*(call("GET", "/instance/connect/q1") for _ in range(3)))
    await mailbox.until(lambda: mailbox.events.count("qrcode.updated") == 3)
    codes = {body["data"]["qrcode"]["code"] for body in mailbox.bodies if body["event"] == "qrcode.updated"}
    gateway.scan("q1", phone=PHONE)
    await gateway.until(lambda: gateway.instance("q1").state == "open")
    await call("DELETE", "/instance/logout/q1")

    assert (len(codes), len(gateway.instance("q1").sockets)) == (3, 2)


async def test_creates_of_one_name_at_the_same_time_destroy_each_other(slow):
    gateway, call, _ = slow
    body = {"instanceName": "race", "integration": "WHATSAPP-BAILEYS"}

    answers = await asyncio.gather(*(call("POST", "/instance/create", body) for _ in range(4)))

    assert sorted(status for status, _ in answers) == [400, 400, 403, 403]
    assert await call("GET", "/instance/fetchInstances") == (200, [])
    assert gateway.calls("create", "race") == 4


async def test_a_deleted_name_is_taken_for_another_moment(slow):
    gateway, call, _ = slow
    await call.create("a1")
    body = {"instanceName": "a1", "integration": "WHATSAPP-BAILEYS"}

    await call("DELETE", "/instance/delete/a1")
    at_once, _ = await call("POST", "/instance/create", body)
    await gateway.until(lambda: "a1" not in gateway.names_taken)
    later, _ = await call("POST", "/instance/create", body)

    assert (at_once, later) == (403, 201)


async def test_unlinking_is_told_with_its_reason_and_stays_in_the_row(stage):
    gateway, call, mailbox = stage
    await call.pair("q1", webhook=mailbox.hook())

    gateway.unlink("q1")
    await mailbox.until(lambda: "connection.update close" in mailbox.events)
    _, told = await call("GET", "/instance/fetchInstances?instanceName=q1")
    await call("GET", "/instance/connect/q1")
    await call.rescan("q1")
    _, after = await call("GET", "/instance/fetchInstances?instanceName=q1")

    (status,) = [body["data"] for body in mailbox.bodies if body["event"] == "status.instance"]
    assert (status["disconnectionReasonCode"], "device_removed" in status["disconnectionObject"]) == (
        401,
        True,
    )
    assert (told[0]["connectionStatus"], told[0]["ownerJid"]) == ("close", f"{PHONE}@s.whatsapp.net")
    assert (after[0]["connectionStatus"], after[0]["disconnectionReasonCode"]) == ("open", 401)


async def test_a_cut_session_comes_back_without_a_close(stage):
    gateway, call, mailbox = stage
    await call.pair("q1", webhook=mailbox.hook())
    gateway.kick("q1")

    await mailbox.until(lambda: mailbox.events.count("connection.update open") == 2)

    assert "connection.update close" not in mailbox.events


async def test_a_storm_is_many_connectings_and_an_open(stage):
    gateway, call, mailbox = stage
    await call.pair("q1", webhook=mailbox.hook())
    before = mailbox.events.count("connection.update connecting")

    gateway.storm("q1", times=40, seconds=0.2)
    await mailbox.until(lambda: mailbox.events.count("connection.update open") == 2)

    assert mailbox.events.count("connection.update connecting") - before >= 40
    assert gateway.instance("q1").stored == "open"


async def test_a_session_that_lost_whatsapp_makes_senders_wait(stage):
    gateway, call, _ = stage
    await call.pair("q1")
    gateway.fault("count0", instance="q1")
    gateway.kick("q1")

    status, body = await call("POST", "/message/sendText/q1", {"number": PHONE, "text": "x"})

    assert (status, "reading 'find'" in body["response"]["message"]) == (500, True)


async def test_a_sent_text_is_acknowledged_unless_it_is_lost(stage):
    gateway, call, mailbox = stage
    await call.pair("q1", webhook=mailbox.hook(events=["MESSAGES_UPDATE", "SEND_MESSAGE"]))
    text = {"number": "33639980002", "text": "Bonjour"}
    gateway.fault("lose_sends", times=1)

    lost = await call("POST", "/message/sendText/q1", text)
    kept = await call("POST", "/message/sendText/q1", text)
    await mailbox.until(lambda: mailbox.events.count("messages.update") == 2)

    updates = [body["data"] for body in mailbox.bodies if body["event"] == "messages.update"]
    assert (lost[0], kept[0]) == (201, 201)
    assert {update["keyId"] for update in updates} == {kept[1]["key"]["id"]}
    assert [update["status"] for update in updates] == ["DELIVERY_ACK", "READ"]


@pytest.mark.parametrize(
    ("number", "error"), [(401, "Unauthorized"), (429, "Too Many Requests"), (500, None)]
)
async def test_a_status_fault_counts_down(stage, number, error):
    gateway, call, _ = stage
    gateway.fault("status", number=number, route="root", times=1)

    first, second = await call("GET", "/"), await call("GET", "/")

    assert (first[0], first[1]["error"] == error or error is None, second[0]) == (number, True, 200)


async def test_without_a_licence_the_code_says_so(stage):
    gateway, call, _ = stage
    gateway.fault("status", number=503)

    status, body = await call("GET", "/instance/fetchInstances")

    assert (status, body["code"]) == (503, "LICENSE_REQUIRED")


async def test_a_create_can_succeed_without_an_answer(stage):
    gateway, call, _ = stage
    gateway.fault("create_timeout_but_done", seconds=0, times=1)

    with pytest.raises(aiohttp.ClientError):
        await call.create("q1")

    assert (await call("GET", "/instance/connectionState/q1"))[0] == 200
    assert gateway.calls("create", "q1") == 1


async def test_a_call_that_hangs_is_not_carried_out(stage):
    gateway, call, _ = stage
    gateway.fault("hang", route="create", instance="q1")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call.create("q1")

    assert gateway.instances == ()


async def test_refused_connections_come_back_on_the_same_port(stage):
    gateway, call, _ = stage
    await call("GET", "/")
    gateway.fault("refuse")

    with pytest.raises(aiohttp.ClientError):
        await call("GET", "/")
    async with call.session.get(gateway.control_url + "/state") as control:
        reachable = control.status
    gateway.clear_faults("refuse")

    assert (reachable, (await call("GET", "/"))[0]) == (200, 200)


async def test_refused_connections_can_end_by_themselves(stage):
    gateway, call, _ = stage
    gateway.fault("refuse", seconds=0.05)

    await gateway.until(lambda: not gateway.faults.show())

    assert (await call("GET", "/"))[0] == 200


async def test_seeded_instances_are_connected_and_nobody_was_told(stage):
    gateway, call, _ = stage

    gateway.seed([Seed("resto-1", phone=PHONE, profile_name="Resto", token="t0k3n")])

    _, rows = await call("GET", "/instance/fetchInstances", key="t0k3n")
    assert [(row["name"], row["connectionStatus"], row["profileName"]) for row in rows] == [
        ("resto-1", "open", "Resto")
    ]
    assert (await call("POST", "/message/sendText/resto-1", {"number": PHONE, "text": "x"}))[0] == 201


async def test_only_what_can_happen_can_be_played(stage):
    gateway, call, _ = stage
    await call.create("q1")

    for impossible in (gateway.unlink, gateway.ban, gateway.kick):
        with pytest.raises(NotOpenError):
            impossible("q1")
    with pytest.raises(NoLiveCodeError):
        gateway.scan("q1", phone=PHONE)
    with pytest.raises(ValueError, match="needs a number"):
        gateway.fault("status")


async def test_delays_of_the_real_server_come_when_asked():
    loop = asyncio.get_running_loop()
    async with open_gateway(replace(FAST, realistic_delays=True)) as (_, call):
        marks = [loop.time()]
        for path in ("/", "/instance/fetchInstances"):
            await call("GET", path)
            marks.append(loop.time())

    assert all(later - earlier >= 0.06 for earlier, later in pairwise(marks))
