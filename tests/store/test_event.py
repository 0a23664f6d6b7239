"""What happened is told once, in order, to whoever asks from where he left off."""

from uuid import uuid4

from amarre.store import event
from tests.store.given import connected, given_a_profile, given_an_instance, rows
from tests.support import NOON, SECOND


async def test_an_event_names_its_instance_gateway_and_customer(conn):
    user = await given_a_profile(conn)
    found = await given_an_instance(conn, user=user)
    before = await event.newest_id(conn)

    await event.tell(
        conn, "connected", now=NOON, of=found, actor="alice", facts={"phone": "+33639980001", "none": None}
    )

    (told,) = await event.since(conn, before)
    assert (told.kind, told.at, told.actor) == ("connected", NOON, "alice")
    assert (told.instance_id, told.gateway_id, told.user_id) == (found.id, found.gateway_id, user)
    assert told.facts == {"phone": "+33639980001"}


async def test_readers_go_on_from_their_last_id(conn):
    for n in range(5):
        await event.tell(conn, f"kind_{n}", now=NOON + n * SECOND)
    first, second, *_ = await event.since(conn, 0)

    rest = await event.since(conn, first.id, but=[second.id], limit=2)

    assert [one.kind for one in rest] == ["kind_2", "kind_3"]


async def test_nothing_has_happened_yet(conn):
    assert (await event.newest_id(conn), await event.since(conn, 0), await event.recent(conn)) == (0, [], [])


async def test_an_instance_s_story_begins_before_it_was_there(conn):
    user = await given_a_profile(conn)
    found = await given_an_instance(conn, user=user)
    await event.tell(conn, "connected", now=NOON, of=found)
    await event.tell(conn, "connected", now=NOON, of=await given_an_instance(conn))
    await event.tell(conn, "gateway_silent", now=NOON, gateway=found.gateway_id)

    story = await event.of_instance(conn, found.id)

    assert [one.kind for one in story] == ["connected", "signed_up"]


async def test_a_story_is_read_page_by_page_newest_first(conn):
    found = await given_an_instance(conn, user=await given_a_profile(conn))
    for n in range(4):
        await event.tell(conn, f"kind_{n}", now=NOON, of=found)

    newest = await event.of_instance(conn, found.id, limit=3)
    older = await event.of_instance(conn, found.id, before=newest[-1].id, limit=3)

    assert [one.kind for one in newest] == ["kind_3", "kind_2", "kind_1"]
    assert [one.kind for one in older] == ["kind_0", "signed_up"]


async def test_an_instance_without_a_customer_has_no_part_in_what_is_nobody_s(conn):
    found = await given_an_instance(conn)
    await event.tell(conn, "gateway_silent", now=NOON)

    assert await event.of_instance(conn, found.id) == []
    assert await event.of_instance(conn, uuid4()) == []


async def test_events_outlive_what_they_are_about(conn):
    found = await given_an_instance(conn)
    await event.tell(conn, "deleted", now=NOON, of=found)

    await conn.execute("delete from amarre.instances where id = %s", [found.id])

    assert [one.kind for one in await event.recent(conn)] == ["deleted"]


async def test_pages_hear_of_an_event_when_it_is_committed(conn, database_url):
    async with connected(database_url) as listener:
        await listener.execute("listen amarre_events")
        async with conn.transaction():
            await event.tell(conn, "one", now=NOON)
            early = [notice async for notice in listener.notifies(timeout=0)]
        heard = [notice.payload async for notice in listener.notifies(timeout=5, stop_after=1)]

    assert (early, heard) == ([], [""])


async def test_an_event_of_a_transaction_that_failed_never_happened(conn):
    async with conn.transaction(force_rollback=True):
        await event.tell(conn, "one", now=NOON)

    assert await rows(conn, "select id from amarre.events") == []
