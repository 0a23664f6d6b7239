"""Keeping a scannable code on the screen, for as long as somebody may look at it.

The gateway pushes codes; this story asks for one only when a push is overdue, starts the
pairing where it is closed, and lets an instance rest when nobody looks any more. Only the
holder of an instance's claim calls `connect`: parallel ones would open parallel sockets.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from amarre.core import backoff
from amarre.core.errors import AmarreError, ConflictError, NotFoundError
from amarre.core.instance import NOTHING_TOLD, Heard, Reason, State, Then, Told, settle, wants_code
from amarre.flows import remove
from amarre.flows.ask import present
from amarre.flows.means import Means
from amarre.flows.settle import Drawn, draw, show, write
from amarre.gateways.base import Code, Gateway, GatewayError
from amarre.store import claim, event, gateway, instance, link, request
from amarre.store.conn import Conn
from amarre.store.instance import NO_CODE, Instance
from amarre.store.vault import hash_secret, new_secret
from amarre.store.wake import wake

log = structlog.get_logger()

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=1)
SILENT_HANDSHAKE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said when it was asked, and when that was."""

    heard: Heard
    asked_at: datetime
    told: Told = NOTHING_TOLD
    drawn: Drawn | None = None


async def take(means: Means, now: datetime, limit: int) -> list[Coroutine[Any, Any, None]]:
    """Claim up to `limit` instances that are due; return a story for each, to be awaited."""
    async with means.db.transaction() as conn:
        due = await claim.claim_due(conn, worker=means.worker, lease=means.policy.lease, limit=limit, now=now)
    return [_tend_safely(means, claimed) for claimed in due]


async def run(means: Means, now: datetime) -> int:
    """Look after every instance that is due; return how many there were."""
    stories = await take(means, now, means.policy.batch)
    await asyncio.gather(*stories)
    return len(stories)


async def refresh_all(means: Means) -> tuple[int, int]:
    """Look after every instance that is being paired, at once.

    Returns how many there were and how many show a live code afterwards. A code that is
    live already is left alone: asking again would bring the same one.
    """
    async with means.db.transaction() as conn:
        ids = await instance.ids_in_state(conn, State.CONNECTING)
    for one in ids:
        async with means.db.transaction() as conn:
            claimed = await claim.claim_one(
                conn, one, worker=means.worker, lease=means.policy.lease, now=means.clock()
            )
        if claimed is not None:
            await _tend_safely(means, claimed)
    async with means.db.transaction() as conn:
        after = await instance.get_many(conn, ids)
    at = means.clock()
    live = [one for one in after if one.code_expires_at is not None and one.code_expires_at > at]
    return len(ids), len(live)


async def _tend_safely(means: Means, claimed: Instance) -> None:
    with means.presence.working_on(claimed.id):
        try:
            if claimed.wanted == "absent":
                await remove.step(means, claimed)
            else:
                await _tend(means, claimed)
        except AmarreError as failed:
            await _postpone(means, claimed, failed)


async def _tend(means: Means, claimed: Instance) -> None:
    if claimed.created_remotely_at is None:
        # Its request creates it; there is nothing to look after yet.
        async with means.db.transaction() as conn:
            await instance.set_due(conn, claimed.id, None)
            await claim.release(conn, claimed)
        return
    client = means.gateway(claimed.gateway_id)
    answer = await _ask(means, client, claimed)
    async with means.db.transaction() as conn:
        await _record(conn, means, client, claimed, answer)


async def _ask(means: Means, client: Gateway, claimed: Instance) -> Answer:
    asked_at = means.clock()
    said = await present(client, claimed)
    heard = said.heard
    decided = settle(claimed.known(), heard, asked_at, said.told())
    match decided.then:
        case Then.STOP_PAIRING:
            await client.logout(claimed.name)
            return Answer(Heard.CLOSED, asked_at)
        case Then.START_PAIRING:
            return await _connect(client, claimed, asked_at)
        case Then.LOOK_AGAIN if _needs_code(claimed, heard, asked_at):
            if _handshake_is_silent(claimed, asked_at):
                await client.restart(claimed.name)
            return await _connect(client, claimed, asked_at)
        case _:
            return Answer(heard, asked_at, said.told())


def _needs_code(claimed: Instance, heard: Heard, now: datetime) -> bool:
    waiting = claimed.reason in (Reason.AWAITING_CODE, Reason.CODE_SHOWN)
    overdue = claimed.code_expires_at is None or claimed.code_expires_at <= now
    return heard is Heard.CONNECTING and waiting and overdue and wants_code(claimed.known(), now)


def _handshake_is_silent(claimed: Instance, now: datetime) -> bool:
    """Say whether to restart: no code for a minute after several asks heals by one restart."""
    return claimed.failures == 4 and now - claimed.state_since > SILENT_HANDSHAKE  # noqa: PLR2004


async def _connect(client: Gateway, claimed: Instance, asked_at: datetime) -> Answer:
    connecting = await client.connect(claimed.name)
    drawn = await asyncio.to_thread(draw, connecting.code) if connecting.code else None
    return Answer(connecting.heard, asked_at, drawn=drawn)


async def _record(conn: Conn, means: Means, client: Gateway, claimed: Instance, answer: Answer) -> None:
    fresh = await instance.lock(conn, claimed.id)
    if fresh is None or fresh.claim_no != claimed.claim_no:
        return
    now = means.clock()
    decided = await write(conn, fresh, answer.heard, asked_at=answer.asked_at, now=now, told=answer.told)
    if decided is None:
        # Not before their word is older than our question: on a clock that is behind theirs
        # every answer would come too late, and be asked for again at once.
        await claim.release(conn, claimed, due_at=max(now, fresh.heard_at or now))
        return
    shown = None
    if answer.drawn is not None and (again := await instance.lock(conn, claimed.id)) is not None:
        shown = await show(
            conn, again, answer.drawn, life=client.facts.code_life, received_at=answer.asked_at, now=now
        )
    if decided.reason is Reason.AWAITING_CODE and shown != "applied":
        # Asked, and no live code yet: ask less and less often, so that a gateway that
        # cannot reach WhatsApp is not hammered.
        pause = backoff.wait(claimed.failures + 1, first=FIRST_WAIT, most=LONGEST_WAIT)
        await instance.record(
            conn, fresh.id, {"failures": claimed.failures + 1, "due_at": now + pause}, now=now
        )
    await claim.release(conn, claimed)


async def _postpone(means: Means, claimed: Instance, failed: AmarreError) -> None:
    now = means.clock()
    log.warning("instance_not_tended", instance=str(claimed.id), code=failed.code)
    pause = backoff.wait(claimed.failures + 1, first=FIRST_WAIT, most=LONGEST_WAIT)
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, claimed.id)
        if fresh is None or fresh.claim_no != claimed.claim_no:
            return
        changes = {"failures": claimed.failures + 1, "error_code": failed.code, "due_at": now + pause}
        if fresh.code_expires_at is not None and fresh.code_expires_at <= now:
            # A code that died while the gateway is away must not stay on the screen.
            changes |= dict(NO_CODE) | {"reason": Reason.AWAITING_CODE}
        await instance.record(conn, fresh.id, changes, now=now)
        await claim.release(conn, claimed)
        if isinstance(failed, GatewayError) and claimed.gateway_id is not None:
            await gateway.ask_soon(conn, claimed.gateway_id, now=now)


async def watch(means: Means, instance_id: UUID, *, now: datetime, who: str | None = None) -> None:
    """Somebody looks at this instance now: keep its code live, and wake it where it rests.

    Call it when a page is opened and every half minute while it is open. `who` is a
    person's name, told once a visit.
    """
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, instance_id)
        if fresh is None or fresh.wanted == "absent" or fresh.state == State.CONNECTED:
            return
        visiting = fresh.watched_until is not None and now < fresh.watched_until
        await instance.record(conn, fresh.id, {"watched_until": now + means.policy.watch}, now=now)
        if who is not None and not visiting:
            await event.tell(conn, "page_opened", now=now, of=fresh, actor=who, facts={"who": who})
        resting = fresh.state == State.DISCONNECTED and fresh.reason == Reason.PAIRING_EXPIRED
        if resting and not (fresh.stopped and visiting):
            await _begin(conn, means, fresh, now=now)


async def begin(means: Means, instance_id: UUID, *, actor: str, now: datetime) -> None:
    """Keep a live code on this instance's pages from now on: a person asked for it.

    Raises:
        NotFoundError: there is no such instance.
        ConflictError: it is connected, so there is nothing to scan.
    """
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, instance_id)
        if fresh is None or fresh.wanted == "absent":
            raise NotFoundError("no such instance")
        if fresh.state == State.CONNECTED:
            raise ConflictError("the instance is connected", reason="connected")
        await _begin(conn, means, fresh, now=now, actor=actor)


async def _begin(
    conn: Conn, means: Means, fresh: Instance, *, now: datetime, actor: str | None = None
) -> None:
    changes: dict[str, object] = {"pairing_until": now + means.window(fresh.kind)}
    if fresh.created_remotely_at is None:
        if fresh.user_id is not None:
            await request.ask_again(conn, user=fresh.user_id, kind=fresh.kind, instance=fresh.id, now=now)
        changes |= {"state": State.CREATING, "reason": None}
    elif fresh.state != State.CONNECTING:
        changes |= {
            "state": State.CONNECTING,
            "reason": Reason.AWAITING_CODE,
            "due_at": now,
            "failures": 0,
            "code_number": 0,
            # The gateway is asked anew: what it said before this does not count.
            "heard_at": now,
        }
    await instance.record(conn, fresh.id, changes, now=now)
    kind = "pairing_started" if actor else "pairing_woken"
    await event.tell(conn, kind, now=now, of=fresh, actor=actor)
    await wake(conn, "instances")


async def rest(means: Means, instance_id: UUID, *, actor: str, now: datetime) -> None:
    """Stop showing codes for this instance until somebody looks or asks.

    Raises:
        NotFoundError: there is no such instance.
        ConflictError: it is not being paired.
    """
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, instance_id)
        if fresh is None:
            raise NotFoundError("no such instance")
        if fresh.state != State.CONNECTING or fresh.reason == Reason.RECONNECTING:
            raise ConflictError("the instance is not being paired", reason=fresh.state)
        changes: dict[str, object] = {
            "state": State.DISCONNECTED,
            "reason": Reason.PAIRING_EXPIRED,
            # Without a window it has been stopped. Who looks right now is not forgotten: his
            # page, which stays open, must not wake it again.
            "pairing_until": None,
            "heard_at": now,
            # Due at once: the gateway's own loop is ended by the worker.
            "due_at": now,
        }
        await instance.record(conn, fresh.id, changes | dict(NO_CODE), now=now)
        await event.tell(conn, "pairing_stopped", now=now, of=fresh, actor=actor)
        await wake(conn, "instances")


async def make_link(
    means: Means, instance_id: UUID, *, actor: str, now: datetime, quietly: bool = False
) -> str:
    """Make a one-time link for the person with the phone; return its URL, which is shown once.

    Raises:
        NotFoundError: there is no such instance.
    """
    token = new_secret()
    async with means.db.transaction() as conn:
        found = await instance.get(conn, instance_id)
        if found is None or found.wanted == "absent":
            raise NotFoundError("no such instance")
        await link.make(
            conn, instance_id, token_hash=hash_secret(token), by=actor, life=means.policy.link_life, now=now
        )
        if not quietly:
            await event.tell(
                conn, "pairing_link_created", now=now, of=found, actor=actor, facts={"who": actor}
            )
    return f"{means.policy.public_url.rstrip('/')}/pair/{token}"


async def open_link(means: Means, token: str, *, now: datetime) -> tuple[link.Link, Instance]:
    """Open a pairing link: somebody with the phone looks.

    A resting or unlinked instance is woken. A link that has paired still shows its result.

    Raises:
        NotFoundError: there is no such link, it has ended, or its instance is gone.
    """
    async with means.db.transaction() as conn:
        found = await link.find(conn, hash_secret(token))
        of = await instance.lock(conn, found.instance_id) if found else None
        if found is None or of is None or of.wanted == "absent" or found.expires_at <= now:
            raise NotFoundError("no such pairing link, or it has ended", what="pairing_link")
        if found.used_at is None:
            first = await link.open_first(conn, found.id, now=now)
            if first:
                await event.tell(conn, "pairing_link_opened", now=now, of=of)
            visiting = of.watched_until is not None and now < of.watched_until
            if of.state == State.DISCONNECTED and (first or not (of.stopped and visiting)):
                await _begin(conn, means, of, now=now)
        refreshed = await instance.get(conn, of.id)
    return found, refreshed or of


def code_of(found: Instance, now: datetime) -> Code | None:
    """Give the code that can be scanned now, if there is one."""
    if found.code is None or found.code_expires_at is None or found.code_expires_at <= now:
        return None
    return Code(found.code, found.pairing_code)
