"""A database that has customers of its own: theirs stays theirs, and their sign-ups reach us."""

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from amarre.store import adopt, checkup, request
from amarre.store.conn import Conn
from amarre.store.migrate import migrate, pending
from tests.store.given import connected, rows, value
from tests.support import NOON

THEIRS = """
    create table public.profiles (
        id         uuid primary key,
        username   text,
        created_at timestamptz not null default now()
    );
    alter table public.profiles enable row level security;
    create policy all_of_them on public.profiles using (true) with check (true);
    insert into public.profiles (id, username)
    select md5('theirs' || n)::uuid, 'user ' || n from generate_series(1, 3) n;
"""
BREAKS = {
    "no table of requests": "drop table amarre.provisioning_requests cascade",
    "no table of profiles": "drop table amarre.profiles cascade",
    "a function that fails": """
        create or replace function amarre.request_instance(p_user uuid, p_kind text default 'evolution')
        returns uuid language plpgsql as $$ begin raise exception 'broken'; end $$""",
}
SIGN_UP = "insert into public.profiles (id, username) values (gen_random_uuid(), 'léa') returning id"


@pytest.fixture
async def theirs(empty_url: str) -> AsyncGenerator[Conn]:
    """Their database, migrated and not yet adopted."""
    async with connected(empty_url) as conn:
        await conn.execute(THEIRS.encode())
        await migrate(empty_url, now=NOON)
        yield conn


@pytest.fixture
async def adopted(theirs: Conn) -> Conn:
    async with theirs.transaction():
        await adopt.adopt(theirs)
    return theirs


async def _queue_of(conn: Conn, user: UUID) -> list[str]:
    found = await rows(
        conn,
        "select status from public.evolution_instance_creation_queue where user_id = %(user)s",
        user=user,
    )
    return [row["status"] for row in found]


async def test_migrating_leaves_their_table_as_it_was(theirs):
    kind = await value(theirs, "select relkind::text from pg_class where oid = 'public.profiles'::regclass")
    columns = await rows(
        theirs,
        """select attname as name from pg_attribute
            where attrelid = 'public.profiles'::regclass and attnum > 0""",
    )
    triggers = await value(
        theirs, "select count(*) from pg_trigger where tgrelid = 'public.profiles'::regclass"
    )
    grants = await value(theirs, "select relacl::text from pg_class where oid = 'public.profiles'::regclass")

    assert (kind, [row["name"] for row in columns]) == ("r", ["id", "username", "created_at"])
    assert (triggers, grants) == (0, None)
    assert await value(theirs, "select count(*) from public.profiles") == 3


async def test_the_rest_is_installed_beside_it(theirs):
    assert await value(theirs, "select count(*) from public.evolution_instances") == 0
    assert await value(theirs, "select count(*) from public.evolution_instance_creation_queue") == 0


async def test_what_is_in_the_way_is_named(theirs):
    found = await adopt.look(theirs)

    assert found == adopt.Theirs(("profiles",), profiles=True, adopted=False, fits=True)


async def test_a_database_of_our_own_has_nothing_in_the_way(conn):
    found = await adopt.look(conn)

    assert found == adopt.Theirs((), profiles=False, adopted=False, fits=True)


async def test_a_table_without_a_uuid_does_not_fit(empty_url):
    async with connected(empty_url) as conn:
        await conn.execute("create table public.profiles (id bigint primary key)")
        await migrate(empty_url, now=NOON)

        found = await adopt.look(conn)

    assert (found.profiles, found.fits) == (True, False)


async def test_a_view_of_theirs_is_left_alone_and_named(empty_url):
    async with connected(empty_url) as conn:
        await conn.execute("create view public.v_webhook_health as select 1 as theirs")
        await migrate(empty_url, now=NOON)

        found = await adopt.look(conn)

        assert (found.obstacles, found.profiles) == (("v_webhook_health",), False)
        assert await value(conn, "select theirs from public.v_webhook_health") == 1


async def test_adopting_takes_over_who_is_there(theirs):
    async with theirs.transaction():
        taken = await adopt.adopt(theirs)

    assert taken == 3
    names = await rows(theirs, "select full_name from amarre.profiles order by full_name")
    assert [row["full_name"] for row in names] == ["user 1", "user 2", "user 3"]
    assert (await adopt.look(theirs)).adopted
    assert await value(theirs, "select count(*) from public.evolution_instance_creation_queue") == 3


async def test_a_sign_up_in_their_table_gives_a_row_of_the_queue(adopted):
    user = await value(adopted, SIGN_UP)

    assert await _queue_of(adopted, user) == ["pending"]


async def test_a_sign_up_by_a_role_of_theirs_that_knows_nothing_of_us_does_too(adopted):
    await adopted.execute("grant insert, select on public.profiles to anon")
    await adopted.execute("set role anon")

    user = await value(adopted, SIGN_UP)

    await adopted.execute("reset role")
    assert await _queue_of(adopted, user) == ["pending"]


@pytest.mark.parametrize("broken", BREAKS)
async def test_a_sign_up_of_theirs_never_fails_because_of_us(adopted, broken):
    await adopted.execute(BREAKS[broken].encode())

    user = await value(adopted, SIGN_UP)

    told = await rows(adopted, "select facts from amarre.events where kind = 'sign_up_not_taken'")
    assert await value(adopted, "select count(*) from public.profiles where id = %(user)s", user=user) == 1
    assert [row["facts"]["id"] for row in told] == [str(user)]


async def test_a_sign_up_of_theirs_does_not_even_need_our_schema(adopted):
    heard: list[str] = []
    adopted.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
    await adopted.execute("alter schema amarre rename to gone")

    user = await value(adopted, SIGN_UP)

    assert await value(adopted, "select count(*) from public.profiles where id = %(user)s", user=user) == 1
    assert len(heard) == 1
    assert heard[0].startswith("amarre: a sign-up was not recorded")


async def test_a_sign_up_that_failed_here_is_found_by_the_sweep(adopted):
    await adopted.execute("alter table amarre.profiles rename to away")
    user = await value(adopted, SIGN_UP)
    await adopted.execute("alter table amarre.away rename to profiles")

    swept = await request.sweep(adopted, now=NOON)

    assert (swept, await _queue_of(adopted, user)) == (1, ["pending"])
    assert await request.sweep(adopted, now=NOON) == 0


async def test_who_leaves_there_leaves_here(adopted):
    user = await value(adopted, SIGN_UP)

    await adopted.execute("delete from public.profiles where id = %s", [user])

    assert await value(adopted, "select count(*) from amarre.profiles where id = %(user)s", user=user) == 0
    assert await _queue_of(adopted, user) == []


async def test_a_departure_of_theirs_never_fails_because_of_us(adopted):
    heard: list[str] = []
    adopted.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
    user = await value(adopted, SIGN_UP)
    await adopted.execute("alter schema amarre rename to gone")

    gone = await adopted.execute("delete from public.profiles where id = %s", [user])

    assert (gone.rowcount, len(heard)) == (1, 1)


async def test_two_customers_of_theirs_with_one_address_are_both_taken(empty_url):
    async with connected(empty_url) as conn:
        await conn.execute("create table public.profiles (id uuid primary key, email text)")
        await conn.execute(
            """insert into public.profiles
               select gen_random_uuid(), 'lea@example.com' from generate_series(1, 2)"""
        )
        await migrate(empty_url, now=NOON)

        await adopt.adopt(conn)

        found = await rows(conn, "select email from amarre.profiles order by email")
        assert [row["email"] for row in found] == ["lea@example.com", None]


async def test_migrating_again_changes_nothing(adopted, empty_url):
    assert await pending(empty_url) == []

    assert await migrate(empty_url, now=NOON) == []
    again = await migrate(empty_url, now=NOON, repeat=True)

    assert len(again) == 3
    assert await adopt.look(adopted) == adopt.Theirs(("profiles",), profiles=True, adopted=True, fits=True)
    assert await value(adopted, "select count(*) from public.profiles") == 3


async def test_a_view_that_people_built_on_ours_survives_the_next_version(conn, database_url):
    await conn.execute("create view public.offline as select instance_name from public.evolution_instances")

    await migrate(database_url, now=NOON, repeat=True)

    assert await rows(conn, "select instance_name from public.offline") == []


RIVAL = """
    create table public.evolution_instance_creation_queue (user_id uuid, status text default 'pending');
    create function public.handle_profile_evolution_instance() returns trigger language plpgsql as $$
    begin
        insert into public.evolution_instance_creation_queue (user_id) values (new.id);
        return new;
    end $$;
    create trigger on_profile_created_create_evolution_instance after insert on public.profiles
        for each row execute function public.handle_profile_evolution_instance();
"""


async def test_a_system_of_the_same_names_that_runs_already_goes_on_untouched(empty_url: str):
    async with connected(empty_url) as conn:
        await conn.execute(THEIRS.encode())
        await conn.execute(RIVAL.encode())
        before = await value(
            conn, "select prosrc from pg_proc where proname = 'handle_profile_evolution_instance'"
        )

        await migrate(empty_url, now=NOON)
        swept = await request.sweep(conn, now=NOON)
        signed_up = await value(conn, SIGN_UP)
        after = await value(
            conn, "select prosrc from pg_proc where proname = 'handle_profile_evolution_instance'"
        )
        queued = await value(conn, "select count(*) from public.evolution_instance_creation_queue")
        ours = await value(conn, "select count(*) from amarre.profiles")
        theirs = await adopt.look(conn)

    assert signed_up is not None
    assert after == before
    assert (queued, swept, ours) == (1, 0, 0)
    assert (theirs.adopted, theirs.rival) == (False, True)


async def test_a_body_of_ours_that_was_replaced_is_found_and_restored(empty_url: str):
    async with connected(empty_url) as conn:
        await migrate(empty_url, now=NOON)
        untouched = await checkup.replaced_functions(conn)
        await conn.execute(
            """
            create or replace function public.handle_profile_evolution_instance() returns trigger
            language plpgsql security definer set search_path = pg_catalog, pg_temp
            as $$ begin return new; end $$
            """
        )
        replaced = await checkup.replaced_functions(conn)

        await migrate(empty_url, now=NOON, repeat=True)
        restored = await checkup.replaced_functions(conn)

    assert (untouched, restored) == ([], [])
    assert len(replaced) == 1
    assert "handle_profile_evolution_instance" in replaced[0]
