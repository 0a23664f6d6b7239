"""Migrations run once, in order, whole or not at all, however many processes start at once."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import tuple_row

from amarre.store.migrate import (
    Migration,
    MigrationBusyError,
    MigrationChangedError,
    MigrationFailedError,
    MissingRightError,
    NewerDatabaseError,
    migrate,
    missing_of,
    pending,
    read,
)
from tests.support import MINUTE, NOON


def write(folder: Path, **texts: str) -> Path:
    """Write migrations: a name that begins with r_ is a repeatable one."""
    for name, text in texts.items():
        kind = "repeatable" if name.startswith("r_") else "migrations"
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / f"{name[2:]}.sql").write_text(text)
    return folder


async def rows(url: str, query: str) -> list[tuple[object, ...]]:
    async with await AsyncConnection.connect(url, autocommit=True, row_factory=tuple_row) as conn:
        return await (await conn.execute(query.encode())).fetchall()


@asynccontextmanager
async def somebody(url: str, rights: str = ""):
    """A role without rights beyond those given, and its URL."""
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        name = f"somebody_{conn.info.backend_pid}"
        await conn.execute(f"create role {name} login password 'open' {rights}".encode())
        await conn.execute("revoke create on schema public from public")
        try:
            yield name, make_conninfo(url, user=name, password="open")
        finally:
            await conn.execute(f"drop owned by {name}; drop role {name}".encode())


async def test_files_run_in_order_and_once(empty_url, tmp_path):
    write(
        tmp_path,
        r_10_seen="create or replace view amarre.seen as select n from amarre.a",
        n_0002_more="insert into amarre.a values (2)",
        n_0001_first="create table amarre.a (n int); insert into amarre.a values (1)",
    )

    before = await pending(empty_url, folder=tmp_path)
    first = await migrate(empty_url, folder=tmp_path, now=NOON)
    second = await migrate(empty_url, folder=tmp_path, now=NOON + MINUTE)

    assert before == first == ["0001_first", "0002_more", "repeatable/10_seen"]
    assert (second, await pending(empty_url, folder=tmp_path)) == ([], [])
    assert await rows(empty_url, "select n from amarre.seen order by n") == [(1,), (2,)]
    assert await rows(empty_url, "select distinct applied_at from amarre.migrations") == [(NOON,)]


async def test_a_repeatable_file_runs_again_when_it_changes(empty_url, tmp_path):
    write(tmp_path, r_10_answer="create or replace function answer() returns int language sql as 'select 1'")
    await migrate(empty_url, folder=tmp_path, now=NOON)
    write(tmp_path, r_10_answer="create or replace function answer() returns int language sql as 'select 2'")

    applied = await migrate(empty_url, folder=tmp_path, now=NOON + MINUTE)

    assert applied == ["repeatable/10_answer"]
    assert await rows(empty_url, "select answer()") == [(2,)]
    assert await rows(empty_url, "select applied_at from amarre.migrations") == [(NOON + MINUTE,)]


async def test_repeating_restores_a_function_that_somebody_replaced(empty_url, tmp_path):
    write(tmp_path, r_10_answer="create or replace function answer() returns int language sql as 'select 1'")
    await migrate(empty_url, folder=tmp_path, now=NOON)
    await migrate_by_hand(
        empty_url, "create or replace function answer() returns int language sql as 'select 9'"
    )

    applied = await migrate(empty_url, folder=tmp_path, now=NOON, repeat=True)

    assert (applied, await rows(empty_url, "select answer()")) == (["repeatable/10_answer"], [(1,)])


async def migrate_by_hand(url: str, statement: str) -> None:
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(statement.encode())


async def test_a_failing_file_leaves_nothing_of_itself_and_all_before_it(empty_url, tmp_path):
    write(
        tmp_path,
        n_0001_good="create table amarre.good (n int)",
        n_0002_bad="create table amarre.half (n int);\nselect nonsense",
    )

    with pytest.raises(MigrationFailedError, match="0002_bad") as failed:
        await migrate(empty_url, folder=tmp_path, now=NOON)

    assert (failed.value.facts["name"], failed.value.facts["position"]) == ("0002_bad", 42)
    assert await rows(
        empty_url, "select to_regclass('amarre.half'), to_regclass('amarre.good') is not null"
    ) == [(None, True)]
    assert await pending(empty_url, folder=tmp_path) == ["0002_bad"]


async def test_processes_that_start_together_run_each_file_once(empty_url, tmp_path):
    write(
        tmp_path,
        n_0001_first="create table amarre.a (n int)",
        n_0002_more="select pg_sleep(0.05); insert into amarre.a values (2)",
        n_0003_index="-- no-transaction\ncreate index concurrently a_n on amarre.a (n)",
    )

    applied = await asyncio.gather(*(migrate(empty_url, folder=tmp_path, now=NOON) for _ in range(4)))

    assert sorted(chain.from_iterable(applied)) == ["0001_first", "0002_more", "0003_index"]
    assert await rows(empty_url, "select n from amarre.a") == [(2,)]
    assert await rows(
        empty_url, "select indisvalid from pg_index where indexrelid = 'amarre.a_n'::regclass"
    ) == [(True,)]


async def test_one_that_takes_too_long_is_not_waited_for_for_ever(empty_url, tmp_path):
    write(tmp_path, n_0001_first="create table amarre.a (n int)")
    lock = b"select pg_advisory_xact_lock(hashtextextended('amarre.migrations', 0))"
    async with await AsyncConnection.connect(empty_url) as holder:
        await holder.execute(lock)

        with pytest.raises(MigrationBusyError):
            await migrate(empty_url, folder=tmp_path, now=NOON, patience=timedelta(milliseconds=150))


async def test_a_numbered_file_may_not_change_after_it_was_run(empty_url, tmp_path):
    write(tmp_path, n_0001_first="select 1")
    await migrate(empty_url, folder=tmp_path, now=NOON)
    write(tmp_path, n_0001_first="select 2", n_0002_more="select 3")

    with pytest.raises(MigrationChangedError, match="0001_first"):
        await migrate(empty_url, folder=tmp_path, now=NOON)

    assert await rows(empty_url, "select name from amarre.migrations") == [("0001_first",)]


async def test_a_database_of_a_newer_version_is_refused(empty_url, tmp_path):
    write(tmp_path, n_0001_first="select 1", n_0002_newer="select 2")
    await migrate(empty_url, folder=tmp_path, now=NOON)
    (tmp_path / "migrations" / "0002_newer.sql").unlink()

    with pytest.raises(NewerDatabaseError, match="0002_newer"):
        await pending(empty_url, folder=tmp_path)


async def test_a_repeatable_file_may_be_given_up(empty_url, tmp_path):
    write(tmp_path, n_0001_first="select 1", r_10_old="select 2")
    await migrate(empty_url, folder=tmp_path, now=NOON)
    (tmp_path / "repeatable" / "10_old.sql").unlink()

    assert await migrate(empty_url, folder=tmp_path, now=NOON) == []


def test_line_endings_do_not_count(tmp_path):
    (tmp_path / "migrations").mkdir()
    path = tmp_path / "migrations" / "0001_first.sql"
    path.write_bytes(b"select 1;\nselect 2;\n")
    unix = read(tmp_path)
    path.write_bytes(b"select 1;\r\nselect 2;\r\n")

    assert read(tmp_path) == unix


async def test_a_missing_right_to_create_names_the_grant(empty_url, tmp_path):
    write(tmp_path, n_0001_first="create table amarre.a (n int)")
    async with somebody(empty_url) as (name, url):
        with pytest.raises(MissingRightError) as refused:
            await migrate(url, folder=tmp_path, now=NOON)

    database = conninfo_to_dict(empty_url)["dbname"]
    assert "CREATE on the database" in str(refused.value.facts["right"])
    assert f"grant create on database {database} to {name};" in str(refused.value.facts["grant"])


async def test_the_named_grants_are_enough(empty_url, tmp_path):
    write(
        tmp_path,
        n_0001_first="create table amarre.a (n int); create view public.a as select n from amarre.a",
    )
    async with somebody(empty_url) as (_, url):
        with pytest.raises(MissingRightError) as refused:
            await migrate(url, folder=tmp_path, now=NOON)
        await migrate_by_hand(empty_url, str(refused.value.facts["grant"]))

        assert await migrate(url, folder=tmp_path, now=NOON) == ["0001_first"]


async def test_an_installed_schema_asks_for_no_right_to_create_one(empty_url, tmp_path):
    write(tmp_path, n_0001_first="select 1")
    await migrate(empty_url, folder=tmp_path, now=NOON)
    async with somebody(empty_url) as (name, url):
        await migrate_by_hand(
            empty_url,
            f"grant create, usage on schema amarre to {name}; grant all on amarre.migrations to {name}",
        )
        write(tmp_path, n_0002_more="select 2")

        assert await migrate(url, folder=tmp_path, now=NOON) == ["0002_more"]


@pytest.mark.parametrize("server", ["18"], indirect=True)
async def test_our_own_migrations_run_on_a_fresh_database_and_again(empty_url):
    first = await migrate(empty_url, now=NOON)
    again = await migrate(empty_url, now=NOON, repeat=True)

    assert first == [one.name for one in read()]
    assert again == [one.name for one in read() if one.repeatable]


texts = st.dictionaries(st.from_regex(r"000[0-9]", fullmatch=True), st.text(max_size=3), max_size=6)


@given(texts)
def test_what_is_missing_is_missing_until_it_is_recorded(files):
    wanted = [Migration(name, sql, repeatable=False) for name, sql in sorted(files.items())]

    assert missing_of(wanted, {}) == wanted
    for done in range(len(wanted) + 1):
        recorded = {one.name: one.checksum for one in wanted[:done]}
        assert missing_of(wanted, recorded) == wanted[done:]
