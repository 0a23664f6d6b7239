"""Who may see and do what, in the database itself: a missing check elsewhere gives nothing away."""

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest
from psycopg import errors, sql

from amarre.store.conn import Conn
from amarre.store.migrate import migrate, read
from tests.store.given import (
    claims_of,
    connected,
    given_a_profile,
    given_an_instance,
    rows,
    value,
)
from tests.support import NOON

OWN = ("profiles", "evolution_instances", "evolution_instance_creation_queue", "v_webhook_health")
VIEWS = (*OWN, "system_config")
CLOSED = (
    "installation", "instance_secrets", "users", "sessions", "api_keys", "deliveries", "events",
    "gateways", "workers", "seen_codes", "pairing_links", "login_failures", "system_config", "migrations",
)  # fmt: skip


@pytest.fixture
async def conn(database_url: str) -> AsyncGenerator[Conn]:
    async with connected(database_url, options="-c search_path=public") as opened:
        yield opened


async def _act_as(conn: Conn, role: str, user: UUID | None = None) -> None:
    """Speak as PostgREST does for a caller."""
    await conn.execute(
        "select set_config('request.jwt.claims', %s, false)", [claims_of(user) if user else ""]
    )
    await conn.execute(sql.SQL("set role {}").format(sql.Identifier(role)))


async def _count(conn: Conn, name: str, schema: str = "public") -> int:
    counted = sql.SQL("select count(*) as n from {}").format(sql.Identifier(schema, name))
    row = await (await conn.execute(counted)).fetchone()
    assert row is not None
    return row["n"]


async def _two_customers(conn: Conn) -> tuple[UUID, UUID]:
    dan, eve = await given_a_profile(conn), await given_a_profile(conn)
    for user in (dan, eve):
        await given_an_instance(conn, user=user)
    return dan, eve


@pytest.mark.parametrize("view", VIEWS)
async def test_anon_sees_nothing(conn, view):
    await _two_customers(conn)

    await _act_as(conn, "anon")

    with pytest.raises(errors.InsufficientPrivilege):
        await _count(conn, view)


async def test_anon_does_not_even_reach_our_schema(conn):
    await _act_as(conn, "anon")

    with pytest.raises(errors.InsufficientPrivilege, match="schema amarre"):
        await _count(conn, "profiles", "amarre")


@pytest.mark.parametrize("view", OWN)
async def test_a_user_sees_his_own_row_and_no_other(conn, view):
    dan, _ = await _two_customers(conn)

    await _act_as(conn, "authenticated", dan)

    assert await _count(conn, view) == 1
    if view != "profiles":
        found = await (
            await conn.execute(sql.SQL("select user_id from {}").format(sql.Identifier(view)))
        ).fetchall()
        assert found == [{"user_id": dan}]


@pytest.mark.parametrize("view", OWN)
async def test_a_user_without_claims_sees_no_row_and_no_error(conn, view):
    await _two_customers(conn)

    await _act_as(conn, "authenticated")

    assert await _count(conn, view) == 0


@pytest.mark.parametrize("claims", ["{}", '{"sub": null}', '{"sub": ""}'])
async def test_claims_that_name_nobody_show_nothing(conn, claims):
    await _two_customers(conn)

    await conn.execute("select set_config('request.jwt.claims', %s, false)", [claims])
    await conn.execute("set role authenticated")

    assert await _count(conn, "evolution_instances") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "insert into profiles (email) values ('x@example.com')",
        "update profiles set full_name = 'x'",
        "delete from profiles",
        "insert into evolution_instance_creation_queue (user_id) select id from profiles",
        "update evolution_instance_creation_queue set status = 'pending'",
        "delete from evolution_instance_creation_queue",
        "insert into evolution_instances (instance_name) values ('x')",
        "update evolution_instances set instance_status = 'error'",
        "delete from evolution_instances",
        "update v_webhook_health set instance_status = 'error'",
        "delete from v_webhook_health",
        "select * from system_config",
        "select amarre.request_instance(gen_random_uuid())",
        "select handle_profile_evolution_instance()",
        "update amarre.instances set state = 'error'",
        "delete from amarre.profiles",
        "create table amarre.mine ()",
    ],
)
async def test_a_user_changes_nothing(conn, statement):
    dan, _ = await _two_customers(conn)

    await _act_as(conn, "authenticated", dan)

    with pytest.raises(errors.InsufficientPrivilege):
        await conn.execute(statement)


@pytest.mark.parametrize("table", CLOSED)
async def test_a_user_reads_none_of_our_own_tables(conn, table):
    await _act_as(conn, "authenticated")

    with pytest.raises(errors.InsufficientPrivilege):
        await _count(conn, table, "amarre")


@pytest.mark.parametrize("table", sorted({*CLOSED} - {"system_config"}))
async def test_the_service_role_reads_no_secret_either(conn, table):
    await _act_as(conn, "service_role")

    with pytest.raises(errors.InsufficientPrivilege):
        await _count(conn, table, "amarre")


async def test_the_service_role_sees_the_rows_of_all(conn):
    await _two_customers(conn)

    await _act_as(conn, "service_role")

    assert [await _count(conn, view) for view in OWN] == [2, 2, 2, 2]


async def test_every_table_of_ours_has_row_security(conn):
    # The list of migrations has no grant at all; row security would add nothing.
    without = await rows(
        conn,
        """select relname as name from pg_class
            where relnamespace = 'amarre'::regnamespace and relkind in ('r', 'p') and not relrowsecurity""",
    )

    assert without == [{"name": "migrations"}]


async def test_every_view_asks_for_the_rights_of_its_reader(conn):
    without = await rows(
        conn,
        """select relname as name from pg_class
            where relnamespace = 'public'::regnamespace and relkind = 'v'
              and not coalesce(reloptions, '{}') @> '{security_invoker=true}'""",
    )

    assert without == []


async def test_every_function_fixes_its_search_path(conn):
    without = await rows(
        conn,
        """select oid::regprocedure::text as name from pg_proc
            where pronamespace in ('public'::regnamespace, 'amarre'::regnamespace)
              and not exists (select from unnest(proconfig) as one where one like 'search_path=%%')""",
    )

    assert without == []


async def test_three_functions_act_as_their_owner_and_nobody_may_call_them(conn):
    definers = await rows(
        conn,
        """select proname as name, prorettype = 'trigger'::regtype as by_trigger
             from pg_proc
            where pronamespace in ('public'::regnamespace, 'amarre'::regnamespace) and prosecdef
            order by proname""",
    )

    assert definers == [
        {"name": "handle_profile_evolution_instance", "by_trigger": True},
        {"name": "handle_profile_gone", "by_trigger": True},
        {"name": "on_profile_created", "by_trigger": True},
    ]


GRANTS = """
    with granted as (
        select n.nspname || '.' || c.relname as object, c.relowner as owner,
               coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end,
                                             c.relowner)) as acl
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('public', 'amarre') and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        union all
        select n.nspname || '.' || p.proname || '()', p.proowner,
               coalesce(p.proacl, acldefault('f', p.proowner))
          from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('public', 'amarre')
        union all
        select 'column ' || a.attrelid::regclass || '.' || a.attname, c.relowner, a.attacl
          from pg_attribute a
          join pg_class c on c.oid = a.attrelid
          join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('public', 'amarre') and a.attacl is not null
        union all
        select 'schema ' || nspname, nspowner, coalesce(nspacl, acldefault('n', nspowner))
          from pg_namespace where nspname in ('public', 'amarre')
    )
    select g.object, case e.grantee when 0 then 'public' else e.grantee::regrole::text end as grantee,
           string_agg(lower(e.privilege_type), ' ' order by e.privilege_type) as rights
      from granted g, aclexplode(g.acl) e
     where e.grantee <> g.owner
     group by 1, 2
"""
ALL_FOUR = "delete insert select update"
EXPECTED = {
    # PostgreSQL's own: everybody may look into `public`.
    ("schema public", "public"): "usage",
    ("schema amarre", "authenticated"): "usage",
    ("schema amarre", "service_role"): "usage",
    ("public.profiles", "authenticated"): "select",
    ("public.profiles", "service_role"): ALL_FOUR,
    ("public.evolution_instances", "authenticated"): "select",
    ("public.evolution_instances", "service_role"): ALL_FOUR,
    ("public.evolution_instance_creation_queue", "authenticated"): "select",
    ("public.evolution_instance_creation_queue", "service_role"): ALL_FOUR,
    ("public.system_config", "service_role"): ALL_FOUR,
    ("public.v_webhook_health", "authenticated"): "select",
    ("public.v_webhook_health", "service_role"): "select",
    ("amarre.profiles", "authenticated"): "select",
    ("amarre.profiles", "service_role"): ALL_FOUR,
    ("amarre.instances", "authenticated"): "select",
    ("amarre.instances", "service_role"): ALL_FOUR,
    ("amarre.provisioning_requests", "authenticated"): "select",
    ("amarre.provisioning_requests", "service_role"): ALL_FOUR,
    ("amarre.system_config", "service_role"): ALL_FOUR,
    ("amarre.events", "service_role"): "insert",
    ("amarre.caller()", "authenticated"): "execute",
    ("amarre.caller()", "service_role"): "execute",
    ("amarre.request_instance()", "service_role"): "execute",
}


async def test_these_are_all_the_rights_that_anybody_has(conn):
    found = await rows(conn, GRANTS)

    assert {(row["object"], row["grantee"]): row["rights"] for row in found} == EXPECTED


async def test_tables_that_a_platform_shares_by_default_are_closed_all_the_same(empty_url):
    """Supabase grants everything that is made in `public` to its three roles."""
    async with connected(empty_url) as conn:
        for what in ("tables", "functions", "sequences"):
            await conn.execute(
                sql.SQL(
                    "alter default privileges in schema public grant all on {} to anon, authenticated"
                ).format(sql.SQL(what))
            )
        await migrate(empty_url, now=NOON)

        found = await rows(conn, GRANTS)

    assert {(row["object"], row["grantee"]): row["rights"] for row in found} == EXPECTED


async def test_a_function_that_a_later_version_adds_is_closed_too(conn):
    """Only the file that changed is run again, and new functions are everybody's by default."""
    await conn.execute("create function amarre.later() returns int language sql return 1")
    (functions,) = [one.sql for one in read() if one.name == "repeatable/10_functions"]

    await conn.execute(functions.encode())

    await _act_as(conn, "authenticated")
    with pytest.raises(errors.InsufficientPrivilege):
        await value(conn, "select amarre.later()")
