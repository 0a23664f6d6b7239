"""The code on the screen can be scanned. LESSONS 5, 6, 7, 8, 9, 12, 16."""

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from amarre.flows import intake, pairing
from amarre.flows.means import HOOK_HEADER, HOOK_PATH
from amarre.simulators.evolution import FAST
from amarre.store import instance
from tests.story.harbour import Harbour, harbour

SHORT = replace(FAST, qr_life=timedelta(milliseconds=300), qr_limit=4, refs_per_socket=2)


async def deliver(h: Harbour, name: str, body: dict[str, object]) -> int:
    """Deliver something as the gateway would, with the instance's secret."""
    hook = h.simulator.instance(name).hook
    assert hook is not None
    full = {
        "instance": name,
        "server_url": h.simulator.base_url,
        "apikey": "t",
        "destination": hook.url,
    } | body
    async with h.http.post(HOOK_PATH, json=full, headers=dict(hook.headers or {})) as answer:
        return answer.status


async def test_a_scan_connects_with_the_phone_and_clears_the_code(h: Harbour):
    connected = await h.connected(phone="33639980042")

    assert connected.phone is not None
    assert connected.phone.endswith("33639980042")
    assert (connected.code, connected.code_expires_at, connected.pairing_until) == (None, None, None)
    assert (await h.kinds(connected.id))[-1] == "connected"


async def test_a_late_code_does_not_resurrect_a_connected_instance(h: Harbour):
    connected = await h.connected()

    status = await deliver(
        h,
        connected.name,
        {
            "event": "qrcode.updated",
            "date_time": "2026-11-21T02:08:59.425Z",
            "data": {
                "qrcode": {"instance": connected.name, "code": "2@late", "base64": "data:image/png;base64,x"}
            },
        },
    )
    await h.work()
    after = await h.get(connected.id)

    assert status == 200
    assert (after.state, after.code) == ("connected", None)


async def test_a_late_word_of_the_connection_is_checked_before_it_is_believed(h: Harbour):
    connected = await h.connected()

    for state, reason in (("connecting", 200), ("close", 401)):
        data = {"instance": connected.name, "state": state, "statusReason": reason}
        await deliver(
            h,
            connected.name,
            {"event": "connection.update", "data": data, "date_time": "2026-01-01T00:00:00Z"},
        )
    await h.work()

    assert (await h.get(connected.id)).state == "connected"
    assert (await h.kinds(connected.id))[-1] == "connected"


async def test_a_code_that_was_used_is_never_shown_again(h: Harbour):
    connected = await h.connected()
    used = await h.sql("select code_hash from amarre.seen_codes where instance_id = %(id)s", id=connected.id)
    h.simulator.unlink(connected.name)
    await h.until(lambda one: one.reason == "unlinked", connected.id)

    await pairing.begin(h.means, connected.id, actor="test", now=h.clock())
    again = await h.until(lambda one: one.reason == "code_shown", connected.id)

    assert again.code == h.simulator.live_code(again.name)
    assert again.code is not None
    seen = {bytes(row["code_hash"]) for row in used}
    assert hashlib.sha256(again.code.encode()).digest() not in seen


async def test_unlinking_on_the_phone_is_told_and_not_repaired_by_machine(h: Harbour):
    connected = await h.connected()

    h.simulator.unlink(connected.name)
    after = await h.until(lambda one: one.state == "disconnected", connected.id)
    restarts = h.simulator.calls("restart", connected.name)

    assert after.reason == "unlinked"
    assert restarts == 0


async def test_a_ban_is_an_error_of_its_own(h: Harbour):
    connected = await h.connected()

    h.simulator.ban(connected.name)
    after = await h.until(lambda one: one.state == "error", connected.id)

    assert after.reason == "banned"


async def test_at_the_gateways_limit_the_instance_rests_and_nothing_reconnects(database_url: str):
    policy = {"window": timedelta(seconds=1)}
    async with harbour(database_url, SHORT, policy=policy) as h:
        shown = await h.shown()

        h.clock.advance(timedelta(seconds=60))
        rests = await h.until(lambda one: one.reason == "pairing_expired", shown.id)
        connects = h.simulator.calls("connect", shown.name)
        for _ in range(5):
            h.clock.advance(timedelta(minutes=10))
            await h.work()

        assert (rests.state, rests.code) == ("disconnected", None)
        assert h.simulator.calls("connect", shown.name) == connects
        assert (await h.get(shown.id)).state == "disconnected"


async def test_whoever_looks_wakes_a_resting_instance(h: Harbour):
    shown = await h.shown()
    await pairing.rest(h.means, shown.id, actor="bob", now=h.clock())
    await h.work()
    assert (await h.get(shown.id)).reason == "pairing_expired"

    await pairing.watch(h.means, shown.id, now=h.clock(), who="Alice")
    woken = await h.until(lambda one: one.reason == "code_shown", shown.id)

    assert woken.code == h.simulator.live_code(woken.name)
    assert {"pairing_stopped", "page_opened", "pairing_woken"} <= set(await h.kinds(shown.id))


async def test_an_instance_deleted_upstream_is_created_again(h: Harbour):
    connected = await h.connected()
    h.simulator.drop_instance(connected.name)

    h.clock.advance(timedelta(minutes=1))
    await h.reconcile()
    again = await h.until(lambda one: one.reason == "code_shown", connected.id)

    assert again.id == connected.id
    assert again.name != connected.name
    assert "deleted_upstream" in await h.kinds(connected.id)
    assert h.simulator.calls("create") == 2


async def test_connect_that_answers_open_makes_it_connected(h: Harbour):
    connected = await h.connected()
    await h.sql(
        """
        update amarre.instances
           set state = 'connecting', reason = 'awaiting_code', due_at = now(),
               pairing_until = now() + interval '10 minutes', connected_at = null, heard_at = null
        """
    )

    await h.work()

    assert (await h.get(connected.id)).state == "connected"


async def test_a_connect_that_fails_shows_no_code_and_is_tried_again(h: Harbour):
    user = await h.sign_up()
    h.simulator.fault("status", route="connect", number=500)

    await h.work()
    found = await h.until(lambda one: one.failures > 0, (await h.of_user(user)).id)

    assert found.error_code == "gateway_broken"
    assert found.code is None


async def test_a_storm_is_one_change_and_one_event(h: Harbour):
    connected = await h.connected()
    before = await h.sql("select count(*)::int as n from amarre.deliveries")

    h.simulator.storm(connected.name, times=40, seconds=0.5)
    async with asyncio.timeout(10):
        while (await h.sql("select count(*)::int as n from amarre.deliveries"))[0]["n"] < before[0]["n"] + 40:
            h.arrived.clear()
            await intake.apply(h.means, h.clock())
            await asyncio.wait_for(h.arrived.wait(), 5)
    await h.until(lambda one: one.state == "connected", connected.id)

    kinds = (await h.kinds(connected.id))[len(await h.kinds(connected.id)) - 3 :]
    told = await h.sql(
        "select count(*)::int as n from amarre.events where kind = 'reconnecting' and instance_id = %(id)s",
        id=connected.id,
    )
    assert told[0]["n"] == 1, kinds


@pytest.mark.parametrize("secret", [None, "wrong"])
async def test_a_wrong_secret_is_refused_and_changes_nothing(h: Harbour, secret: str | None):
    connected = await h.connected()
    before = await h.sql("select count(*)::int as n from amarre.deliveries")
    data = {"instance": connected.name, "state": "close", "statusReason": 401}
    body = {"event": "connection.update", "instance": connected.name, "data": data}
    headers = {} if secret is None else {HOOK_HEADER: secret}

    async with h.http.post(HOOK_PATH, json=body, headers=headers) as answer:
        status, told = answer.status, json.loads(await answer.text())
    await h.work()

    assert status == 401
    assert (told["success"], told["code"]) == (False, "unauthenticated")
    assert (await h.get(connected.id)).state == "connected"
    assert await h.sql("select count(*)::int as n from amarre.deliveries") == before


async def test_the_same_delivery_twice_is_kept_once(h: Harbour):
    connected = await h.connected()
    body: dict[str, object] = {
        "event": "connection.update",
        "date_time": "2026-11-21T02:08:59.425Z",
        "data": {"instance": connected.name, "state": "connecting", "statusReason": 200},
    }
    before = await h.sql("select count(*)::int as n from amarre.deliveries")

    answers = [await deliver(h, connected.name, body) for _ in range(3)]
    after = await h.sql("select count(*)::int as n from amarre.deliveries")

    assert answers == [200, 200, 200]
    assert after[0]["n"] == before[0]["n"] + 1


async def test_a_poll_finds_the_code_when_no_webhook_comes(h: Harbour):
    h.simulator.fault("drop_webhooks")
    user = await h.sign_up()

    await h.work()
    shown = await h.until(lambda one: one.reason == "code_shown", (await h.of_user(user)).id)

    assert shown.code == h.simulator.live_code(shown.name)
    last = (await h.story(shown.id))[-1]
    assert (last.kind, last.facts["by"]) == ("code_shown", "poll")


async def test_a_dead_code_is_never_shown_while_the_gateway_is_away(h: Harbour):
    shown = await h.shown()
    h.simulator.fault("refuse")

    h.clock.advance(timedelta(seconds=60))
    await h.work()
    after = await h.get(shown.id)

    assert after.code is None
    assert pairing.code_of(after, h.clock()) is None


async def test_only_the_holder_of_a_claim_connects(h: Harbour):
    shown = await h.shown()
    await pairing.rest(h.means, shown.id, actor="t", now=h.clock())
    await h.work()
    before = h.simulator.calls("connect", shown.name)
    await pairing.begin(h.means, shown.id, actor="t", now=h.clock())

    others = [h.another_worker(number) for number in range(2, 8)]
    await asyncio.gather(*(pairing.run(one, h.clock()) for one in others))

    assert h.simulator.calls("connect", shown.name) == before + 1
    async with h.means.db.transaction() as conn:
        assert (await instance.get(conn, shown.id)) is not None


async def test_the_number_is_known_also_when_no_webhook_comes(h: Harbour):
    h.simulator.fault("drop_webhooks")
    user = await h.sign_up()
    await h.work()
    shown = await h.until(lambda one: one.reason == "code_shown", (await h.of_user(user)).id)

    h.simulator.scan(shown.name, phone="33639980055", profile_name="Chez Léa")
    await h.simulator.until(lambda: h.simulator.instance(shown.name).phone is not None)
    h.clock.advance(timedelta(seconds=50))
    connected = await h.until(lambda one: one.state == "connected", shown.id)

    assert (connected.phone, connected.profile_name) == ("33639980055", "Chez Léa")
