"""Databases for everyone: one a test, copied from a migrated template."""

from collections.abc import AsyncGenerator, Iterator

import pytest
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from amarre.store.conn import Conn
from amarre.store.database import Database
from amarre.store.embedded import EmbeddedServer
from tests.support import POSTGRES_15, QUICK, Server, place, postgres_15


@pytest.fixture(scope="session")
def server18() -> Iterator[Server]:
    with place("pg18") as home, EmbeddedServer(home, settings=QUICK, shared=home / "shared") as embedded:
        server = Server(embedded.url)
        yield server
        server.close()


@pytest.fixture(scope="session")
def server15() -> Iterator[Server]:
    if not POSTGRES_15.exists():
        pytest.skip("PostgreSQL 15 is not installed (Debian: postgresql-15)")
    with postgres_15() as url:
        server = Server(url)
        yield server
        server.close()


@pytest.fixture
def server(server18: Server) -> Server:
    """The server of this test; in tests/store each test runs on the oldest and the newest."""
    return server18


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """A migrated database of this test alone."""
    with server.database(server.template) as url:
        yield url


@pytest.fixture
def empty_url(server: Server) -> Iterator[str]:
    """A database in which nothing has been migrated."""
    with server.database("template0") as url:
        yield url


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    opened = await Database.open(database_url, application_name="amarre tests")
    yield opened
    await opened.close()


@pytest.fixture
async def conn(database_url: str) -> AsyncGenerator[Conn]:
    """A connection in autocommit whose rows are dicts."""
    async with await AsyncConnection[DictRow].connect(
        database_url, autocommit=True, row_factory=dict_row
    ) as opened:
        yield opened
