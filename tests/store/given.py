"""What the tests of the store start from: rows, written as the product writes them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row

from amarre.core.errors import NotFoundError
from amarre.store import gateway, instance, profile
from amarre.store.conn import Conn
from amarre.store.delivery import Arrival
from amarre.store.instance import Instance
from amarre.store.vault import hash_secret
from tests.support import NOON

SECRET = "a webhook's secret of these tests"
_numbers = count(1)


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncGenerator[Conn]:
    """Open one more connection, as another process would have it."""
    async with await AsyncConnection[DictRow].connect(
        url, autocommit=True, row_factory=dict_row, **options
    ) as opened:
        yield opened


async def rows(conn: Conn, statement: LiteralString, **values: Any) -> list[DictRow]:
    return await (await conn.execute(statement, values)).fetchall()


async def value(conn: Conn, statement: LiteralString, **values: Any) -> Any:
    """Read the one value that the statement gives."""
    (row,) = await rows(conn, statement, **values)
    (only,) = row.values()
    return only


async def given_a_gateway(conn: Conn, name: str = "main", *, now: datetime = NOON) -> UUID:
    return await gateway.ensure(conn, kind="evolution", name=name, base_url="http://evo.example", now=now)


async def given_a_profile(conn: Conn, **known: Any) -> UUID:
    """A customer, whose sign-up asked for an instance."""
    values: dict[str, Any] = {
        "email": f"u{next(_numbers)}@example.com",
        "full_name": None,
        "actor": "test",
        **known,
    }
    async with conn.transaction():
        return (await profile.add(conn, **values)).id


async def given_an_instance(conn: Conn, *, user: UUID | None = None, **columns: Any) -> Instance:
    """An instance with its webhook's secret; `columns` are written as they are."""
    gateway_id = await given_a_gateway(conn)
    name = str(columns.pop("name", f"i-{next(_numbers)}"))
    kind = str(columns.pop("kind", "evolution"))
    made = await instance.add(conn, kind=kind, gateway=gateway_id, user=user, name=name, label=None, now=NOON)
    assert made is not None
    await instance.add_secrets(conn, made, sealed=b"sealed", hashed=hash_secret(SECRET))
    if columns:
        await write(conn, "instances", made, columns)
    return await the_instance(conn, made)


async def given_a_request(conn: Conn, **columns: Any) -> UUID:
    """What a sign-up asked for."""
    user = await given_a_profile(conn)
    found = await value(
        conn, "select id from amarre.provisioning_requests where user_id = %(user)s", user=user
    )
    await write(conn, "provisioning_requests", found, {"due_at": NOON, **columns})
    return UUID(str(found))


async def write(conn: Conn, table: LiteralString, row: UUID, columns: Mapping[str, Any]) -> None:
    changes = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(new)) for name, new in columns.items()
    )
    statement = sql.SQL("update amarre.{} set {} where id = {}")
    await conn.execute(statement.format(sql.Identifier(table), changes, sql.Literal(row)))


async def the_instance(conn: Conn, instance_id: UUID) -> Instance:
    found = await instance.get(conn, instance_id)
    if found is None:
        raise NotFoundError(str(instance_id))
    return found


def an_arrival(to: Instance, text: str = "hello", **changed: Any) -> Arrival:
    """A delivery as the door reads it."""
    fields: dict[str, Any] = {
        "instance": to.name,
        "secret_hash": hash_secret(SECRET),
        "event": "connection.update",
        "subject": "connection",
        "body": {"text": text},
        "body_hash": text.encode(),
        "received_at": NOON,
        "matters": True,
    }
    return Arrival(**{**fields, **changed})


def claims_of(user: UUID) -> str:
    """What PostgREST puts into `request.jwt.claims`."""
    return f'{{"sub": "{user}", "role": "authenticated"}}'
