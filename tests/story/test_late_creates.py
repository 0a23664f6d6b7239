"""A create whose outcome is not known yet leaves nothing behind, and nothing stuck. LESSONS 3, 9, 14."""

from datetime import timedelta

from amarre.flows import provision, reconcile, remove
from amarre.gateways.base import Created, Webhook
from amarre.store import claim, instance
from tests.story.harbour import Harbour, harbour


async def test_a_create_that_is_carried_out_after_his_customer_left_is_deleted_too(database_url: str):
    async with harbour(database_url, create_timeout=timedelta(milliseconds=100)) as h:
        user = await h.sign_up()
        h.simulator.fault("hang", route="create", seconds=60)
        await provision.run(h.means, h.clock())
        name = (await h.of_user(user)).name
        h.simulator.clear_faults()

        await remove.customer(h.means, user)
        await h.work()
        # Only now the gateway gets round to it.
        (client,) = h.means.gateways.values()
        await client.create(name, Webhook(f"{h.url}/hook", {}, ("CONNECTION_UPDATE",)))
        for _ in range(40):
            h.clock.advance(timedelta(seconds=1))
            await h.work()

        assert not h.simulator.instances
        assert await h.sql("select id from amarre.instances") == []


async def test_an_instance_deleted_while_its_webhook_was_read_back_is_created_again(h: Harbour):
    user = await h.sign_up()
    (client,) = h.means.gateways.values()
    asked = client.webhook

    async def slow(name: str) -> Webhook | None:
        found = await asked(name)
        if h.simulator.calls("create") == 1:
            h.simulator.drop_instance(name)
            h.clock.advance(timedelta(seconds=10))
            await reconcile.ask_all(h.means)
        return found

    client.webhook = slow
    await h.work()
    h.clock.advance(timedelta(seconds=5))
    again = await h.until(lambda one: one.reason == "code_shown", (await h.of_user(user)).id)

    assert again.created_remotely_at is not None
    assert h.simulator.calls("create") == 2


async def test_a_late_note_of_a_lost_claim_changes_nothing(h: Harbour):
    user = await h.sign_up()
    (client,) = h.means.gateways.values()
    create = client.create

    async def overtaken(name: str, webhook: Webhook) -> Created:
        made = await create(name, webhook)
        lost = await h.of_user(user)
        h.clock.advance(timedelta(minutes=1))
        async with h.means.db.transaction() as conn:
            taken = await claim.claim_one(conn, lost.id, worker=2, lease=timedelta(minutes=1), now=h.clock())
            assert taken is not None
            await instance.record(conn, lost.id, {"create_sent_at": h.clock()}, now=h.clock())
        return made

    client.create = overtaken
    ran = await provision.run(h.means, h.clock())

    assert (ran.completed, ran.waiting) == (0, 1)
    assert (await h.of_user(user)).created_remotely_at is None
