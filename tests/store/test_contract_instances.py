"""Instances and their webhooks as people read them by SQL: nothing dead, secret or foreign."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from uuid import UUID

import pytest
from psycopg import errors

from amarre.store import instance
from amarre.store.conn import Conn
from amarre.store.instance import NO_CODE
from tests.store.given import (
    connected,
    given_a_profile,
    given_a_request,
    given_an_instance,
    rows,
    value,
)
from tests.support import DAY, MINUTE, NOON, SECOND


@pytest.fixture
async def conn(database_url: str) -> AsyncGenerator[Conn]:
    """A person's connection: names without a schema mean `public`."""
    async with connected(database_url, options="-c search_path=public") as opened:
        yield opened


async def _with_a_code(conn: Conn, *, life: timedelta) -> UUID:
    now = await value(conn, "select now()")
    found = await given_an_instance(conn)
    code = {"code": "2@abc", "qr_code": "data:image/png;base64,AA==", "pairing_code": "ABCD1234"}
    times = {"code_at": now, "last_qr_update": now, "code_expires_at": now + life}
    await instance.record(conn, found.id, {"state": "connecting", **code, **times}, now=now)
    return found.id


async def test_codes_are_listed_with_their_age(conn):
    await _with_a_code(conn, life=MINUTE)

    (found,) = await rows(
        conn,
        """select instance_name, last_qr_update, now() - last_qr_update as age, qr_code
             from evolution_instances where instance_status = 'connecting'
            order by last_qr_update desc""",
    )

    assert found["age"] < MINUTE
    assert found["qr_code"].startswith("data:image/png;base64,")


async def test_instances_without_a_recent_code_are_found(conn):
    now = await value(conn, "select now()")
    never = await given_an_instance(conn, state="connecting")
    old = await given_an_instance(conn, state="connecting", last_qr_update=now - 6 * MINUTE)
    await given_an_instance(conn, state="connecting", last_qr_update=now - 4 * MINUTE)
    await given_an_instance(conn, state="connected", last_qr_update=now - DAY)

    found = await rows(
        conn,
        """select * from evolution_instances
            where instance_status = 'connecting'
              and (last_qr_update is null or last_qr_update < now() - interval '5 minutes')""",
    )

    assert {row["id"] for row in found} == {never.id, old.id}


async def test_a_code_that_was_taken_away_is_null(conn):
    shown = await _with_a_code(conn, life=MINUTE)

    await instance.record(conn, shown, NO_CODE, now=NOON)

    assert await rows(conn, "select qr_code, pairing_code from evolution_instances") == [
        {"qr_code": None, "pairing_code": None}
    ]


async def test_a_code_that_died_while_no_worker_was_up_is_null(conn):
    await _with_a_code(conn, life=-SECOND)

    assert await rows(conn, "select qr_code, pairing_code from evolution_instances") == [
        {"qr_code": None, "pairing_code": None}
    ]


async def test_no_view_shows_a_token_or_a_secret(conn):
    shown = await rows(
        conn,
        """select column_name as name from information_schema.columns
            where table_schema = 'public' and column_name ~ '(token|secret|hash|password)'""",
    )

    assert shown == []


@pytest.mark.parametrize("view", ["evolution_instances", "evolution_instance_creation_queue"])
async def test_kind_is_the_last_column_and_has_a_default(conn, view):
    (last,) = await rows(
        conn,
        """select column_name as name, column_default as otherwise from information_schema.columns
            where table_schema = 'public' and table_name = %(view)s
            order by ordinal_position desc limit 1""",
        view=view,
    )

    assert last["name"] == "kind"
    assert "evolution" in last["otherwise"]


async def test_a_row_of_another_gateway_s_kind_does_not_appear(conn):
    other = await given_an_instance(conn, kind="green")
    await given_a_request(conn, kind="green")

    assert await value(conn, "select count(*) from evolution_instances") == 0
    assert await value(conn, "select count(*) from v_webhook_health") == 0
    assert await value(conn, "select count(*) from evolution_instance_creation_queue") == 0
    assert (await conn.execute("delete from evolution_instances where id = %s", [other.id])).rowcount == 0


async def test_a_row_of_another_gateway_s_kind_does_not_get_in(conn):
    user = await given_a_profile(conn)

    with pytest.raises(errors.WithCheckOptionViolation):
        await conn.execute(
            "insert into evolution_instances (user_id, instance_name, kind) values (%s, 'x', 'green')", [user]
        )
    with pytest.raises(errors.WithCheckOptionViolation):
        await conn.execute("update evolution_instance_creation_queue set kind = 'green'")


async def test_an_instance_inserted_by_sql_is_one_of_evolution(conn):
    user = await given_a_profile(conn)

    await conn.execute(
        """insert into evolution_instances (user_id, instance_name, instance_status)
           values (%s, 'by-hand', 'disconnected')""",
        [user],
    )
    await conn.execute(
        "update evolution_instances set instance_status = 'error' where instance_name = 'by-hand'"
    )

    found = await rows(conn, "select state, kind from amarre.instances")
    assert found == [{"state": "error", "kind": "evolution"}]


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({}, "missing"),
        ({"webhook_configured_at": NOON}, "unverified"),
        ({"webhook_configured_at": NOON, "reason": "webhook_missing"}, "missing"),
        ({"webhook_configured_at": NOON, "webhook_checked_at": timedelta(hours=3)}, "unverified"),
        ({"webhook_configured_at": NOON, "webhook_checked_at": timedelta(minutes=3)}, "ok"),
    ],
)
async def test_the_health_of_webhooks_is_read_in_one_word(conn, columns, word):
    now = await value(conn, "select now()")
    ago = {name: now - at if isinstance(at, timedelta) else at for name, at in columns.items()}
    await given_an_instance(conn, **ago)

    found = await value(conn, "select webhook_status from v_webhook_health")

    assert found == word
