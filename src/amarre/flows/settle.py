"""Writing down what a gateway said: the one place where an instance's state changes.

Every story that has asked a gateway ends here, on the locked row: `write` lets the core
decide, stores the state and tells the event that goes with the change; `show` does the
same for a code.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import segno

from amarre.core import pairing
from amarre.core.instance import (
    NOTHING_TOLD,
    Heard,
    Next,
    Reason,
    State,
    Then,
    Told,
    name_at_gateway,
    settle,
)
from amarre.core.pairing import Offered, Shown
from amarre.gateways.base import Code
from amarre.store import event, instance, link, request
from amarre.store.conn import Conn
from amarre.store.instance import NO_CODE, Instance
from amarre.store.wake import wake

POLL_GRACE = timedelta(seconds=2)

_TELLS = {
    Reason.SCANNED: "code_scanned",
    Reason.RECONNECTING: "reconnecting",
    Reason.PAIRING_EXPIRED: "pairing_expired",
    Reason.UNLINKED: "unlinked",
    Reason.RESTRICTED: "restricted",
    Reason.BANNED: "banned",
}


def new_name(label: str) -> str:
    """Make a name at the gateway that was never used."""
    return name_at_gateway(label, secrets.token_hex(5))


async def write(
    conn: Conn, fresh: Instance, heard: Heard, *, asked_at: datetime, now: datetime, told: Told = NOTHING_TOLD
) -> Next | None:
    """Decide on what the gateway said, write it, tell it; on a row that `conn` has locked.

    Returns None, having written nothing, when somebody has asked the gateway since, or when
    the instance is being removed: then only its removal writes.
    """
    if fresh.wanted == "absent":
        return None
    if fresh.heard_at is not None and fresh.heard_at > asked_at:
        return None
    decided = settle(fresh.known(), heard, now, told)
    changes: dict[str, Any] = _changes(fresh, decided, told, now)
    changes |= {"heard": heard, "heard_at": asked_at}
    await instance.record(conn, fresh.id, changes, now=now)
    if (decided.state, decided.reason) != (fresh.state, fresh.reason):
        await _tell(conn, fresh, decided, told, now)
    elif decided.phone != fresh.phone:
        # A gateway says that it is open before it says whose number it is: pages show both.
        await event.tell(conn, "number_known", now=now, of=fresh, facts={"phone": decided.phone})
    if changes["due_at"] is not None and changes["due_at"] <= now:
        await wake(conn, "instances")
    if decided.then is Then.CREATE_AGAIN and fresh.user_id is not None:
        await request.ask_again(conn, user=fresh.user_id, kind=fresh.kind, instance=fresh.id, now=now)
    return decided


def _changes(fresh: Instance, decided: Next, told: Told, now: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "state": decided.state,
        "reason": decided.reason,
        "due_at": decided.due_at,
        "phone": decided.phone or fresh.phone,
        "profile_name": told.profile_name or fresh.profile_name,
        "failures": 0,
        "error_code": None,
    }
    if decided.clear_code:
        changes |= NO_CODE
    if decided.state is State.CONNECTED:
        changes |= {"pairing_until": None, "code_number": 0}
        if fresh.state != State.CONNECTED:
            changes["connected_at"] = now
    if decided.then is Then.STOP_PAIRING:
        # Whoever heard this only asked; a worker ends the gateway's own loop.
        changes["due_at"] = now
    if decided.then is Then.CREATE_AGAIN:
        # A deleted name is not free at once, so the next one is another.
        changes |= {
            "name": new_name(fresh.label),
            "create_sent_at": None,
            "created_remotely_at": None,
            "connected_at": None,
            "webhook_configured_at": None,
            "webhook_due_at": None,
            "due_at": None,
        }
    return changes


async def _tell(conn: Conn, fresh: Instance, decided: Next, told: Told, now: datetime) -> None:
    facts: dict[str, event.Fact] = {}
    match decided.state:
        case State.CONNECTED:
            kind = "connected"
            facts = {"phone": decided.phone, "profile_name": told.profile_name}
            await link.use(conn, fresh.id, now=now)
        case State.CREATING:
            kind = "deleted_upstream"
        case _:
            kind = _TELLS.get(decided.reason) if decided.reason else None
            facts = {"gateway_reason": told.reason}
    if kind is not None:
        await event.tell(conn, kind, now=now, of=fresh, facts=facts)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A code with its picture (a PNG data URL), made before any row is locked."""

    code: Code
    picture: str


def draw(code: Code) -> Drawn:
    """Draw a code. Takes some milliseconds of CPU: call it in a thread."""
    return Drawn(code, segno.make(code.text, error="l", micro=False).png_data_uri(scale=6, border=4))


def hash_code(code: Code) -> bytes:
    """Give what a code is remembered by."""
    return hashlib.sha256(code.text.encode()).digest()


async def show(
    conn: Conn,
    fresh: Instance,
    drawn: Drawn,
    *,
    life: timedelta,
    received_at: datetime,
    now: datetime,
    said_at: datetime | None = None,
    skew: timedelta | None = None,
) -> str:
    """Show a code if it can be scanned, on a row that `conn` has locked.

    Returns what came of it: `applied`, `not_pairing`, `code_seen`, `code_older` or `code_dead`.
    """
    if fresh.state != State.CONNECTING:
        return "not_pairing"
    fresh_to_us = await instance.see(conn, fresh.id, hash_code(drawn.code), now=now)
    offered = Offered(
        received_at=received_at,
        seen=not fresh_to_us,
        said_at=said_at,
        skew=skew,
        latest_said_at=fresh.code_said_at,
    )
    verdict = pairing.judge(offered, life=life)
    if not isinstance(verdict, Shown):
        return verdict.value
    if verdict.expires_at <= now:
        return pairing.Turned.DEAD.value
    await _write_code(conn, fresh, drawn, verdict.expires_at, said_at=said_at, now=now)
    return "applied"


async def _write_code(
    conn: Conn,
    fresh: Instance,
    drawn: Drawn,
    expires_at: datetime,
    *,
    said_at: datetime | None,
    now: datetime,
) -> None:
    number = fresh.code_number + 1
    changes: dict[str, Any] = {
        "state": State.CONNECTING,
        "reason": Reason.CODE_SHOWN,
        "code": drawn.code.text,
        "qr_code": drawn.picture,
        "pairing_code": drawn.code.pairing_code,
        "code_at": now,
        "code_expires_at": expires_at,
        "code_said_at": said_at or fresh.code_said_at,
        "code_number": number,
        "last_qr_update": now,
        "due_at": expires_at + POLL_GRACE,
        "failures": 0,
        "error_code": None,
    }
    await instance.record(conn, fresh.id, changes, now=now)
    valid_s = round((expires_at - now).total_seconds())
    facts = {"number": number, "valid_s": valid_s, "by": "push" if said_at else "poll"}
    await event.tell(conn, "code_shown", now=now, of=fresh, facts=facts)
