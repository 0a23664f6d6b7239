"""Connections keep their promises over a restart of the server, and say when it is away."""

import asyncio
import ipaddress
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from amarre.store.database import (
    Database,
    DatabaseDownError,
    DatabaseTooOldError,
    Listener,
    means_gone,
    refuse_old,
    with_patience,
)
from amarre.store.embedded import EmbeddedServer
from tests.support import DAY, NOON, POSTGRES_15, QUICK, SECOND, free_port, place, postgres_15, runner

newest = pytest.mark.parametrize("server", ["18"], indirect=True)


@asynccontextmanager
async def opened(url: str, **wishes: Any) -> AsyncGenerator[Database]:
    # Closed whatever happens: an open pool keeps the loop of a failed test from ending.
    made = await Database.open(url, application_name="amarre tests", **wishes)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def listening(listener: Listener) -> AsyncGenerator[None]:
    await listener.start()
    try:
        yield
    finally:
        await listener.close()


@pytest.fixture
async def db(empty_url: str) -> AsyncGenerator[Database]:
    async with opened(empty_url) as made:
        yield made


@pytest.fixture
def restartable() -> Generator[EmbeddedServer]:
    with place("restart") as home:
        server = EmbeddedServer(home, settings=QUICK, shared=home / "shared")
        server.start()
        yield server
        server.stop()


class Ears:
    """What a listener was told, and a way to wait for more."""

    def __init__(self) -> None:
        self.notices: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.reconnects: asyncio.Queue[None] = asyncio.Queue()

    def on_notice(self, channel: str, payload: str) -> None:
        self.notices.put_nowait((channel, payload))

    def on_reconnect(self) -> None:
        self.reconnects.put_nowait(None)

    def listener(self, url: str, *channels: str) -> Listener:
        return Listener(url, channels, on_notice=self.on_notice, on_reconnect=self.on_reconnect)


async def ask(db: Database, query: str):
    async with db.connection() as conn:
        row = await (await conn.execute(query.encode())).fetchone()
    assert row is not None
    return next(iter(row.values()))


async def test_statements_outside_a_transaction_commit_by_themselves(db):
    async with db.connection() as conn:
        await conn.execute("create table public.kept as select 1 as n")

    assert await ask(db, "select n from public.kept") == 1


async def test_a_transaction_that_fails_keeps_nothing(db):
    async def work() -> None:
        async with db.transaction() as conn:
            await conn.execute("create table public.lost as select 1 as n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()

    assert await ask(db, "select to_regclass('public.lost')") is None


async def test_each_connection_has_limits_a_name_and_utc(db):
    assert await ask(db, "show statement_timeout") == "30s"
    assert await ask(db, "show idle_in_transaction_session_timeout") == "1min"
    assert await ask(db, "show timezone") == "UTC"
    assert await ask(db, "show application_name") == "amarre tests"


async def test_a_name_without_its_schema_is_not_found(db):
    async with db.connection() as conn:
        await conn.execute("create table public.somewhere (n int)")

    with pytest.raises(psycopg.errors.UndefinedTable):
        await ask(db, "select count(*) from somewhere")


async def test_a_statement_that_takes_too_long_is_its_callers_error(empty_url):
    async with opened(empty_url, statement_timeout=SECOND / 20) as db:
        with pytest.raises(psycopg.errors.QueryCanceled):
            await ask(db, "select pg_sleep(10)")

        assert await db.is_up()


async def test_a_restart_of_the_server_is_survived(restartable):
    async with opened(restartable.url, min_size=3) as db:
        await asyncio.gather(*(ask(db, "select 1") for _ in range(3)))
        await asyncio.to_thread(restartable.stop)
        down = await db.is_up(within=SECOND / 2)
        await asyncio.to_thread(restartable.start)

        # None of the dead connections is handed out.
        answers = await asyncio.gather(*(ask(db, "select 1") for _ in range(6)))

        assert (down, answers, await db.is_up()) == (False, [1] * 6, True)


async def cut(url: str, backend: int) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
        await other.execute("select pg_terminate_backend(%s, 5000)", [backend])


@newest
async def test_losing_the_connection_in_the_middle_is_the_database_being_down(db, empty_url):
    async def work() -> None:
        async with db.transaction() as conn:
            await cut(empty_url, conn.info.backend_pid)
            await conn.execute("select 1")

    with pytest.raises(DatabaseDownError, match="went away"):
        await work()

    assert await ask(db, "select 1") == 1


@newest
async def test_none_free_in_time_is_the_database_being_down(empty_url):
    async with opened(empty_url, max_size=1) as db, db.connection():
        with pytest.raises(DatabaseDownError, match="No connection"):
            await db.connection(within=SECOND / 50).__aenter__()


@newest
async def test_a_closed_database_is_down(db):
    await db.close()

    with pytest.raises(DatabaseDownError):
        await ask(db, "select 1")
    assert not await db.is_up()


async def test_nobody_at_the_address_is_said_at_once(restartable):
    url = make_conninfo(restartable.url, port=free_port())

    with pytest.raises(DatabaseDownError, match="does not answer"):
        await Database.open(url, application_name="t")


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (psycopg.OperationalError("server closed the connection"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.CannotConnectNow(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.ConnectionFailure(), True),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.errors.DeadlockDetected(), False),
        (psycopg.errors.DiskFull(), False),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.InterfaceError("misused"), False),
    ],
)
def test_only_errors_of_the_connection_mean_that_the_database_is_down(error, gone):
    assert means_gone(error) is gone


def test_an_old_server_is_named():
    with pytest.raises(DatabaseTooOldError, match="PostgreSQL 14") as refused:
        refuse_old(140_011)

    refuse_old(150_000)
    assert refused.value.facts == {"found": 14}


def test_what_the_url_says_is_stronger_than_our_patience():
    made = conninfo_to_dict(with_patience("postgresql://h/d?connect_timeout=3", application_name="amarre"))

    assert (made["connect_timeout"], made["keepalives_idle"]) == ("3", "30")


async def test_a_listener_hears_all_its_channels(empty_url, db):
    ears = Ears()
    async with listening(ears.listener(empty_url, "one", "Two words")), asyncio.timeout(5):
        await ask(db, "select pg_notify('one', 'a')")
        await ask(db, "select pg_notify('other', 'not ours')")
        await ask(db, "select pg_notify('Two words', '')")

        assert [await ears.notices.get(), await ears.notices.get()] == [("one", "a"), ("Two words", "")]


async def test_a_listener_comes_back_after_a_restart_and_says_so(restartable):
    ears = Ears()
    async with listening(ears.listener(restartable.url, "one")), asyncio.timeout(20):
        await ears.reconnects.get()
        await asyncio.to_thread(restartable.stop)
        await asyncio.to_thread(restartable.start)
        await ears.reconnects.get()
        async with await psycopg.AsyncConnection.connect(restartable.url, autocommit=True) as conn:
            await conn.execute("notify one, 'again'")

        assert await ears.notices.get() == ("one", "again")


async def test_a_listener_that_finds_nobody_says_so_at_start(restartable):
    ears = Ears()

    with pytest.raises(DatabaseDownError):
        await ears.listener(make_conninfo(restartable.url, port=free_port()), "one").start()


def certify(folder: Path) -> None:
    """Write a certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    # libpq compares these with the machine's own clock, not with the test's noon.
    builder = builder.not_valid_before(NOON - 10_000 * DAY).not_valid_after(NOON + 10_000 * DAY)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    (folder / "server.crt").write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "server.key").chmod(0o600)
    if one := runner():
        os.chown(folder / "server.key", one.uid, one.gid)
        os.chown(folder / "server.crt", one.uid, one.gid)


@pytest.mark.skipif(not POSTGRES_15.exists(), reason="the server that speaks TLS (postgresql-15) is missing")
async def test_tls_is_asked_for_by_the_url():
    with place("tls") as folder:
        certify(folder)
        with postgres_15(tls=folder) as url:
            strict = make_conninfo(url, sslmode="verify-full", sslrootcert=str(folder / "server.crt"))
            for wanted in (make_conninfo(url, sslmode="require"), strict):
                async with opened(wanted) as db:
                    assert await ask(db, "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
            with pytest.raises(DatabaseDownError, match="certificate"):
                await Database.open(make_conninfo(strict, sslrootcert=os.devnull), application_name="t")
