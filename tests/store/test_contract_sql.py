"""People read and write these views by SQL, and what they write happens."""

from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from amarre.store import request
from amarre.store.conn import Conn
from amarre.store.migrate import migrate
from tests.store.given import (
    connected,
    given_a_profile,
    given_a_request,
    given_an_instance,
    rows,
    value,
    write,
)
from tests.support import DAY, HOUR, MINUTE, NOON, SECOND

LEASE = 30 * SECOND


@pytest.fixture
async def conn(database_url: str) -> AsyncGenerator[Conn]:
    """A person's connection: names without a schema mean `public`."""
    async with connected(database_url, options="-c search_path=public") as opened:
        yield opened


QUEUE_OF = """
    select status, retry_count, max_retries, kind
      from evolution_instance_creation_queue where user_id = %(user)s
"""


async def _sign_up_by_sql(conn: Conn) -> UUID:
    return await value(conn, "insert into profiles (email) values ('lea@example.com') returning id")


async def test_a_profile_inserted_by_sql_leads_to_one_pending_row_of_the_queue(conn):
    user = await _sign_up_by_sql(conn)

    found = await rows(conn, QUEUE_OF, user=user)

    assert found == [{"status": "pending", "retry_count": 0, "max_retries": 3, "kind": "evolution"}]


async def test_a_profile_keeps_the_id_that_its_sign_up_gave_it(conn):
    user = uuid4()

    await conn.execute("insert into profiles (id, email) values (%s, 'lea@example.com')", [user])

    assert len(await rows(conn, QUEUE_OF, user=user)) == 1


async def test_the_same_profile_again_on_conflict_changes_nothing_or_what_it_says(conn):
    user = await _sign_up_by_sql(conn)

    await conn.execute("insert into profiles (id) values (%s) on conflict do nothing", [user])
    await conn.execute(
        """insert into profiles (id, full_name) values (%s, 'Léa')
           on conflict (id) do update set full_name = excluded.full_name""",
        [user],
    )

    assert await value(conn, "select full_name from profiles where id = %(user)s", user=user) == "Léa"
    assert len(await rows(conn, QUEUE_OF, user=user)) == 1


async def test_a_profile_whose_insert_is_rolled_back_asks_for_nothing(conn):
    async with conn.transaction(force_rollback=True):
        await _sign_up_by_sql(conn)

    assert await value(conn, "select count(*) from evolution_instance_creation_queue") == 0


async def test_the_trigger_of_the_documents_is_found_under_its_name(conn):
    found = await rows(
        conn,
        """select tgrelid::regclass::text as of, tgenabled::text as enabled from pg_trigger
            where tgname = 'on_profile_created_create_evolution_instance'""",
    )

    assert found == [{"of": "amarre.profiles", "enabled": "O"}]


async def test_the_queue_is_listed_and_counted_by_status(conn):
    await given_a_request(conn)
    await given_a_request(conn, status="failed", retry_count=3)
    await given_a_request(conn, status="failed", retry_count=1)

    by_status = await rows(
        conn,
        """select status, count(*) as n, avg(retry_count) as tries
             from evolution_instance_creation_queue group by status order by status""",
    )
    failed = await rows(
        conn,
        """select * from evolution_instance_creation_queue
            where status = 'failed' order by created_at desc limit 10""",
    )

    assert [(row["status"], row["n"], int(row["tries"])) for row in by_status] == [
        ("failed", 2, 2),
        ("pending", 1, 0),
    ]
    assert [row["retry_count"] for row in failed] == [1, 3]


async def test_waiting_rows_are_found_by_their_age(conn):
    await given_a_request(conn, created_at=NOON - 2 * HOUR)
    await given_a_request(conn, created_at=NOON - 5 * MINUTE)

    old = await value(
        conn,
        """select count(*) from evolution_instance_creation_queue
            where status = 'pending' and created_at < %(now)s - interval '1 hour'""",
        now=NOON,
    )

    assert old == 1


RETRY = """
    update evolution_instance_creation_queue
       set status = 'pending', retry_count = 0, error_message = null, updated_at = now()
     where user_id = %(user)s
"""


async def test_a_failed_row_set_to_pending_is_due_at_once(conn):
    row = await given_a_request(
        conn, status="failed", retry_count=3, failures=7, error_message="refused", due_at=NOON + DAY
    )
    user = await value(conn, "select user_id from amarre.provisioning_requests where id = %(row)s", row=row)

    await conn.execute(RETRY, {"user": user})

    now = await value(conn, "select now()")
    (claimed,) = await request.claim_due(conn, worker=1, lease=LEASE, limit=9, now=now)
    assert (claimed.id, claimed.retry_count, claimed.failures) == (row, 0, 0)


async def test_a_row_set_to_pending_wakes_the_workers(conn, database_url):
    row = await given_a_request(conn, status="failed")
    user = await value(conn, "select user_id from amarre.provisioning_requests where id = %(row)s", row=row)

    async with connected(database_url) as listener:
        await listener.execute("listen amarre_work")
        await conn.execute(RETRY, {"user": user})
        heard = [notice.payload async for notice in listener.notifies(timeout=5, stop_after=1)]

    assert heard == ["provision"]


async def test_a_row_inserted_into_the_queue_is_due_at_once_and_wakes_the_workers(conn, database_url):
    user = await given_a_profile(conn)
    await conn.execute("delete from evolution_instance_creation_queue")

    async with connected(database_url) as listener:
        await listener.execute("listen amarre_work")
        await conn.execute("insert into evolution_instance_creation_queue (user_id) values (%s)", [user])
        heard = [notice.payload async for notice in listener.notifies(timeout=5, stop_after=1)]

    now = await value(conn, "select now()")
    claimed = await request.claim_due(conn, worker=1, lease=LEASE, limit=9, now=now)
    assert ([one.user_id for one in claimed], heard) == ([user], ["provision"])


async def test_a_second_open_row_of_a_user_is_refused_unless_told_to_do_nothing(conn):
    user = await given_a_profile(conn)

    await conn.execute(
        "insert into evolution_instance_creation_queue (user_id) values (%s) on conflict do nothing", [user]
    )
    with pytest.raises(errors.UniqueViolation):
        await conn.execute("insert into evolution_instance_creation_queue (user_id) values (%s)", [user])

    assert len(await rows(conn, QUEUE_OF, user=user)) == 1


async def test_a_row_for_nobody_is_refused(conn):
    with pytest.raises(errors.ForeignKeyViolation):
        await conn.execute("insert into evolution_instance_creation_queue (user_id) values (%s)", [uuid4()])


async def test_the_clean_up_deletes_completed_rows_older_than_thirty_days_and_no_others(conn):
    now = await value(conn, "select now()")
    await given_a_request(conn, status="completed", processed_at=now - 31 * DAY)
    recent = await given_a_request(conn, status="completed", processed_at=now - 29 * DAY)
    failed = await given_a_request(conn, status="failed", processed_at=now - 31 * DAY)

    deleted = await conn.execute(
        """delete from evolution_instance_creation_queue
            where status = 'completed' and processed_at < now() - interval '30 days'"""
    )

    left = await rows(conn, "select id from evolution_instance_creation_queue")
    assert (deleted.rowcount, {row["id"] for row in left}) == (1, {recent, failed})


async def test_completed_by_hand_says_when(conn):
    row = await given_a_request(conn)

    await conn.execute(
        "update evolution_instance_creation_queue set status = 'completed' where id = %s", [row]
    )

    (found,) = await rows(conn, "select processed_at, status from evolution_instance_creation_queue")
    assert found["status"] == "completed"
    assert found["processed_at"] is not None


async def test_an_unknown_status_is_refused(conn):
    row = await given_a_request(conn)

    with pytest.raises(errors.CheckViolation):
        await conn.execute(
            "update evolution_instance_creation_queue set status = 'done' where id = %s", [row]
        )


async def test_a_setting_is_written_again_on_conflict(conn):
    upsert = """
        insert into system_config (key, value) values ('pace', %(new)s::jsonb)
            on conflict (key) do update set value = excluded.value
    """

    await conn.execute(upsert, {"new": "1"})
    await conn.execute(upsert, {"new": "2"})

    assert await value(conn, "select value from system_config") == 2


async def test_deleting_a_profile_sends_its_instance_away_and_its_queue_rows_too(conn):
    user = await given_a_profile(conn, full_name="Léa")
    found = await given_an_instance(conn, user=user)

    await conn.execute("delete from profiles where id = %s", [user])

    (left,) = await rows(conn, "select id, wanted, user_id, label from amarre.instances")
    assert left == {"id": found.id, "wanted": "absent", "user_id": None, "label": "Léa"}
    assert await value(conn, "select count(*) from evolution_instance_creation_queue") == 0


# ---------------------------------------------------------------- the service role


async def test_the_service_role_does_all_of_it(conn):
    await conn.execute("set role service_role")

    user = await _sign_up_by_sql(conn)
    pending = await rows(conn, QUEUE_OF, user=user)
    retried = await conn.execute(RETRY, {"user": user})
    await conn.execute("insert into system_config (key, value) values ('pace', '1')")
    await conn.execute(
        "insert into evolution_instances (user_id, instance_name) values (%s, 'by-hand')", [user]
    )
    changed = await conn.execute("update evolution_instances set instance_status = 'disconnected'")
    health = await rows(conn, "select instance_name from v_webhook_health")
    await conn.execute("delete from evolution_instance_creation_queue")
    left = await conn.execute("delete from profiles where id = %s", [user])

    assert (len(pending), retried.rowcount, changed.rowcount, len(health), left.rowcount) == (1, 1, 1, 1, 1)


async def test_a_service_role_that_may_switch_off_row_security_sees_the_same(conn):
    user = await given_a_profile(conn)
    await write(conn, "profiles", user, {"full_name": "Léa"})

    await conn.execute("set role service_role")

    assert await value(conn, "select full_name from profiles") == "Léa"


async def test_a_login_called_like_our_schema_means_the_views_too(empty_url):
    async with connected(empty_url) as conn:
        if not await rows(conn, "select from pg_roles where rolname = 'amarre'"):
            await conn.execute("create role amarre login superuser")
    url = make_conninfo(empty_url, user="amarre")
    await migrate(url, now=NOON)

    async with connected(url) as conn:
        meant = await value(conn, "select 'profiles'::regclass = 'public.profiles'::regclass")

    assert meant
