"""Instances: what is known of each connection, and writing down what changed.

A decision is made on a locked row (`lock`) and written in the same transaction (`record`),
so that it cannot be made on something that has moved on. The live code comes and goes as
a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from amarre.core.instance import Known, Reason, State
from amarre.store.conn import Conn


@dataclass(frozen=True, slots=True)
class Instance:
    """One connection. The code fields are all None unless a code is live; no secret is here."""

    id: UUID
    kind: str
    gateway_id: UUID | None
    user_id: UUID | None
    name: str
    label: str
    state: str
    reason: str | None
    state_since: datetime
    wanted: str
    phone: str | None
    profile_name: str | None
    code: str | None
    pairing_code: str | None
    code_at: datetime | None
    code_expires_at: datetime | None
    code_said_at: datetime | None
    code_number: int
    pairing_until: datetime | None
    watched_until: datetime | None
    create_sent_at: datetime | None
    created_remotely_at: datetime | None
    webhook_configured_at: datetime | None
    webhook_checked_at: datetime | None
    last_delivery_at: datetime | None
    last_traffic_at: datetime | None
    connected_at: datetime | None
    response_ms: int | None
    heard: str | None
    heard_at: datetime | None
    failures: int
    error_code: str | None
    due_at: datetime | None
    claim_no: int
    created_at: datetime
    gateway: str | None
    gateway_state: str | None
    gateway_version: str | None

    @property
    def stopped(self) -> bool:
        """Say whether a person stopped the pairing: pages that are open do not wake it."""
        resting = (self.state, self.reason) == (State.DISCONNECTED, Reason.PAIRING_EXPIRED)
        return resting and self.pairing_until is None

    def known(self) -> Known:
        """Give the core what it decides on."""
        return Known(
            state=State(self.state),
            reason=Reason(self.reason) if self.reason else None,
            phone=self.phone,
            code_expires_at=self.code_expires_at,
            paired=self.connected_at is not None,
            pairing_until=self.pairing_until,
            watched_until=None if self.stopped else self.watched_until,
            state_since=self.state_since,
        )


COLUMNS: LiteralString = """
           i.id, i.kind, i.gateway_id, i.user_id, i.name,
           coalesce(i.label, p.full_name, p.email, i.name) as label,
           i.state, i.reason, i.state_since, i.wanted, i.phone, i.profile_name,
           i.code, i.pairing_code, i.code_at, i.code_expires_at, i.code_said_at, i.code_number,
           i.pairing_until, i.watched_until, i.create_sent_at, i.created_remotely_at,
           i.webhook_configured_at, i.webhook_checked_at, i.last_delivery_at, i.last_traffic_at,
           i.connected_at, g.response_ms, i.heard, i.heard_at, i.failures, i.error_code, i.due_at,
           i.claim_no, i.created_at,
           g.name as gateway, g.state as gateway_state, g.version as gateway_version
      from amarre.instances i
      left join amarre.profiles p on p.id = i.user_id
      left join amarre.gateways g on g.id = i.gateway_id
"""

GET = "    select" + COLUMNS + "     where i.id = any (%(ids)s)"


async def get_many(conn: Conn, ids: list[UUID]) -> list[Instance]:
    """Read instances by id; those that do not exist are left out."""
    async with conn.cursor(row_factory=class_row(Instance)) as cursor:
        await cursor.execute(GET, {"ids": ids})
        return await cursor.fetchall()


async def get(conn: Conn, instance: UUID) -> Instance | None:
    """Read one instance."""
    found = await get_many(conn, [instance])
    return found[0] if found else None


LOCK = "    select" + COLUMNS + "     where i.id = %(id)s for update of i"


async def lock(conn: Conn, instance: UUID) -> Instance | None:
    """Read one instance and hold it until the transaction ends."""
    async with conn.cursor(row_factory=class_row(Instance)) as cursor:
        await cursor.execute(LOCK, {"id": instance})
        return await cursor.fetchone()


BY_NAME = "    select" + COLUMNS + "     where i.name = %(name)s"


async def by_name(conn: Conn, name: str) -> Instance | None:
    """Read one instance by its name at the gateway."""
    async with conn.cursor(row_factory=class_row(Instance)) as cursor:
        await cursor.execute(BY_NAME, {"name": name})
        return await cursor.fetchone()


OF_USER = (
    "    select"
    + COLUMNS
    + """
     where i.user_id = %(user)s and i.kind = %(kind)s and i.wanted = 'present'
"""
)


async def of_user(conn: Conn, user: UUID, kind: str = "evolution") -> Instance | None:
    """Read the instance of a user, if he has one."""
    async with conn.cursor(row_factory=class_row(Instance)) as cursor:
        await cursor.execute(OF_USER, {"user": user, "kind": kind})
        return await cursor.fetchone()


OF_GATEWAY = (
    "    select"
    + COLUMNS
    + """
     where i.gateway_id = %(gateway)s
"""
)


async def of_gateway(conn: Conn, gateway: UUID) -> list[Instance]:
    """Read all instances of a gateway, to be compared with its list."""
    async with conn.cursor(row_factory=class_row(Instance)) as cursor:
        await cursor.execute(OF_GATEWAY, {"gateway": gateway})
        return await cursor.fetchall()


ADD = """
    insert into amarre.instances (kind, gateway_id, user_id, name, label, state_since, create_sent_at)
    values (%(kind)s, %(gateway)s, %(user)s, %(name)s, %(label)s, %(now)s, null)
        on conflict (kind, user_id) where user_id is not null and wanted = 'present' do nothing
 returning id
"""
ADD_SECRETS = """
    insert into amarre.instance_secrets (instance_id, hook_secret, hook_hash)
    values (%(id)s, %(sealed)s, %(hash)s)
"""


async def add(
    conn: Conn,
    *,
    kind: str,
    gateway: UUID,
    user: UUID | None,
    name: str,
    label: str | None,
    now: datetime,
) -> UUID | None:
    """Write down a new instance; None when the user has one already."""
    values = {"kind": kind, "gateway": gateway, "user": user, "name": name, "label": label, "now": now}
    row = await (await conn.execute(ADD, values)).fetchone()
    return UUID(str(row["id"])) if row else None


async def add_secrets(conn: Conn, instance: UUID, *, sealed: bytes, hashed: bytes) -> None:
    """Keep the secret that the gateway will send back with each delivery."""
    await conn.execute(ADD_SECRETS, {"id": instance, "sealed": sealed, "hash": hashed})


SET_TOKEN = """
    update amarre.instance_secrets set token = %(token)s where instance_id = %(id)s
"""


async def keep_token(conn: Conn, instance: UUID, token: bytes) -> None:
    """Keep the sealed token that the gateway gave."""
    await conn.execute(SET_TOKEN, {"id": instance, "token": token})


SECRETS = """
    select hook_secret, token from amarre.instance_secrets where instance_id = %(id)s
"""


async def hook_secret(conn: Conn, instance: UUID) -> bytes | None:
    """Read the sealed secret of an instance's webhook."""
    row = await (await conn.execute(SECRETS, {"id": instance})).fetchone()
    return bytes(row["hook_secret"]) if row else None


PLAIN_COLUMNS = frozenset(
    {
        "state",
        "reason",
        "due_at",
        "phone",
        "profile_name",
        "gateway_id",
        "name",
        "remote_id",
        "pairing_until",
        "watched_until",
        "create_sent_at",
        "created_remotely_at",
        "webhook_configured_at",
        "webhook_checked_at",
        "webhook_due_at",
        "connected_at",
        "response_ms",
        "heard",
        "heard_at",
        "failures",
        "error_code",
        "code",
        "qr_code",
        "pairing_code",
        "code_at",
        "code_expires_at",
        "code_said_at",
        "code_number",
        "last_qr_update",
        "wanted",
    }
)
NO_CODE: Mapping[str, Any] = {
    "code": None,
    "qr_code": None,
    "pairing_code": None,
    "code_at": None,
    "code_expires_at": None,
}
RECORD = """
    -- jsonb_populate_record lets one statement write just the columns that changed; the
    -- keys are checked against a closed list before they come here.
    update amarre.instances i
       set (state, reason, state_since, due_at, phone, profile_name, gateway_id, name, remote_id,
            pairing_until, watched_until, create_sent_at, created_remotely_at, webhook_configured_at,
            webhook_checked_at, webhook_due_at, connected_at, response_ms, heard, heard_at, failures,
            error_code, code, qr_code, pairing_code, code_at, code_expires_at, code_said_at,
            code_number, last_qr_update, wanted, updated_at)
         = (select n.state, n.reason,
                   case when (n.state, n.reason) is distinct from (i.state, i.reason)
                        then %(now)s else i.state_since end,
                   n.due_at, n.phone, n.profile_name, n.gateway_id, n.name, n.remote_id,
                   n.pairing_until, n.watched_until, n.create_sent_at, n.created_remotely_at,
                   n.webhook_configured_at, n.webhook_checked_at, n.webhook_due_at, n.connected_at,
                   n.response_ms, n.heard, n.heard_at, n.failures, n.error_code, n.code, n.qr_code,
                   n.pairing_code, n.code_at, n.code_expires_at, n.code_said_at, n.code_number,
                   n.last_qr_update, n.wanted, %(now)s
              from jsonb_populate_record(i, %(changes)s) n)
     where i.id = %(id)s
"""


async def record(conn: Conn, instance: UUID, changes: Mapping[str, Any], *, now: datetime) -> None:
    """Write changes to a row that this transaction has locked. Keys are columns."""
    if unknown := changes.keys() - PLAIN_COLUMNS:
        raise ValueError(f"not columns of an instance: {sorted(unknown)}")
    plain = Jsonb({key: _plain(value) for key, value in changes.items()})
    await conn.execute(RECORD, {"id": instance, "changes": plain, "now": now})


def _plain(value: Any) -> Any:
    return (
        value.isoformat() if isinstance(value, datetime) else str(value) if isinstance(value, UUID) else value
    )


SET_DUE = """
    update amarre.instances set due_at = %(at)s where id = %(id)s
"""


async def set_due(conn: Conn, instance: UUID, at: datetime | None) -> None:
    """Say when to look at an instance again; None for: when told."""
    await conn.execute(SET_DUE, {"id": instance, "at": at})


IN_STATE = """
    select id from amarre.instances where state = %(state)s and wanted = 'present' order by due_at
"""


async def ids_in_state(conn: Conn, state: str) -> list[UUID]:
    """Read which instances are in a state, the most overdue first."""
    rows = await (await conn.execute(IN_STATE, {"state": state})).fetchall()
    return [UUID(str(row["id"])) for row in rows]


CHECK_WEBHOOKS_SOON = """
    -- Held in the order of their ids, here and below, as the door holds them.
    update amarre.instances
       set webhook_due_at = least(webhook_due_at, %(now)s + random() * %(within)s)
     where id = any (array(select id
                             from amarre.instances
                            where gateway_id = %(gateway)s and webhook_due_at is not null
                            order by id
                              for no key update))
"""
LOOK_SOON = """
    -- What waited longer because the gateway was away.
    update amarre.instances set due_at = %(now)s
     where id = any (array(select id
                             from amarre.instances
                            where gateway_id = %(gateway)s and due_at > %(now)s and failures > 0
                            order by id
                              for no key update))
"""


async def check_webhooks_soon(conn: Conn, gateway: UUID, *, within: timedelta, now: datetime) -> None:
    """Have the webhooks of a gateway read back, spread over `within`."""
    await conn.execute(CHECK_WEBHOOKS_SOON, {"gateway": gateway, "within": within, "now": now})


async def look_soon(conn: Conn, gateway: UUID, *, now: datetime) -> None:
    """Look now at the instances that failed while their gateway was away."""
    await conn.execute(LOOK_SOON, {"gateway": gateway, "now": now})


SEE = """
    insert into amarre.seen_codes (instance_id, code_hash, seen_at)
    values (%(id)s, %(hash)s, %(now)s)
        on conflict do nothing
"""


async def see(conn: Conn, instance: UUID, code_hash: bytes, *, now: datetime) -> bool:
    """Remember a code; False when it was remembered already."""
    cursor = await conn.execute(SEE, {"id": instance, "hash": code_hash, "now": now})
    return cursor.rowcount == 1


REMOVE = """
    delete from amarre.instances where id = %(id)s and claim_no = %(claim_no)s and wanted = 'absent'
"""


async def remove(conn: Conn, instance: Instance) -> bool:
    """Delete an instance that is gone upstream; its events stay."""
    cursor = await conn.execute(REMOVE, {"id": instance.id, "claim_no": instance.claim_no})
    return cursor.rowcount == 1
