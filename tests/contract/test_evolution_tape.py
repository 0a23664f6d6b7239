"""The simulated Evolution answers the whole tape of the real one in the same way.

All 179 recorded calls are made again, in order. Between them stands what happened around the
real server at that moment: somebody scanned, WhatsApp went away, a number was banned.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from amarre.simulators.evolution import FAST, EvolutionSimulator
from tests.contract.evolution_stage import (  # pytest puts this folder on the path
    EVENTS,
    PHONE,
    Caller,
    open_gateway,
    open_mailbox,
    read_hooks,
    read_tape,
)

MILLISECOND = timedelta(milliseconds=1)
TAPE_KEY = "GLOBALKEY-TEST-0001"
TAPE = replace(
    FAST,
    api_key=TAPE_KEY,
    qr_life=400 * MILLISECOND,
    reconnect_delay=60 * MILLISECOND,
    delete_work=50 * MILLISECOND,
)
Z1_TOKEN = next(
    call["request"]["headers"]["apikey"] for call in read_tape() if call["name"].startswith("222-")
)
Scene = Callable[[EvolutionSimulator, Caller], Awaitable[object]]

# At these moments the real server said either of two states, depending on the millisecond.
TWO_STATES = {"50", "51", "123"}


def whatsapp_away(name: str) -> Scene:
    async def scene(gateway, call):
        gateway.fault("count0", instance=name)

    return scene


async def whatsapp_back(gateway, call):
    gateway.clear_faults()


async def another_server(gateway, call):
    for instance in gateway.instances:
        gateway.drop_instance(instance.name)
    gateway.clear_faults()


def scanned(name: str) -> Scene:
    async def scene(gateway, call):
        await call.rescan(name)

    return scene


def gone(name: str) -> Scene:
    async def scene(gateway, call):
        await gateway.until(lambda: name not in gateway.names_taken)

    return scene


def limit_reached(name: str) -> Scene:
    async def scene(gateway, call):
        gateway.fault("qr_limit", number=1)
        await gateway.until(lambda: gateway.instance(name).state == "close")
        gateway.clear_faults()

    return scene


def opened(name: str) -> Scene:
    async def scene(gateway, call):
        await gateway.until(lambda: gateway.instance(name).state == "open")

    return scene


async def outage(gateway, call):
    gateway.storm("q1", times=4, seconds=0.2)


async def unlinked(gateway, call):
    await opened("q1")(gateway, call)
    gateway.receive("q1", text="dup")
    gateway.unlink("q1")


async def banned(gateway, call):
    gateway.ban("q1")


async def dead_socket(gateway, call):
    await call.pair("d1")
    gateway.fault("count0", instance="d1")
    gateway.kick("d1")


async def z1_paired(gateway, call):
    hook = {"enabled": True, "url": "nowhere", "headers": {"X-Inst": "z1"}, "events": EVENTS}
    await call.pair("z1", token=Z1_TOKEN, webhook=hook)


async def paired_again(gateway, call):
    await call("GET", "/instance/connect/z1")
    await call.rescan("z1")


SCENES: dict[str, Scene] = {
    "50": whatsapp_away("b1"),
    "57": whatsapp_away("a1"),
    "72": gone("a1"),
    "73": gone("b1"),
    "77": gone("a1"),
    "100": another_server,
    "104": limit_reached("q1"),
    "110": scanned("q1"),
    "122": opened("q1"),
    "123": outage,
    "126": unlinked,
    "131": scanned("q1"),
    "150": scanned("q1"),
    "155": gone("p1"),
    "160": whatsapp_away("s1"),
    "165": whatsapp_back,
    "166": lambda gateway, call: gateway.until(lambda: gateway.live_code("s1") is not None),
    "170": whatsapp_away("f405"),
    "180": banned,
    "183": scanned("q1"),
    "184": gone("q1"),
    "190": another_server,
    "202": scanned("pc"),
    "210": z1_paired,
    "211": paired_again,
    "220": lambda gateway, call: call("DELETE", "/instance/logout/z1"),
    "225": whatsapp_away("h1"),
    "230": dead_socket,
    "237": gone("d1"),
}
"""What happens just before the calls of a number are made."""


async def test_every_recorded_call_is_answered_as_the_real_server_answered_it():
    differences: list[str] = []
    async with open_gateway(TAPE) as (gateway, call):
        for number, calls in takes(read_tape()):
            if number == "200":
                await call.create("pc")
            if number in SCENES:
                await SCENES[number](gateway, call)
            answers = await asyncio.gather(*(play(call, recorded["request"]) for recorded in calls))
            for recorded, answer in zip(calls, answers, strict=True):
                differences += compare(number, recorded, answer)

    assert differences == []


def test_the_tape_is_whole():
    assert len(read_tape()) == 179


@pytest.mark.parametrize("series", ["B", "C", "D"])
async def test_every_recorded_delivery_has_its_like_here(series):
    async with open_gateway(TAPE) as (gateway, call), open_mailbox() as mailbox:
        await play_all_events(gateway, call, mailbox)
        ours = {kind_of(body): body for body in mailbox.bodies}

    for delivery in read_hooks(series):
        body = delivery["body"]
        if kind_of(body) != "contacts.update dict":  # its array form is compared; it comes second
            assert shape(ours[kind_of(body)]) | {"sender": "str"} == shape(body) | {"sender": "str"}


async def play_all_events(gateway, call, mailbox):
    """Let everything happen once that the recorded series show."""
    await call.create("q1", qrcode=True, webhook=mailbox.hook(headers={"X-Inst": "q1"}))
    await limit_reached("q1")(gateway, call)
    await call("GET", "/instance/connect/q1")
    await call.rescan("q1")
    await call("POST", "/message/sendText/q1", {"number": "33639980002", "text": "Bonjour"})
    for text in ("Salut !", "dup"):
        gateway.receive("q1", text=text)
    gateway.unlink("q1")
    wanted = {kind_of(each["body"]) for series in "BCD" for each in read_hooks(series)}
    await mailbox.until(lambda: wanted <= {kind_of(body) for body in mailbox.bodies})


def kind_of(body: dict[str, Any]) -> str:
    """Tell apart what shares an event name: states, limit and code, array and object."""
    data = body["data"]
    detail = data.get("state") or data.get("statusCode") or "" if isinstance(data, dict) else ""
    return f"{body['event']} {detail or type(data).__name__}"


def takes(tape):
    """Group the calls that were made at the same time: those that share a number on purpose."""
    grouped: list[tuple[str, list[Any]]] = []
    for recorded in tape:
        number = recorded["name"].split("-")[0]
        if grouped and number in ("190", "200") and grouped[-1][0] == number:
            grouped[-1][1].append(recorded)
        else:
            grouped.append((number, [recorded]))
    return grouped


async def play(call: Caller, request: dict[str, Any]) -> tuple[int, Any]:
    body = request.get("body")
    raw = body["_raw"] if isinstance(body, dict) and "_raw" in body else body
    headers = {name: value for name, value in request["headers"].items() if name != "apikey"}
    return await call(
        request["method"], request["path"], raw, key=request["headers"].get("apikey"), headers=headers
    )


def compare(number: str, recorded: dict[str, Any], answer: tuple[int, Any]) -> list[str]:
    """Say what differs: the status, the shape, and the text where it is always the same."""
    status, body = recorded["response"]["status"], recorded["response"]["body"]
    exact = isinstance(body, dict) and (
        "response" in body
        or "error" in body
        or ("state" in body.get("instance", {}) and number not in TWO_STATES)
    )
    same = answer == (status, body) if exact else (answer[0], shape(answer[1])) == (status, shape(body))
    return [] if same else [f"{recorded['name']}: {answer} is not {(status, body)}"]


def shape(value: Any) -> Any:
    """Reduce JSON to its keys and types."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return [shape(inner) for inner in value[:1]]
        case None:
            return None
        case _:
            return type(value).__name__


def test_what_is_compared_is_keys_and_types():
    assert shape({"a": [{"b": 1}, {"b": 2}], "c": None}) == {"a": [{"b": "int"}], "c": None}
    assert json.loads(json.dumps(shape({"phone": PHONE}))) == {"phone": "str"}
