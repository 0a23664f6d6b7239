"""The control of the simulated Evolution, by JSON and by its page."""

import pytest

from amarre.simulators.evolution import FAST
from amarre.simulators.evolution_faults import FaultKind
from tests.contract.evolution_stage import (  # pytest puts this folder on the path
    PHONE,
    open_gateway,
)


@pytest.fixture
async def stage():
    async with open_gateway(FAST) as (gateway, call):
        yield gateway, call


async def control(call, path, body=None, *, verb="POST"):
    url = call.gateway.control_url + path
    async with call.session.request(verb, url, json=body) as answer:
        return answer.status, await answer.json()


async def form(call, path, **fields):
    async with call.session.post(
        call.gateway.control_url + path, data={"-": "", **fields}, allow_redirects=False
    ) as answer:
        return answer.status, answer.headers["Location"]


async def page(call):
    async with call.session.get(call.gateway.control_url + "/") as answer:
        return answer, await answer.text()


async def test_a_scan_pairs_and_the_state_tells_it(stage):
    gateway, call = stage
    await call.create("q1", qrcode=True)

    scanned = await control(
        call, "/instances/q1/scan", {"phone": "+33 6 39 98 00 01", "profile_name": "Resto"}
    )
    await gateway.until(lambda: gateway.instance("q1").state == "open")
    _, state = await control(call, "/state", verb="GET")

    assert scanned == (200, {"instance": "q1"})
    (q1,) = state["instances"]
    assert (q1["state"], q1["phone"], q1["profile_name"], q1["code"]) == ("open", PHONE, "Resto", None)
    assert state["calls"]["create"] == {"q1": 1}


async def test_a_code_can_be_scanned_once(stage):
    gateway, call = stage
    await call.create("q1", qrcode=True)
    said = {"code": gateway.live_code("q1"), "phone": PHONE}

    first = await control(call, "/scan", said)
    second, _ = await control(call, "/scan", said)

    assert (first, second) == ((200, {"instance": "q1"}), 410)


async def test_what_cannot_happen_is_refused_with_the_reason(stage):
    _, call = stage
    await call.create("q1")

    answers = [
        await control(call, f"/instances/{path}", {"phone": PHONE})
        for path in ("q1/scan", "q1/unlink", "nobody/scan", "q1/kick")
    ]

    assert [status for status, _ in answers] == [409, 409, 404, 409]
    assert (await control(call, "/faults", {"kind": "nonsense"}))[0] == 400
    assert (await control(call, "/instances/q1/scan", {}))[0] == 400


@pytest.mark.parametrize(
    "action", ["unlink", "ban", "kick", "message", "storm", "wipe_webhook", "drop_instance"]
)
async def test_everything_can_be_played_by_json(stage, action):
    _, call = stage
    await call.pair("q1")

    assert await control(call, f"/instances/q1/{action}", {}) == (200, {"instance": "q1"})


async def test_faults_are_switched_on_and_off(stage):
    gateway, call = stage

    _, fault = await control(call, "/faults", {"kind": "status", "number": 429, "route": "root", "times": 2})
    slowed, _ = await call("GET", "/")
    await control(call, "/faults?kind=status", verb="DELETE")

    assert (fault["number"], fault["times"], slowed) == (429, 2, 429)
    assert (await call("GET", "/"))[0] == 200
    assert gateway.faults.show() == []


async def test_the_page_has_a_button_for_each_thing_that_may_happen(stage):
    _, call = stage
    await call.create("q1", qrcode=True)
    await call.pair("resto 2")

    answer, text = await page(call)

    for label in ("Scan q1", "Unlink resto 2", "Ban resto 2", "Cut resto 2", "Send a message to resto 2"):
        assert f'aria-label="{label}"' in text
    assert text.count("<li ") == len(FaultKind)
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "style=" not in text


async def test_the_page_works_with_forms_alone(stage):
    gateway, call = stage
    await call.create("q1", qrcode=True)

    scanned = await form(call, "/instances/q1/scan", phone=PHONE, profile_name="Resto")
    again = await form(call, "/instances/q1/scan", phone=PHONE)
    await form(call, "/faults", kind="qr_limit", number="2")
    on = gateway.faults.find(FaultKind.QR_LIMIT)
    await form(call, "/faults/clear", kind="qr_limit")

    assert scanned == (303, "/_sim/")
    assert again == (303, "/_sim/?problem=No+code+can+be+scanned+now.")
    assert (on is not None, gateway.faults.show()) == (True, [])


async def test_names_are_shown_as_text(stage):
    _, call = stage
    await call.create("<b>bold</b>", qrcode=True)

    _, text = await page(call)

    assert "<b>bold</b>" not in text
    assert "Scan &lt;b&gt;bold&lt;/b&gt;" in text


async def test_pages_of_other_sites_cannot_play(stage):
    gateway, call = stage

    url = gateway.control_url + "/faults"
    async with call.session.post(
        url, json={"kind": "hang"}, headers={"Sec-Fetch-Site": "cross-site"}
    ) as answer:
        assert answer.status == 403

    assert gateway.faults.show() == []


@pytest.mark.parametrize("name", ["evolution.css", "evolution.js"])
async def test_style_and_script_are_files_of_their_own(stage, name):
    gateway, call = stage

    async with call.session.get(f"{gateway.control_url}/static/{name}") as answer:
        assert answer.status == 200
