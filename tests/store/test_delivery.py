"""What a gateway delivered is kept once, under the instance whose secret came with it."""

import asyncio
import json
from dataclasses import replace

import pytest

from amarre.flows.intake import arrival
from amarre.gateways import GATEWAYS, Gateway, GatewayAccess
from amarre.store import delivery
from amarre.store.delivery import Kept
from amarre.store.vault import hash_secret
from tests.store.given import (
    SECRET,
    an_arrival,
    connected,
    given_an_instance,
    rows,
    the_instance,
    value,
)
from tests.support import DAY, MINUTE, NOON, SECOND

LEASE = 15 * SECOND


async def test_right_wrong_and_repeated_deliveries_are_told_apart_in_one_go(conn):
    dan, eve = await given_an_instance(conn), await given_an_instance(conn)
    arrivals = [
        an_arrival(dan, "first"),
        an_arrival(eve, "a stranger's", secret_hash=hash_secret("guessed")),
        an_arrival(eve, "first"),
        replace(an_arrival(dan, "to nobody"), instance="nobody"),
    ]
    await delivery.keep(conn, [an_arrival(eve, "first")])

    kept = await delivery.keep(conn, arrivals)

    assert kept == [
        Kept(dan.id, fresh=True),
        Kept(None, fresh=False),
        Kept(eve.id, fresh=False),
        Kept(None, fresh=False),
    ]
    assert await value(conn, "select count(*) from amarre.deliveries") == 2


async def test_the_same_twice_in_one_go_is_kept_once_and_both_are_answered(conn):
    found = await given_an_instance(conn)

    kept = await delivery.keep(conn, [an_arrival(found), an_arrival(found)])

    assert [one.instance_id for one in kept] == [found.id, found.id]
    assert await value(conn, "select count(*) from amarre.deliveries") == 1


async def test_nothing_at_all_is_kept_too(conn):
    assert await delivery.keep(conn, []) == []


async def test_what_changes_nothing_is_kept_and_does_not_wait(conn):
    found = await given_an_instance(conn)

    await delivery.keep(conn, [an_arrival(found, subject="message", matters=False)])

    assert await delivery.next_due(conn) is None
    (seen,) = await delivery.of_instance(conn, found.id)
    assert (seen.outcome, seen.applied_at) == ("kept", NOON)


async def test_a_delivery_shows_that_its_instance_is_heard_of(conn):
    found = await given_an_instance(conn)

    await delivery.keep(conn, [an_arrival(found, received_at=NOON + SECOND)])
    silent = await the_instance(conn, found.id)
    await delivery.keep(
        conn, [an_arrival(found, "hello", subject="message", received_at=NOON + MINUTE, body_hash=b"2")]
    )

    heard = await the_instance(conn, found.id)
    assert (silent.last_delivery_at, silent.last_traffic_at) == (NOON + SECOND, None)
    assert (heard.last_delivery_at, heard.last_traffic_at) == (NOON + MINUTE, NOON + MINUTE)


@pytest.mark.parametrize(("matters", "heard"), [(True, ["deliveries"]), (False, [])])
async def test_workers_are_woken_for_what_matters_only(conn, database_url, matters, heard):
    found = await given_an_instance(conn)

    async with connected(database_url) as listener:
        await listener.execute("listen amarre_work")
        await delivery.keep(conn, [an_arrival(found, matters=matters)])
        await conn.execute("notify amarre_work, 'end'")
        noticed = []
        async for notice in listener.notifies(timeout=5):
            if notice.payload == "end":
                break
            noticed.append(notice.payload)

    assert noticed == heard


async def test_two_doors_that_keep_for_the_same_instances_do_not_block_each_other(conn, database_url):
    found = [await given_an_instance(conn) for _ in range(40)]

    async def keep(order: int) -> int:
        async with connected(database_url) as door:
            kept = 0
            for n in range(15):
                arrivals = [an_arrival(one, f"{order} {n}") for one in found[::order]]
                kept += sum(one.fresh for one in await delivery.keep(door, arrivals))
            return kept

    assert await asyncio.gather(keep(1), keep(-1), keep(2)) == [600, 600, 300]


# ---------------------------------------------------------------- applying


async def test_waiting_deliveries_are_claimed_in_the_order_of_their_arrival(conn):
    found = await given_an_instance(conn)
    await delivery.keep(conn, [an_arrival(found, text) for text in ("one", "two", "three")])

    first = await delivery.claim_due(conn, lease=LEASE, limit=2, now=NOON)
    rest = await delivery.claim_due(conn, lease=LEASE, limit=2, now=NOON)

    assert [one.body["text"] for one in first] == ["one", "two"]
    assert [one.body["text"] for one in rest] == ["three"]


async def test_what_a_dead_worker_claimed_comes_back_by_itself(conn):
    found = await given_an_instance(conn)
    await delivery.keep(conn, [an_arrival(found)])
    await delivery.claim_due(conn, lease=LEASE, limit=9, now=NOON)

    before = await delivery.claim_due(conn, lease=LEASE, limit=9, now=NOON + 14 * SECOND)
    after = await delivery.claim_due(conn, lease=LEASE, limit=9, now=NOON + LEASE)

    assert (before, len(after)) == ([], 1)


async def test_several_workers_apply_each_delivery_once(conn, database_url):
    found = await given_an_instance(conn)
    await delivery.keep(conn, [an_arrival(found, str(n)) for n in range(80)])

    async def work() -> list[int]:
        taken: list[int] = []
        async with connected(database_url) as own:
            while some := await delivery.claim_due(own, lease=LEASE, limit=7, now=NOON):
                taken += [one.id for one in some]
        return taken

    taken = [one for part in await asyncio.gather(work(), work(), work()) for one in part]

    assert (len(taken), len(set(taken))) == (80, 80)


async def test_an_applied_delivery_says_what_came_of_it_and_never_waits_again(conn):
    found = await given_an_instance(conn)
    await delivery.keep(conn, [an_arrival(found, "one"), an_arrival(found, "two")])
    one, two = await delivery.claim_due(conn, lease=LEASE, limit=9, now=NOON)

    await delivery.applied(conn, {one.id: "stale", two.id: None}, now=NOON + SECOND)
    await delivery.applied(conn, {one.id: "late"}, now=NOON + MINUTE)
    await delivery.postpone(conn, [one.id, two.id], at=NOON)

    assert await delivery.still_waiting(conn, [one.id, two.id]) == set()
    assert [row.outcome for row in await delivery.of_instance(conn, found.id)] == ["applied", "stale"]
    assert await delivery.next_due(conn) is None


async def test_a_postponed_delivery_waits_for_its_time_and_counts(conn):
    found = await given_an_instance(conn)
    await delivery.keep(conn, [an_arrival(found)])
    (one,) = await delivery.claim_due(conn, lease=LEASE, limit=9, now=NOON)

    await delivery.postpone(conn, [one.id], at=NOON + MINUTE)

    assert await delivery.next_due(conn) == NOON + MINUTE
    (again,) = await delivery.claim_due(conn, lease=LEASE, limit=9, now=NOON + MINUTE)
    assert again.failures == 1


# ---------------------------------------------------------------- pruning


@pytest.mark.parametrize(
    ("subject", "matters", "age", "pruned"),
    [
        ("connection", False, 3 * DAY, 0),
        ("connection", False, 3 * DAY + SECOND, 1),
        ("connection", True, 30 * DAY, 0),
        ("message", False, 3 * DAY + SECOND, 0),
        ("message", False, 7 * DAY, 0),
        ("message", False, 7 * DAY + SECOND, 1),
    ],
)
async def test_deliveries_go_after_three_days_messages_after_seven_what_waits_never(
    conn, subject, matters, age, pruned
):
    found = await given_an_instance(conn)
    await delivery.keep(conn, [an_arrival(found, subject=subject, matters=matters, received_at=NOON - age)])

    assert await delivery.prune(conn, now=NOON) == pruned


async def test_pruning_deletes_a_limited_number_at_a_time(conn):
    found = await given_an_instance(conn)
    old = [an_arrival(found, str(n), matters=False, received_at=NOON - 8 * DAY) for n in range(5)]
    await delivery.keep(conn, old)

    pruned = [await delivery.prune(conn, now=NOON, limit=2) for _ in range(4)]

    assert pruned == [2, 2, 1, 0]


# ---------------------------------------------------------------- what a door may be handed


@pytest.fixture
async def evolution():
    access = GatewayAccess(name="main", kind="evolution", base_url="http://127.0.0.1:9", key="key")
    client = GATEWAYS["evolution"](access)
    yield client
    await client.close()


ODD = {
    "a zero byte": "a\0b",
    "half a character": "a\ud800b",
    "a flag": "🇫🇷",
    "a long one": "x" * 100_000,
    "no number": json.loads("NaN"),
    "more than any number": json.loads("1e999"),
    "a very long number": 10**4000,
    "nothing": None,
    "one in another": {"a": [{"b": "c\0"}]},
}


@pytest.mark.parametrize("odd", ODD)
async def test_whatever_a_message_holds_it_is_kept(conn, evolution: Gateway, odd):
    found = await given_an_instance(conn)
    body = {"event": "messages.upsert", "instance": found.name, "data": {"text": ODD[odd], "k\0": 1}}

    (kept,) = await delivery.keep(conn, [arrival(evolution, body, SECRET, NOON)])

    assert kept == Kept(found.id, fresh=True)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "'; drop table x; --", "x" * 100_000])
async def test_a_delivery_for_an_impossible_name_is_nobody_s(conn, evolution: Gateway, name):
    body = {"event": "messages.upsert", "instance": name, "data": {}}

    (kept,) = await delivery.keep(conn, [arrival(evolution, body, SECRET, NOON)])

    assert kept == Kept(None, fresh=False)


async def test_a_token_of_a_delivery_is_not_kept(conn, evolution: Gateway):
    found = await given_an_instance(conn)
    body = {
        "event": "messages.upsert",
        "instance": found.name,
        "data": {},
        "apikey": "a token of the gateway",
    }

    await delivery.keep(conn, [arrival(evolution, body, SECRET, NOON)])

    (kept,) = await rows(conn, "select body::text as body from amarre.deliveries")
    assert "a token of the gateway" not in kept["body"]
