"""A link for the person with the phone: opened by whoever holds it, used once."""

from uuid import UUID

import pytest
from psycopg import errors

from amarre.store import link
from amarre.store.conn import Conn
from amarre.store.link import Link
from tests.store.given import given_an_instance
from tests.support import DAY, HOUR, NOON, SECOND


async def _made(conn: Conn, token_hash: bytes = b"token", of: UUID | None = None) -> Link:
    of = of or (await given_an_instance(conn)).id
    await link.make(conn, of, token_hash=token_hash, by="alice", life=HOUR, now=NOON)
    found = await link.find(conn, token_hash)
    assert found is not None
    return found


async def test_a_link_is_found_by_its_token_s_hash_and_says_when_it_ends(conn):
    made = await _made(conn)

    assert (made.expires_at, made.opened_at, made.used_at) == (NOON + HOUR, None, None)
    assert await link.find(conn, b"guessed") is None


async def test_a_token_leads_to_one_link(conn):
    await _made(conn)

    with pytest.raises(errors.UniqueViolation):
        await _made(conn)


async def test_a_link_is_opened_for_the_first_time_once(conn):
    made = await _made(conn)

    first = await link.open_first(conn, made.id, now=NOON)
    again = await link.open_first(conn, made.id, now=NOON + SECOND)

    assert (first, again) == (True, False)


async def test_connecting_uses_up_the_opened_links_of_the_instance_and_no_others(conn):
    opened = await _made(conn, b"opened")
    await _made(conn, b"unopened", opened.instance_id)
    foreign = await _made(conn, b"foreign")
    await link.open_first(conn, opened.id, now=NOON)
    await link.open_first(conn, foreign.id, now=NOON)

    await link.use(conn, opened.instance_id, now=NOON + SECOND)

    found = [await link.find(conn, token) for token in (b"opened", b"unopened", b"foreign")]
    assert [one.used_at if one else "lost" for one in found] == [NOON + SECOND, None, None]


async def test_links_that_ended_a_month_ago_are_pruned(conn):
    await _made(conn)

    early = await link.prune(conn, now=NOON + HOUR + 30 * DAY)
    late = await link.prune(conn, now=NOON + HOUR + 30 * DAY + SECOND)

    assert (early, late) == (0, 1)


async def test_a_link_goes_with_its_instance(conn):
    made = await _made(conn)

    await conn.execute("delete from amarre.instances where id = %s", [made.instance_id])

    assert await link.find(conn, b"token") is None
