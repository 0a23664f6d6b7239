"""Databases for everyone: a server a session, a migrated template, a copy of it a test."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from amarre.store.database import Database
from amarre.store.embedded import EmbeddedServer
from amarre.store.migrate import migrate

TEMPLATE = "amarre_template"
# The suite does not test that disks keep what they promise.
CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@pytest.fixture(scope="session")
def server18(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Start the embedded server and give its URL."""
    folder: Path = tmp_path_factory.mktemp("embedded")
    with EmbeddedServer(folder, settings=CARELESS) as server:
        yield server.url


@pytest.fixture(scope="session")
def template18(server18: str) -> str:
    """Make the migrated template database."""
    _execute(server18, sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    url = make_conninfo(server18, dbname=TEMPLATE)
    asyncio.run(migrate(url, now=datetime.now(UTC)))  # noqa: TID251  # the edge of the tests
    return server18


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement)


@pytest.fixture
def database_url(template18: str) -> Generator[str]:
    """Give the URL of a fresh, migrated database."""
    name = f"t_{secrets.token_hex(6)}"
    copy = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
    _execute(template18, copy)
    yield make_conninfo(template18, dbname=name)
    _execute(template18, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    """Open a fresh database."""
    opened = await Database.open(database_url, application_name="tests")
    yield opened
    await opened.close()
