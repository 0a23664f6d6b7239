"""What a pooler in transaction mode breaks silently is found out at start, and done without."""

from collections.abc import Generator

import psycopg
import pytest

from amarre.store.database import Database
from amarre.store.migrate import migrate
from amarre.store.pooler import examine
from tests.support import NOON, PGBOUNCER, SECOND, pgbouncer

pytestmark = [
    pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed"),
    pytest.mark.parametrize("server", ["18"], indirect=True),
]


@pytest.fixture
def pooled_url(empty_url: str) -> Generator[str]:
    with pgbouncer(empty_url, "transaction") as url:
        yield url


async def test_a_direct_connection_carries_everything(empty_url):
    found = await examine(empty_url)

    assert (found.listen, found.session_locks) == (True, True)
    assert found.server_version >= 150_000


async def test_a_pooler_in_session_mode_carries_everything(empty_url):
    with pgbouncer(empty_url, "session") as url:
        found = await examine(url)

    assert (found.listen, found.session_locks) == (True, True)


async def test_a_pooler_in_transaction_mode_is_found_out(pooled_url):
    found = await examine(pooled_url, within=SECOND / 5)

    assert (found.listen, found.session_locks) == (False, False)


async def test_behind_a_pooler_statements_are_not_prepared_and_limits_hold(pooled_url):
    db = await Database.open(pooled_url, application_name="t", statement_timeout=SECOND / 10)

    async def sleep() -> None:
        async with db.transaction() as conn:
            await conn.execute("select pg_sleep(10)")

    try:
        # More often than the driver waits before it prepares, on connections that are dealt out anew.
        for _ in range(10):
            async with db.transaction() as conn, db.transaction() as other:
                await other.execute("select %s::int", [1])
                await conn.execute("select %s::int", [1])
        with pytest.raises(psycopg.errors.QueryCanceled):
            await sleep()
        assert not db.session.session_locks
    finally:
        await db.close()


async def test_migrations_run_through_a_pooler(pooled_url, tmp_path):
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_a.sql").write_text("create table amarre.a (n int)")
    (tmp_path / "migrations" / "0002_i.sql").write_text(
        "-- no-transaction\ncreate index concurrently a_n on amarre.a (n)"
    )

    applied = await migrate(pooled_url, folder=tmp_path, now=NOON)

    assert applied == ["0001_a", "0002_i"]
