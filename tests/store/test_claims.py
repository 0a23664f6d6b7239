"""Whoever takes work has it alone, and whoever dies gives it back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from amarre.store import claim, gateway, request, worker
from amarre.store.conn import Conn
from amarre.store.worker import LOCK_CLASS, Presence
from tests.store.given import (
    connected,
    given_a_gateway,
    given_a_request,
    given_an_instance,
    rows,
    the_instance,
    value,
    write,
)
from tests.support import HOUR, MINUTE, NOON, SECOND

LEASE = 30 * SECOND


async def _together(url: str, n: int, take: Callable[[Conn, int], Awaitable[list[Any]]]) -> list[Any]:
    """Let `n` workers take one after the other until nothing is left, all at the same time."""

    async def work(number: int) -> list[Any]:
        taken: list[Any] = []
        async with connected(url) as conn:
            while some := await take(conn, number):
                taken += some
        return taken

    return [one for taken in await asyncio.gather(*map(work, range(1, n + 1))) for one in taken]


async def test_six_workers_take_each_request_once(conn, database_url):
    wanted = {await given_a_request(conn) for _ in range(60)}

    taken = await _together(
        database_url,
        6,
        lambda conn, number: request.claim_due(conn, worker=number, lease=LEASE, limit=3, now=NOON),
    )

    assert len(taken) == 60
    assert {one.id for one in taken} == wanted


async def test_six_workers_take_each_instance_once(conn, database_url):
    wanted = {(await given_an_instance(conn, due_at=NOON)).id for _ in range(60)}

    taken = await _together(
        database_url,
        6,
        lambda conn, number: claim.claim_due(conn, worker=number, lease=LEASE, limit=3, now=NOON),
    )

    assert len(taken) == 60
    assert {one.id for one in taken} == wanted


async def test_the_oldest_is_taken_first_and_what_is_not_due_is_left(conn):
    await given_an_instance(conn, name="later", due_at=NOON + SECOND)
    await given_an_instance(conn, name="second", due_at=NOON - SECOND)
    await given_an_instance(conn, name="first", due_at=NOON - MINUTE)

    one = await claim.claim_due(conn, worker=1, lease=LEASE, limit=1, now=NOON)
    rest = await claim.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)

    assert ([row.name for row in one], [row.name for row in rest]) == (["first"], ["second"])


async def test_an_instance_that_somebody_works_on_is_not_claimed_by_name(conn):
    found = await given_an_instance(conn)
    await claim.claim_one(conn, found.id, worker=1, lease=LEASE, now=NOON)

    busy = await claim.claim_one(conn, found.id, worker=2, lease=LEASE, now=NOON + 29 * SECOND)
    free = await claim.claim_one(conn, found.id, worker=2, lease=LEASE, now=NOON + 30 * SECOND)

    assert busy is None
    assert free is not None


async def test_a_released_instance_is_not_due_unless_told_so(conn):
    found = await given_an_instance(conn, due_at=NOON + HOUR)
    (first,) = filter(None, [await claim.claim_one(conn, found.id, worker=1, lease=LEASE, now=NOON)])
    released = await claim.release(conn, first)
    idle = await claim.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)
    (again,) = filter(None, [await claim.claim_one(conn, found.id, worker=1, lease=LEASE, now=NOON)])
    await claim.release(conn, again, due_at=NOON)

    due = await claim.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)

    assert (released, idle, [one.id for one in due]) == (True, [], [found.id])


async def test_a_lost_claim_releases_nothing(conn):
    found = await given_an_instance(conn)
    lost = await claim.claim_one(conn, found.id, worker=1, lease=LEASE, now=NOON)
    await claim.claim_one(conn, found.id, worker=2, lease=LEASE, now=NOON + LEASE)
    assert lost is not None

    released = await claim.release(conn, lost, due_at=NOON)

    assert not released
    assert await value(conn, "select claimed_by from amarre.instances") == 2


async def test_webhooks_are_read_back_of_instances_that_exist_and_are_wanted(conn):
    there: dict[str, Any] = {"webhook_due_at": NOON, "created_remotely_at": NOON}
    later: dict[str, Any] = {**there, "webhook_due_at": NOON + SECOND}
    found = await given_an_instance(conn, **there)
    await given_an_instance(conn, webhook_due_at=NOON)
    await given_an_instance(conn, **there, wanted="absent")
    await given_an_instance(conn, **later)

    claimed = await claim.claim_webhooks(conn, worker=1, lease=LEASE, limit=9, now=NOON)

    assert [one.id for one in claimed] == [found.id]


async def test_a_gateway_s_list_is_compared_by_one_worker(conn, database_url):
    gateway_id = await given_a_gateway(conn)

    first = await gateway.claim_due_lists(conn, worker=1, lease=LEASE, now=NOON)
    second = await gateway.claim_due_lists(conn, worker=2, lease=LEASE, now=NOON)

    assert (list(first), second) == ([gateway_id], {})


# ---------------------------------------------------------------- a claim ends by its lease


async def test_a_claim_ends_with_its_lease_and_not_before(conn):
    await given_a_request(conn)
    await given_an_instance(conn, due_at=NOON)
    await request.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)
    await claim.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)
    await gateway.claim_due_lists(conn, worker=1, lease=LEASE, now=NOON)

    before = await worker.give_back(conn, now=NOON + 29 * SECOND)
    after = await worker.give_back(conn, now=NOON + LEASE)

    assert (before, after) == (0, 3)
    assert len(await request.claim_due(conn, worker=2, lease=LEASE, limit=9, now=NOON + LEASE)) == 1
    assert len(await claim.claim_due(conn, worker=2, lease=LEASE, limit=9, now=NOON + LEASE)) == 1
    assert len(await gateway.claim_due_lists(conn, worker=2, lease=LEASE, now=NOON + LEASE)) == 1


async def test_a_worker_that_keeps_its_claims_keeps_all_of_them(conn):
    await given_a_request(conn)
    await given_an_instance(conn, due_at=NOON)
    (one,) = await request.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)
    (two,) = await claim.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)
    (three,) = await gateway.claim_due_lists(conn, worker=1, lease=LEASE, now=NOON)

    await claim.extend(conn, 1, [one.id, two.id, three], lease=LEASE, now=NOON + 20 * SECOND)

    assert await worker.give_back(conn, now=NOON + 49 * SECOND) == 0
    assert await worker.give_back(conn, now=NOON + 50 * SECOND) == 3


async def test_a_worker_keeps_nobody_else_s_claims(conn):
    await given_an_instance(conn, due_at=NOON)
    (one,) = await claim.claim_due(conn, worker=1, lease=LEASE, limit=9, now=NOON)

    await claim.extend(conn, 2, [one.id], lease=LEASE, now=NOON + 20 * SECOND)

    assert await worker.give_back(conn, now=NOON + LEASE) == 1


async def test_a_row_that_a_person_set_to_processing_does_not_stay_so_for_ever(conn):
    row = await given_a_request(conn)
    await conn.execute(
        "update public.evolution_instance_creation_queue set status = 'processing' where id = %s", [row]
    )

    freed = await worker.give_back(conn, now=NOON)

    assert freed == 1
    assert await value(conn, "select status from amarre.provisioning_requests") == "pending"


# ---------------------------------------------------------------- a claim ends with its worker


async def _kill(conn: Conn, presence: Presence) -> None:
    """End a worker's session as its death would, and wait until the server has noticed."""
    holder = """
        select pid from pg_locks
         where locktype = 'advisory' and classid = %(class)s and objid = %(worker)s
    """
    pid = await value(conn, holder, **{"class": LOCK_CLASS, "worker": presence.number})
    await conn.execute("select pg_terminate_backend(%s, 5000)", [pid])


async def test_the_work_of_a_worker_that_died_is_given_back_at_once(conn, database_url):
    dead, alive = Presence(), Presence()
    await dead.enter(database_url, locked=True, now=NOON)
    await alive.enter(database_url, locked=True, now=NOON)
    lost, kept = await given_a_request(conn), await given_a_request(conn, due_at=NOON + SECOND)
    await request.claim_due(conn, worker=dead.number, lease=HOUR, limit=1, now=NOON)
    await request.claim_due(conn, worker=alive.number, lease=HOUR, limit=1, now=NOON + SECOND)
    early = await worker.give_back(conn, now=NOON + 3 * SECOND)

    await _kill(conn, dead)
    freed = await worker.give_back(conn, now=NOON + 3 * SECOND)

    found = {
        row["id"]: row["status"] for row in await rows(conn, "select * from amarre.provisioning_requests")
    }
    assert (early, freed, found) == (0, 1, {lost: "pending", kept: "processing"})
    assert await rows(conn, "select id from amarre.workers") == [{"id": alive.number}]
    await alive.leave(now=NOON)
    await dead.leave(now=NOON)


async def test_instances_and_lists_of_a_worker_that_died_are_given_back_too(conn, database_url):
    dead = Presence()
    await dead.enter(database_url, locked=True, now=NOON)
    found = await given_an_instance(conn, due_at=NOON)
    (held,) = await claim.claim_due(conn, worker=dead.number, lease=HOUR, limit=1, now=NOON)
    await gateway.claim_due_lists(conn, worker=dead.number, lease=HOUR, now=NOON)

    await _kill(conn, dead)
    freed = await worker.give_back(conn, now=NOON + 3 * SECOND)

    assert freed == 2
    assert (await the_instance(conn, found.id)).claim_no == held.claim_no + 1
    assert not await claim.release(conn, held)
    await dead.leave(now=NOON)


async def test_a_worker_that_has_only_just_come_is_not_taken_for_dead(conn, database_url):
    # Its row is committed before its lock is held.
    new = Presence()
    await new.enter(database_url, locked=True, now=NOON)
    await _kill(conn, new)
    await given_a_request(conn)
    await request.claim_due(conn, worker=new.number, lease=HOUR, limit=1, now=NOON)

    at_once = await worker.give_back(conn, now=NOON + SECOND)
    soon = await worker.give_back(conn, now=NOON + 3 * SECOND)

    assert (at_once, soon) == (0, 1)
    await new.leave(now=NOON)


async def test_a_worker_that_lost_its_session_enters_anew_under_another_number(conn, database_url):
    lost = Presence()
    await lost.enter(database_url, locked=True, now=NOON)
    first = lost.number
    same = await lost.stay(database_url, now=NOON + SECOND)

    await _kill(conn, lost)
    await worker.give_back(conn, now=NOON + 3 * SECOND)
    anew = await lost.stay(database_url, now=NOON + 3 * SECOND)

    assert (same, anew) == (True, False)
    assert lost.number != first
    await lost.leave(now=NOON)


async def test_a_worker_that_leaves_is_forgotten(conn, database_url):
    leaving = Presence()
    await leaving.enter(database_url, locked=True, now=NOON)

    await leaving.leave(now=NOON)

    assert await rows(conn, "select id from amarre.workers") == []


async def test_behind_a_pooler_only_leases_free(conn, database_url):
    pooled = Presence()
    await pooled.enter(database_url, locked=False, now=NOON)
    await given_a_request(conn)
    await request.claim_due(conn, worker=pooled.number, lease=LEASE, limit=1, now=NOON)

    unheard = await worker.give_back(conn, now=NOON + 29 * SECOND)
    ended = await worker.give_back(conn, now=NOON + LEASE)

    assert (unheard, ended) == (0, 1)
    await pooled.leave(now=NOON)


async def test_a_worker_of_which_nothing_is_heard_for_minutes_is_given_up(conn, database_url):
    silent = Presence()
    await silent.enter(database_url, locked=False, now=NOON)
    await given_a_request(conn)
    await request.claim_due(conn, worker=silent.number, lease=HOUR, limit=1, now=NOON)

    patient = await worker.give_back(conn, now=NOON + 2 * MINUTE)
    given_up = await worker.give_back(conn, now=NOON + 2 * MINUTE + SECOND)

    assert (patient, given_up) == (0, 1)
    await silent.leave(now=NOON)


# ---------------------------------------------------------------- late results


async def _fenced(conn: Conn, late: request.Request) -> list[bool]:
    return [
        await request.finish(conn, late, now=NOON),
        await request.retry(conn, late, at=NOON, counts=True, code="x", message="x"),
        await request.fail(conn, late, code="x", message="x", now=NOON),
        await request.attach(conn, late, late.id),
    ]


async def test_an_operator_s_reset_fences_the_late_result(conn):
    row = await given_a_request(conn)
    (late,) = await request.claim_due(conn, worker=1, lease=LEASE, limit=1, now=NOON)

    await conn.execute(
        "update public.evolution_instance_creation_queue set status = 'pending' where id = %s", [row]
    )

    assert await _fenced(conn, late) == [False] * 4
    assert await value(conn, "select status from amarre.provisioning_requests") == "pending"


async def test_a_result_after_the_lease_ended_is_ignored(conn):
    await given_a_request(conn)
    (late,) = await request.claim_due(conn, worker=1, lease=LEASE, limit=1, now=NOON)
    await worker.give_back(conn, now=NOON + LEASE)
    (current,) = await request.claim_due(conn, worker=2, lease=LEASE, limit=1, now=NOON + LEASE)

    fenced = await _fenced(conn, late)

    assert (fenced, await request.finish(conn, current, now=NOON + LEASE)) == ([False] * 4, True)


async def test_a_request_ends_once(conn):
    await given_a_request(conn)
    (held,) = await request.claim_due(conn, worker=1, lease=LEASE, limit=1, now=NOON)

    first = await request.finish(conn, held, now=NOON)

    assert (first, await request.finish(conn, held, now=NOON)) == (True, False)


@pytest.mark.parametrize(("counts", "used"), [(True, 1), (False, 0)])
async def test_a_request_put_back_waits_for_its_time(conn, counts, used):
    await given_a_request(conn)
    (held,) = await request.claim_due(conn, worker=1, lease=LEASE, limit=1, now=NOON)

    await request.retry(
        conn, held, at=NOON + MINUTE, counts=counts, code="gateway_silent", message="no answer"
    )

    assert await request.next_due(conn) == NOON + MINUTE
    assert await request.claim_due(conn, worker=1, lease=LEASE, limit=1, now=NOON + 59 * SECOND) == []
    (again,) = await request.claim_due(conn, worker=1, lease=LEASE, limit=1, now=NOON + MINUTE)
    assert (again.retry_count, again.failures) == (used, 1)


async def test_requests_are_asked_for_once_and_again_when_an_instance_is_gone(conn):
    row = await given_a_request(conn)
    user = await value(conn, "select user_id from amarre.provisioning_requests")
    found = await given_an_instance(conn, user=user)
    twice = await request.ask(conn, user)
    await write(conn, "provisioning_requests", row, {"status": "completed"})
    served = await request.ask(conn, user)

    await request.ask_again(conn, user=user, kind="evolution", instance=found.id, now=NOON)

    assert (twice, served) == (None, None)
    assert await request.counts(conn) == {"completed": 1, "pending": 1}


async def test_the_sweep_finds_sign_ups_that_were_never_asked_for(conn):
    await given_a_request(conn)
    await conn.execute("set session_replication_role = replica")
    await conn.execute("insert into amarre.profiles (created_at) values (%s)", [NOON])
    await conn.execute("insert into amarre.profiles (created_at) values (%s)", [NOON - 31 * 24 * HOUR])
    await conn.execute("set session_replication_role = default")

    swept = await request.sweep(conn, now=NOON)

    assert (swept, await request.sweep(conn, now=NOON)) == (1, 0)
