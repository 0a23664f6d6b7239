"""A sign-up becomes a ready instance in seconds, exactly once. LESSONS 1, 2, 3, 4, 10, 11, 13, 14, 15."""

import asyncio
import json
from datetime import timedelta

from amarre.flows import maintenance, provision, reconcile, remove
from amarre.flows.means import HOOK_HEADER, HOOK_PATH
from amarre.simulators.evolution import Seed
from amarre.store import claim, instance, request
from tests.story.harbour import SERVICE_KEY, Harbour, harbour

LEASE = timedelta(seconds=30)
SERVICE = {"Authorization": f"Bearer {SERVICE_KEY}"}


async def test_a_sign_up_leads_to_one_verified_instance_with_a_code(h: Harbour):
    user = await h.sign_up()

    await h.work()
    shown = await h.until(lambda one: one.reason == "code_shown", (await h.of_user(user)).id)

    assert h.simulator.calls("create") == 1
    assert shown.code == h.simulator.live_code(shown.name)
    assert shown.webhook_configured_at is not None
    queue = await h.sql("select status, retry_count from public.evolution_instance_creation_queue")
    assert queue == [{"status": "completed", "retry_count": 0}]
    assert (await h.kinds(shown.id))[:4] == [
        "signed_up",
        "provisioning_started",
        "instance_created",
        "webhook_verified",
    ]


async def test_two_workers_a_tick_a_call_and_a_click_at_once_create_one_instance(h: Harbour):
    user = await h.sign_up()
    other = h.another_worker(2)
    body = {"userId": str(user)}

    async def call(path: str, body: dict[str, str]) -> int:
        async with h.http.post(path, headers=SERVICE, json=body) as answer:
            return answer.status

    answers = await asyncio.gather(
        provision.run(h.means, h.clock()),
        provision.run(other, h.clock()),
        call("/functions/v1/process-evolution-queue", {}),
        call("/functions/v1/create-evolution-instance", body),
        call("/functions/v1/create-evolution-instance", body),
    )
    await h.until(lambda one: one.state == "connecting", (await h.of_user(user)).id)

    assert answers[2:] == [200, 200, 200]
    assert h.simulator.calls("create") == 1
    assert len(h.simulator.instances) == 1


async def test_a_name_that_is_in_use_and_ours_is_adopted(h: Harbour):
    user = await h.sign_up()
    h.simulator.fault("status", route="create", number=500, times=1)
    await h.work()
    ours = await h.of_user(user)
    h.simulator.seed([Seed(ours.name, "33639980001")])

    h.clock.advance(timedelta(seconds=5))
    await h.work()
    found = await h.until(lambda one: one.state == "connected", ours.id)

    assert found.name == ours.name
    assert len(h.simulator.instances) == 1
    assert h.simulator.calls("create") == 2, "the second one was answered 403"
    assert "instance_adopted" in await h.kinds(ours.id)
    hook = h.simulator.instance(ours.name).hook
    assert hook is not None
    assert hook.url.endswith(HOOK_PATH)


async def test_a_create_that_timed_out_but_succeeded_is_adopted_not_repeated(database_url: str):
    async with harbour(database_url, create_timeout=timedelta(milliseconds=200)) as h:
        user = await h.sign_up()
        h.simulator.fault("create_timeout_but_done", times=1)

        await h.work()
        h.clock.advance(timedelta(seconds=2))
        await h.work()
        found = await h.until(lambda one: one.state == "connecting", (await h.of_user(user)).id)

        assert h.simulator.calls("create") == 1
        assert "instance_adopted" in await h.kinds(found.id)


async def test_while_an_earlier_create_may_be_under_way_no_second_one_is_sent(database_url: str):
    async with harbour(database_url, create_timeout=timedelta(milliseconds=100)) as h:
        await h.sign_up()
        h.simulator.fault("hang", route="create", seconds=60)

        for _ in range(5):
            await h.work()
            h.clock.advance(timedelta(seconds=4))
        within = h.simulator.calls("create")
        h.simulator.clear_faults()
        h.clock.advance(timedelta(seconds=30))
        await h.work()

        assert within == 1
        assert len(h.simulator.instances) == 1


async def test_a_webhook_that_arrives_before_the_create_is_answered_is_kept(h: Harbour):
    await h.sign_up()
    h.simulator.fault("slow", route="create", seconds=0.3)
    working = asyncio.create_task(h.work())
    await h.simulator.until(lambda: bool(h.simulator.instances) or h.simulator.calls("create") > 0)
    row = (await h.sql("select id, name from amarre.instances"))[0]
    async with h.means.db.transaction() as conn:
        sealed = await instance.hook_secret(conn, row["id"])
    assert sealed is not None
    secret = h.means.vault.open(sealed, owner=row["id"])

    body = {"event": "connection.update", "instance": row["name"], "data": {"state": "connecting"}}
    async with h.http.post(HOOK_PATH, json=body, headers={HOOK_HEADER: secret}) as answer:
        status = answer.status
    before_the_answer = not working.done()
    await working

    assert (status, before_the_answer) == (200, True)
    kept = await h.sql("select event from amarre.deliveries order by id limit 1")
    assert kept == [{"event": "connection.update"}]


async def test_while_the_gateway_is_down_nothing_is_completed_and_one_event_tells_it(h: Harbour):
    h.simulator.fault("refuse")
    user = await h.sign_up()

    for _ in range(20):
        await h.work()
        await h.reconcile()
        h.clock.advance(timedelta(seconds=31))
    queue = await h.sql("select status, retry_count, failures from amarre.provisioning_requests")
    events = await h.sql("select kind from amarre.events where kind like 'gateway_%' order by id")

    assert queue[0]["status"] == "pending"
    assert queue[0]["retry_count"] == 0
    assert [one["kind"] for one in events] == ["gateway_silent"]

    h.simulator.clear_faults()
    h.clock.advance(timedelta(minutes=2))
    await h.reconcile()
    await h.work()
    await h.until(lambda one: one.state == "connecting", (await h.of_user(user)).id)

    events = await h.sql("select kind from amarre.events where kind like 'gateway_%' order by id")
    assert [one["kind"] for one in events] == ["gateway_silent", "gateway_back"]
    assert h.simulator.calls("create") == 1


async def test_a_worker_killed_while_processing_gives_its_request_back_by_its_lease(h: Harbour):
    user = await h.sign_up()
    dead = h.another_worker(77)
    async with h.means.db.transaction() as conn:
        taken = await request.claim_due(conn, worker=dead.worker, lease=LEASE, limit=5, now=h.clock())
    assert len(taken) == 1

    await h.work()
    before = await h.sql("select status from amarre.provisioning_requests")
    h.clock.advance(LEASE)
    await maintenance.give_back(h.means, h.clock())
    await h.work()

    assert before == [{"status": "processing"}]
    assert (await h.of_user(user)).created_remotely_at is not None


async def test_the_late_result_of_a_lost_claim_is_ignored(h: Harbour):
    await h.sign_up()
    async with h.means.db.transaction() as conn:
        taken = await request.claim_due(conn, worker=5, lease=LEASE, limit=5, now=h.clock())
    await h.sql("update evolution_instance_creation_queue set status = 'pending', retry_count = 0")

    async with h.means.db.transaction() as conn:
        finished = await request.finish(conn, taken[0], now=h.clock())

    assert not finished
    assert await h.sql("select status from amarre.provisioning_requests") == [{"status": "pending"}]


async def test_an_operators_update_to_pending_is_honoured(h: Harbour):
    user = await h.sign_up()
    h.simulator.fault("status", route="create", number=400)
    for _ in range(6):
        await h.work()
        h.clock.advance(timedelta(minutes=6))
    failed = await h.sql("select status, retry_count from evolution_instance_creation_queue")
    h.simulator.clear_faults()

    await h.sql(
        """
        update evolution_instance_creation_queue
           set status = 'pending', retry_count = 0, error_message = null, updated_at = now()
         where user_id = %(u)s
        """,
        u=user,
    )
    await h.work()
    found = await h.until(lambda one: one.state == "connecting", (await h.of_user(user)).id)

    assert failed == [{"status": "failed", "retry_count": 3}]
    assert "provisioning_failed" in await h.kinds(found.id)


async def test_a_webhook_wiped_upstream_is_noticed_and_set_again(h: Harbour):
    connected = await h.connected()
    h.simulator.wipe_webhook(connected.name)

    h.clock.advance(timedelta(minutes=31))
    await reconcile.check_webhooks(h.means, h.clock())

    hook = h.simulator.instance(connected.name).hook
    assert hook is not None
    assert hook.url.endswith("/functions/v1/evolution-webhook-handler")
    assert (await h.kinds(connected.id))[-2:] == ["webhook_drifted", "webhook_set_again"]
    after = await h.get(connected.id)
    assert after.webhook_configured_at is not None
    assert connected.webhook_configured_at is not None
    assert after.webhook_configured_at > connected.webhook_configured_at


async def test_a_deleted_user_takes_his_instance_with_him(h: Harbour):
    connected = await h.connected()
    assert connected.user_id is not None

    await remove.customer(h.means, connected.user_id)
    async with asyncio.timeout(5):
        while h.simulator.instances or await h.sql("select id from amarre.instances"):
            await h.work()
            h.clock.advance(timedelta(seconds=1))
            await asyncio.sleep(0.01)

    assert h.simulator.calls("logout") == 1
    assert h.simulator.calls("delete") == 1
    removed = await h.sql("select kind from amarre.events order by id desc limit 1")
    assert removed == [{"kind": "removed"}]


async def test_what_is_upstream_and_not_ours_is_listed(h: Harbour):
    await h.connected()
    h.simulator.seed([Seed("somebody-else", "33639980077")])

    assert await reconcile.strangers(h.means) == {"evo-1": ["somebody-else"]}


async def test_no_token_reaches_a_row_an_event_an_answer_or_a_page(h: Harbour):
    connected = await h.connected()
    h.simulator.receive(connected.name, text="Bonjour")
    await h.until(lambda one: one.last_traffic_at is not None, connected.id)
    token = h.simulator.instance(connected.name).token
    hook = h.simulator.instance(connected.name).hook
    assert hook is not None
    secret = next(iter((hook.headers or {}).values()))

    texts: list[str] = []
    tables = await h.sql(
        "select table_name as name from information_schema.tables where table_schema = 'amarre'"
    )
    for table in tables:
        rows = await h.sql(f"select row_to_json(t)::text as row from amarre.{table['name']} t")
        texts += [str(row["row"]) for row in rows]
    for path in (
        "/api/v1/instances",
        f"/api/v1/instances/{connected.id}",
        f"/api/v1/instances/{connected.id}/events",
        f"/api/v1/instances/{connected.id}/deliveries",
        "/api/v1/gateways",
        "/api/v1/events",
        "/metrics",
    ):
        async with h.http.get(path, headers=SERVICE) as answer:
            assert answer.status == 200, path
            texts.append(await answer.text())
    for path in ("refresh-qr-codes", "process-evolution-queue", "check-instance-status"):
        body = {"userId": str(connected.user_id)}
        async with h.http.post(f"/functions/v1/{path}", headers=SERVICE, json=body) as answer:
            assert answer.status == 200, path
            texts.append(await answer.text())

    everything = json.dumps(texts)
    assert connected.name in everything
    assert token not in everything
    assert secret not in everything


async def test_parallel_claims_never_hold_one_instance_twice(h: Harbour):
    shown = await h.shown()
    await h.sql("update amarre.instances set due_at = now() - interval '1 minute'")

    async def take(worker: int) -> int:
        async with h.means.db.transaction() as conn:
            return len(await claim.claim_due(conn, worker=worker, lease=LEASE, limit=10, now=h.clock()))

    taken = await asyncio.gather(*(take(worker) for worker in range(1, 9)))

    assert sum(taken) == 1
    assert shown.state == "connecting"
