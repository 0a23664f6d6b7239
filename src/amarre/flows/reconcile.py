"""Comparing what we believe with what each gateway says: its list, and the webhooks it keeps.

One list call a gateway and minute. Where the list contradicts us, the instance is asked
for its present state, and that counts; the list is only the gateway's last milestone.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from amarre.core import backoff
from amarre.core.errors import AmarreError
from amarre.core.instance import Heard, State
from amarre.flows import webhooks
from amarre.flows.ask import present
from amarre.flows.means import Means
from amarre.flows.settle import write
from amarre.gateways.base import (
    About,
    Gateway,
    GatewayError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnlicensedError,
    Listed,
)
from amarre.store import claim, event, instance
from amarre.store import gateway as gateways
from amarre.store.database import Database
from amarre.store.gateway import GatewayRow
from amarre.store.instance import Instance
from amarre.store.wake import wake

log = structlog.get_logger()

OUTAGE_FIRST_LOOK = timedelta(seconds=5)
RESTLESS = timedelta(seconds=5)
CHECK_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a gateway's list showed. `strangers` are names that are not ours."""

    gateway: str
    state: str
    listed: int = 0
    corrected: int = 0
    strangers: tuple[str, ...] = ()


async def run(means: Means, now: datetime) -> list[Looked]:
    """Compare the lists that are due."""
    async with means.db.transaction() as conn:
        claims = await gateways.claim_due_lists(conn, worker=means.worker, lease=means.policy.lease, now=now)
        rows = {row.id: row for row in await gateways.all_of_them(conn)} if claims else {}
    return list(await asyncio.gather(*(_look_held(means, rows[one], no) for one, no in claims.items())))


async def _look_held(means: Means, row: GatewayRow, claim_no: int) -> Looked:
    with means.presence.working_on(row.id):
        return await _look(means, row, claim_no)


async def _look(means: Means, row: GatewayRow, claim_no: int) -> Looked:
    asked_at = means.clock()
    try:
        client = means.gateway(row.id)
        about = await client.about() if row.version is None or row.state != "ok" else None
        listed = await client.list_all()
    except AmarreError as failed:
        return await _unwell(means, row, claim_no, failed)
    response_ms = round((means.clock() - asked_at).total_seconds() * 1000)
    await _well(means, row, claim_no, about, response_ms)
    return await _compare(means, client, row, listed)


async def _well(means: Means, row: GatewayRow, claim_no: int, about: About | None, response_ms: int) -> None:
    now = means.clock()
    async with means.db.transaction() as conn:
        kept = await gateways.record(
            conn,
            row.id,
            claim_no=claim_no,
            state="ok",
            due_at=now + means.policy.list_every,
            now=now,
            version=about.version if about else None,
            dialect=about.dialect if about else None,
            response_ms=response_ms,
        )
        if kept and row.state not in ("ok", "unknown"):
            await event.tell(conn, "gateway_back", now=now, gateway=row.id, facts={"gateway": row.name})
            # A gateway that was away may have lost its webhooks: read them back, spread out.
            await instance.check_webhooks_soon(conn, row.id, within=means.policy.webhook_every / 6, now=now)
            await instance.look_soon(conn, row.id, now=now)


def _state_after(failed: AmarreError) -> str:
    match failed:
        case GatewaySilentError():
            return "silent"
        case GatewayRefusedError():
            return "refused"
        case GatewayUnlicensedError():
            return "unlicensed"
        case _:
            return "broken"


async def _unwell(means: Means, row: GatewayRow, claim_no: int, failed: AmarreError) -> Looked:
    now = means.clock()
    state = _state_after(failed)
    pause = backoff.wait(row.failures + 1, first=OUTAGE_FIRST_LOOK, most=means.policy.list_every)
    log.warning("gateway_unwell", gateway=row.name, state=state, code=failed.code)
    async with means.db.transaction() as conn:
        kept = await gateways.record(
            conn, row.id, claim_no=claim_no, state=state, due_at=now + pause, now=now
        )
        if kept and row.state != state:
            await event.tell(
                conn,
                f"gateway_{state}",
                now=now,
                gateway=row.id,
                facts={"gateway": row.name, "code": failed.code},
            )
    return Looked(row.name, state)


async def _compare(means: Means, client: Gateway, row: GatewayRow, listed: list[Listed]) -> Looked:
    async with means.db.transaction() as conn:
        ours = await instance.of_gateway(conn, row.id)
    there = {one.name: one for one in listed}
    now = means.clock()
    doubtful = [one for one in ours if _is_doubtful(one, there.get(one.name), now)]
    corrected = await asyncio.gather(*(_ask_again(means, client, one) for one in doubtful))
    strangers = tuple(sorted(there.keys() - {one.name for one in ours}))
    return Looked(row.name, "ok", len(listed), sum(corrected), strangers)


def _is_doubtful(ours: Instance, there: Listed | None, now: datetime) -> bool:
    if ours.wanted == "absent" or ours.created_remotely_at is None:
        return False
    if there is None:
        # A list read while we created it does not count.
        return now - ours.created_remotely_at > RESTLESS
    believed_open = ours.state == State.CONNECTED
    return believed_open != (there.heard is Heard.OPEN)


async def _ask_again(means: Means, client: Gateway, doubtful: Instance) -> bool:
    asked_at = means.clock()
    try:
        said = await present(client, doubtful)
    except GatewayError as failed:
        log.info("doubt_not_settled", instance=str(doubtful.id), code=failed.code)
        return False
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, doubtful.id)
        if fresh is None or fresh.name != doubtful.name:
            return False
        before = (fresh.state, fresh.reason)
        told = said.told()
        decided = await write(conn, fresh, said.heard, asked_at=asked_at, now=means.clock(), told=told)
        return decided is not None and (decided.state, decided.reason) != before


async def check_webhooks(means: Means, now: datetime) -> int:
    """Read the webhooks back whose turn it is, and set again what is not as wanted."""
    async with means.db.transaction() as conn:
        due = await claim.claim_webhooks(
            conn, worker=means.worker, lease=means.policy.lease, limit=means.policy.batch, now=now
        )
    await asyncio.gather(*(_check_held(means, one) for one in due))
    return len(due)


async def _check_held(means: Means, claimed: Instance) -> None:
    with means.presence.working_on(claimed.id):
        await _check_webhook(means, claimed)


async def _check_webhook(means: Means, claimed: Instance) -> None:
    try:
        drifted = await webhooks.verify(means, means.gateway(claimed.gateway_id), claimed)
    except AmarreError as failed:
        # A missing instance is created again by the list comparison; the rest is tried again.
        log.warning("webhook_not_verified", instance=str(claimed.id), code=failed.code)
        again_at = means.clock() + CHECK_AGAIN
        await _write_check(means, claimed, {"webhook_due_at": again_at, "error_code": failed.code})
        return
    now = means.clock()
    changes: dict[str, object] = {
        "webhook_due_at": now + means.policy.webhook_every,
        "webhook_checked_at": now,
        "error_code": None,
    }
    if drifted or claimed.webhook_configured_at is None:
        changes["webhook_configured_at"] = now
    await _write_check(
        means, claimed, changes, tell=("webhook_drifted", "webhook_set_again") if drifted else ()
    )


async def _write_check(
    means: Means, claimed: Instance, changes: dict[str, object], tell: tuple[str, ...] = ()
) -> None:
    now = means.clock()
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, claimed.id)
        if fresh is None or fresh.claim_no != claimed.claim_no:
            return
        await instance.record(conn, claimed.id, changes, now=now)
        await claim.release(conn, claimed)
        # What was asked meanwhile found the instance claimed.
        await wake(conn, "instances")
        for kind in tell:
            await event.tell(conn, kind, now=now, of=fresh)


async def ask_all(means: Means) -> list[Looked]:
    """Compare the lists of all gateways now, whatever the hour."""
    now = means.clock()
    async with means.db.transaction() as conn:
        await gateways.all_due(conn, now=now)
    return await run(means, now)


async def ask_one(means: Means, one: Instance) -> None:
    """Ask the gateway for an instance's present state, and write it down.

    Raises:
        GatewayError: it did not say.
    """
    if one.created_remotely_at is None:
        return
    asked_at = means.clock()
    said = await present(means.gateway(one.gateway_id), one)
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, one.id)
        if fresh is not None and fresh.name == one.name:
            told = said.told()
            await write(conn, fresh, said.heard, asked_at=asked_at, now=means.clock(), told=told)


async def strangers(means: Means) -> dict[str, list[str] | str]:
    """List what is at each gateway and not ours (a text says why a gateway could not be asked)."""
    found: dict[str, list[str] | str] = {}
    async with means.db.transaction() as conn:
        rows = await gateways.all_of_them(conn)
        ours = {row.id: {one.name for one in await instance.of_gateway(conn, row.id)} for row in rows}
    for row in rows:
        try:
            listed = await means.gateway(row.id).list_all()
            found[row.name] = sorted({one.name for one in listed} - ours[row.id])
        except AmarreError as failed:
            found[row.name] = failed.code
    return found


async def enter(db: Database, configured: dict[str, tuple[str, str]], *, now: datetime) -> dict[str, UUID]:
    """Write down the configured gateways (name -> kind, base URL); return their ids."""
    async with db.transaction() as conn:
        entered = {
            name: await gateways.ensure(conn, kind=kind, name=name, base_url=base_url, now=now)
            for name, (kind, base_url) in configured.items()
        }
        await gateways.retire_others(conn, list(configured), now=now)
    return entered


async def ids(db: Database) -> dict[str, UUID]:
    """Read the ids of the gateways that were written down, by name."""
    async with db.transaction() as conn:
        return {row.name: row.id for row in await gateways.all_of_them(conn)}
