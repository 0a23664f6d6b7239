"""A sign-up becomes an instance: created once, with a webhook that was read back.

Every step is safe to repeat: before a create is sent, that it will be sent is written
down; whoever finds that note looks at the gateway before he does anything.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from amarre.core.errors import AmarreError, ConflictError, InvalidError, NotFoundError
from amarre.core.instance import Reason, State
from amarre.core.provision import GiveUp, after_failure
from amarre.flows import webhooks
from amarre.flows.means import SETTLE_MARGIN, Means
from amarre.flows.settle import new_name
from amarre.gateways.base import (
    Gateway,
    GatewayBusyError,
    GatewaySilentError,
    GatewayUnreachableError,
    NameTakenError,
    Webhook,
)
from amarre.store import claim, event, instance, profile, request
from amarre.store import gateway as gateways
from amarre.store.conn import Conn
from amarre.store.instance import Instance
from amarre.store.profile import Profile
from amarre.store.request import Request
from amarre.store.vault import hash_secret, new_secret
from amarre.store.wake import wake

log = structlog.get_logger()

SOON_EVERY_S = 0.05
A_MOMENT = timedelta(seconds=2)


class NoGatewayError(GatewayBusyError):
    """No gateway is configured for this kind of instance."""

    code = "no_gateway"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did, as counts."""

    processed: int = 0
    completed: int = 0
    failed: int = 0
    waiting: int = 0


async def sign_up(
    means: Means,
    *,
    email: str | None,
    full_name: str | None,
    phone: str | None = None,
    locale: str | None = None,
    profile_id: UUID | None = None,
    actor: str,
) -> Profile:
    """Write a customer down; his instance follows within seconds.

    Raises:
        InvalidError: neither a name nor an address was given, or one of them cannot be right.
        ConflictError: there is a customer with this id or address.
    """
    email, full_name = (email or "").strip() or None, (full_name or "").strip() or None
    if email is None and full_name is None:
        raise InvalidError("a name or an e-mail address is needed", field="full_name")
    if email is not None and ("@" not in email[1:-1] or " " in email):
        raise InvalidError("this is not an e-mail address", field="email")
    async with means.db.transaction() as conn:
        return await profile.add(
            conn,
            email=email,
            full_name=full_name,
            phone=phone,
            locale=locale,
            profile_id=profile_id,
            actor=actor,
        )


async def soon(means: Means, user: UUID, *, within: timedelta = A_MOMENT) -> Instance | None:
    """Wait a moment for a customer's instance to be written down by a worker; None if it is not.

    Raises:
        NotFoundError: there is no such customer.
    """
    until = means.clock() + within
    while True:
        async with means.db.transaction() as conn:
            found = await instance.of_user(conn, user)
            known = found is not None or await profile.get(conn, user) is not None
        if not known:
            raise NotFoundError("no such profile")
        if found is not None or means.clock() >= until:
            return found
        await asyncio.sleep(SOON_EVERY_S)


async def ask(means: Means, user: UUID) -> bool:
    """Ask for the instance of a customer who has none; False when he has one or is about to.

    Raises:
        NotFoundError: there is no such customer.
    """
    async with means.db.transaction() as conn:
        if await profile.get(conn, user) is None:
            raise NotFoundError("no such profile: it is added first", what="profile")
        return await request.ask(conn, user) is not None


async def take(means: Means, now: datetime, limit: int) -> list[Coroutine[Any, Any, str]]:
    """Claim up to `limit` requests that are due; return a story for each, to be awaited."""
    async with means.db.transaction() as conn:
        due = await request.claim_due(
            conn, worker=means.worker, lease=means.policy.lease, limit=limit, now=now
        )
    return [_provide_safely(means, one) for one in due]


async def run(means: Means, now: datetime) -> Ran:
    """Provide what is due; return true counts."""
    outcomes = await asyncio.gather(*await take(means, now, means.policy.batch))
    return Ran(
        processed=len(outcomes),
        completed=outcomes.count("completed"),
        failed=outcomes.count("failed"),
        waiting=outcomes.count("waiting"),
    )


async def _provide_safely(means: Means, wanted: Request) -> str:
    with means.presence.working_on(wanted.id):
        try:
            return await _provide(means, wanted)
        except AmarreError as failed:
            return await _failed(means, wanted, failed)


async def _provide(means: Means, wanted: Request) -> str:
    claimed = await _prepare(means, wanted)
    if claimed is None:
        # Somebody works on this instance right now.
        raise GatewayBusyError("the instance is being worked on")
    try:
        with means.presence.working_on(claimed.id):
            if claimed.created_remotely_at is None:
                client = means.gateway(claimed.gateway_id)
                await _create(means, client, claimed)
            return await _complete(means, wanted, claimed)
    finally:
        async with means.db.transaction() as conn:
            await claim.release(conn, claimed)
            # Woken only now: before, whoever looks finds the instance still claimed.
            await wake(conn, "instances")


async def _prepare(means: Means, wanted: Request) -> Instance | None:
    """Find or write down the instance that this request leads to, and claim it."""
    now = means.clock()
    async with means.db.transaction() as conn:
        found = await instance.of_user(conn, wanted.user_id, wanted.kind)
        made = found.id if found else await _write_down(conn, means, wanted, now)
        if made is None:
            return None
        await request.attach(conn, wanted, made)
        return await claim.claim_one(conn, made, worker=means.worker, lease=means.policy.lease, now=now)


async def _write_down(conn: Conn, means: Means, wanted: Request, now: datetime) -> UUID | None:
    gateway = await gateways.roomiest(conn, wanted.kind)
    if gateway is None:
        raise NoGatewayError("no gateway is configured")
    label = wanted.full_name or (wanted.email or "").split("@")[0] or "instance"
    made = await instance.add(
        conn,
        kind=wanted.kind,
        gateway=gateway,
        user=wanted.user_id,
        name=new_name(label),
        label=wanted.full_name or wanted.email,
        now=now,
    )
    if made is not None:
        secret = new_secret()
        sealed = means.vault.seal(secret, owner=made)
        await instance.add_secrets(conn, made, sealed=sealed, hashed=hash_secret(secret))
        started = await instance.get(conn, made)
        await event.tell(conn, "provisioning_started", now=now, of=started)
    return made


async def _create(means: Means, client: Gateway, claimed: Instance) -> None:
    webhook = await webhooks.wanted(means, client, claimed)
    began = means.clock()
    token, adopted = await _create_or_adopt(means, client, claimed, webhook)
    took_ms = round((means.clock() - began).total_seconds() * 1000)
    async with means.db.transaction() as conn:
        now = means.clock()
        # Read back from now on, whatever becomes of the request.
        changes = {"created_remotely_at": now, "webhook_due_at": now + means.policy.webhook_every}
        await _note(conn, means, claimed, changes)
        if token is not None:
            await instance.keep_token(conn, claimed.id, means.vault.seal(token, owner=claimed.id))
        kind = "instance_adopted" if adopted else "instance_created"
        facts = {"gateway": claimed.gateway, "took_ms": took_ms}
        await event.tell(conn, kind, now=now, of=claimed, facts=facts)


async def _create_or_adopt(
    means: Means, client: Gateway, claimed: Instance, webhook: Webhook
) -> tuple[str | None, bool]:
    """Create the instance, or adopt what an earlier try has left; return (token, adopted)."""
    if claimed.create_sent_at is not None:
        there = await client.find(claimed.name)
        if there is not None:
            return await _adopt(means, client, claimed, webhook, there.token)
        still_open = claimed.create_sent_at + client.facts.create_timeout + SETTLE_MARGIN
        if means.clock() < still_open:
            # An earlier create may still be on its way; a second one would destroy both.
            raise GatewayBusyError("an earlier create has not settled yet")
    await _note_sent(means, claimed)
    try:
        return await _send_create(means, client, claimed, webhook)
    except NameTakenError:
        there = await client.find(claimed.name)
        if there is None:
            await _rename(means, claimed)
            raise GatewayBusyError("the name is being deleted upstream; another is taken") from None
        return await _adopt(means, client, claimed, webhook, there.token)


async def _send_create(
    means: Means, client: Gateway, claimed: Instance, webhook: Webhook
) -> tuple[str | None, bool]:
    try:
        created = await client.create(claimed.name, webhook)
    except NameTakenError:
        raise
    except AmarreError as failed:
        unknown = isinstance(failed, GatewaySilentError) and not isinstance(failed, GatewayUnreachableError)
        if not unknown:
            # It was certainly not carried out. Otherwise the note stays, and the next try
            # looks before it does anything.
            await _note_not_sent(means, claimed)
        raise
    return created.token, False


async def _adopt(
    means: Means, client: Gateway, claimed: Instance, webhook: Webhook, token: str | None
) -> tuple[str | None, bool]:
    """Take over an instance of our name, unless its webhook says that it is somebody else's."""
    theirs = await client.webhook(claimed.name)
    if theirs is not None and theirs.url and theirs.url != webhook.url:
        await _rename(means, claimed)
        raise GatewayBusyError("the name belongs to somebody else; another is taken")
    return token, True


async def _note(conn: Conn, means: Means, claimed: Instance, changes: Mapping[str, object]) -> None:
    """Write down what this story did, if the instance is still its own.

    Raises:
        GatewayBusyError: the claim was lost; somebody else's notes count now.
    """
    fresh = await instance.lock(conn, claimed.id)
    if fresh is None or fresh.claim_no != claimed.claim_no:
        raise GatewayBusyError("the claim was lost: somebody else works on the instance")
    await instance.record(conn, claimed.id, changes, now=means.clock())


async def _note_sent(means: Means, claimed: Instance) -> None:
    async with means.db.transaction() as conn:
        await _note(conn, means, claimed, {"create_sent_at": means.clock()})


async def _note_not_sent(means: Means, claimed: Instance) -> None:
    async with means.db.transaction() as conn:
        await _note(conn, means, claimed, {"create_sent_at": None})


async def _rename(means: Means, claimed: Instance) -> None:
    async with means.db.transaction() as conn:
        changes = {"name": new_name(claimed.label), "create_sent_at": None}
        await _note(conn, means, claimed, changes)


async def _complete(means: Means, wanted: Request, claimed: Instance) -> str:
    client = means.gateway(claimed.gateway_id)
    async with means.db.transaction() as conn:
        named = await instance.get(conn, claimed.id)
    await webhooks.verify(means, client, named or claimed)
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, claimed.id)
        now = means.clock()
        if fresh is not None and fresh.created_remotely_at is None:
            raise GatewayBusyError("it was deleted upstream meanwhile, and is created again")
        if fresh is None or not await request.finish(conn, wanted, now=now):
            return "waiting"
        changes: dict[str, object] = {
            "webhook_configured_at": now,
            "webhook_checked_at": now,
            "webhook_due_at": now + means.policy.webhook_every,
        }
        if fresh.state in (State.CREATING, State.ERROR):
            changes |= {
                "state": State.CONNECTING,
                "reason": Reason.AWAITING_CODE,
                "pairing_until": now + means.window(fresh.kind),
                "due_at": now,
                "failures": 0,
                "error_code": None,
                "heard_at": now,
            }
        await instance.record(conn, fresh.id, changes, now=now)
        await event.tell(conn, "webhook_verified", now=now, of=fresh)
    return "completed"


async def _failed(means: Means, wanted: Request, failed: AmarreError) -> str:
    now = means.clock()
    follows = after_failure(
        failed.code,
        tries=wanted.retry_count,
        most=wanted.max_retries,
        failures=wanted.failures,
        now=now,
    )
    log.warning("provisioning_failed", request=str(wanted.id), code=failed.code, tries=wanted.retry_count)
    async with means.db.transaction() as conn:
        found = await instance.of_user(conn, wanted.user_id, wanted.kind)
        facts = {"code": failed.code}
        if isinstance(follows, GiveUp):
            if await request.fail(conn, wanted, code=failed.code, message=str(failed), now=now):
                if found is not None:
                    changes = {
                        "state": State.ERROR,
                        "reason": Reason.PROVISIONING_FAILED,
                        "error_code": failed.code,
                    }
                    await instance.record(conn, found.id, changes, now=now)
                await event.tell(
                    conn, "provisioning_failed", now=now, of=found, user=wanted.user_id, facts=facts
                )
            return "failed"
        kept = await request.retry(
            conn, wanted, at=follows.at, counts=follows.counts, code=failed.code, message=str(failed)
        )
        if kept and wanted.failures == 0:
            # Told once, not at each try: an outage of ten minutes is one line.
            await event.tell(conn, "provisioning_waits", now=now, of=found, user=wanted.user_id, facts=facts)
        if found is not None and found.gateway_id is not None:
            await gateways.ask_soon(conn, found.gateway_id, now=now)
    return "waiting"


async def retry(means: Means, instance_id: UUID, *, actor: str) -> None:
    """Try again to create an instance whose request was given up.

    Raises:
        ConflictError: there is nothing to try again.
    """
    now = means.clock()
    async with means.db.transaction() as conn:
        fresh = await instance.lock(conn, instance_id)
        if fresh is None or fresh.user_id is None or fresh.reason != Reason.PROVISIONING_FAILED:
            raise ConflictError("there is nothing to try again")
        await instance.record(conn, fresh.id, {"state": State.CREATING, "reason": None}, now=now)
        await request.ask_again(conn, user=fresh.user_id, kind=fresh.kind, instance=fresh.id, now=now)
        await event.tell(conn, "provisioning_retried", now=now, of=fresh, actor=actor)
