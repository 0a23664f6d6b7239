"""Webhooks: kept at the door before they are answered, then applied in order of truth.

`Door` takes what arrives within a few milliseconds into one transaction and answers each
sender after its commit. `apply` asks the gateway what is true now before a delivery
changes a state: deliveries are repeated, delayed and reordered.
"""

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, cast
from uuid import UUID

import structlog

from amarre.core import backoff
from amarre.core.errors import AmarreError, UnauthenticatedError, UnavailableError
from amarre.core.instance import Heard, State, Told
from amarre.core.pairing import learn_skew
from amarre.flows.ask import Said, present
from amarre.flows.means import Means
from amarre.flows.settle import Drawn, draw, show, write
from amarre.gateways.base import Delivery, Gateway, GatewayUnclearError, Subject
from amarre.store import delivery, gateway, instance
from amarre.store.conn import Conn
from amarre.store.delivery import Arrival, Kept, Waiting
from amarre.store.instance import Instance
from amarre.store.vault import hash_secret

log = structlog.get_logger()

LEASE = timedelta(seconds=15)
MOST_AT_ONCE = 500
FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=30)
MATTERS = frozenset({Subject.CODE, Subject.CODE_LIMIT, Subject.CONNECTION, Subject.STATUS, Subject.REMOVED})


def arrival(client: Gateway, body: Mapping[str, Any], secret: str, now: datetime) -> Arrival:
    """Read a delivery at the door: who it is for, whether it matters, without its secrets.

    Raises:
        GatewayUnclearError: it is not a delivery of this gateway.
    """
    read = client.read(body)
    clean = {key: _storable(value) for key, value in client.redact(body).items()}
    text = json.dumps(clean, sort_keys=True, separators=(",", ":"))
    return Arrival(
        instance=read.instance,
        secret_hash=hash_secret(secret),
        event=read.event,
        subject=read.subject,
        body=clean,
        body_hash=hashlib.sha256(text.encode()).digest(),
        received_at=now,
        matters=read.subject in MATTERS,
    )


def _storable(value: Any) -> Any:
    """Leave out what a database cannot hold: zero bytes and halves of characters."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode().replace("\0", "")
        case dict():
            inside = cast("dict[str, Any]", value)
            return {_storable(key): _storable(inner) for key, inner in inside.items()}
        case list():
            return [_storable(inner) for inner in cast("list[Any]", value)]
        case _:
            return value


def arrival_from_any(means: Means, body: Mapping[str, Any], secret: str, now: datetime) -> Arrival:
    """Read a delivery at the door that all gateways of one kind share.

    Raises:
        GatewayUnclearError: it is not a delivery, or no gateway is configured.
    """
    client = next(iter(means.gateways.values()), None)
    if client is None:
        raise GatewayUnclearError("no gateway is configured, so no delivery is expected")
    return arrival(client, body, secret, now)


@dataclass(slots=True)
class Door:
    """Keeps deliveries, many in one commit. One for a process; `close` when it ends."""

    means: Means
    gather_s: float = 0.003
    most: int = 500
    _waiting: list[tuple[Arrival, asyncio.Future[UUID]]] = field(default_factory=list)
    _flusher: asyncio.Task[None] | None = None

    async def take(self, arrived: Arrival) -> UUID:
        """Keep a delivery; return its instance's id when it is committed.

        Raises:
            UnauthenticatedError: no instance of this name has this secret.
            DatabaseDownError: it could not be kept; the sender must try again.
        """
        kept: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrived, kept))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await kept

    async def _flush(self) -> None:
        await asyncio.sleep(self.gather_s)
        while self._waiting:
            taken, self._waiting = self._waiting[: self.most], self._waiting[self.most :]
            await self._keep(taken)

    async def _keep(self, taken: list[tuple[Arrival, asyncio.Future[UUID]]]) -> None:
        try:
            async with self.means.db.transaction() as conn:
                results = await delivery.keep(conn, [arrived for arrived, _ in taken])
        except UnavailableError as failed:
            _refuse([future for _, future in taken], failed)
        except Exception as failed:  # noqa: BLE001  # each sender must hear of it
            if len(taken) == 1:
                log.warning("delivery_not_kept", event=taken[0][0].event, error=type(failed).__name__)
                _refuse([taken[0][1]], failed)
                return
            # One that cannot be stored must not cost the others their answer.
            for one in taken:
                await self._keep([one])
        else:
            for (_, future), kept in zip(taken, results, strict=True):
                _answer(future, kept)

    @property
    def waiting(self) -> int:
        """How many senders wait for their answer."""
        return len(self._waiting)

    async def close(self) -> None:
        """Wait until everything that was taken is kept."""
        if self._flusher is not None:
            with suppress(asyncio.CancelledError):
                await self._flusher


def _answer(future: asyncio.Future[UUID], kept: Kept) -> None:
    if future.done():
        return  # the sender has gone
    if kept.instance_id is None:
        future.set_exception(UnauthenticatedError("not the secret of this instance"))
    else:
        future.set_result(kept.instance_id)


def _refuse(futures: Sequence[asyncio.Future[UUID]], failed: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(failed)


async def take(means: Means, now: datetime, limit: int) -> list[Coroutine[Any, Any, int]]:
    """Claim up to `limit` deliveries that wait; return a story an instance, to be awaited.

    Each story returns how many deliveries it has dealt with.
    """
    async with means.db.transaction() as conn:
        waiting = await delivery.claim_due(conn, lease=LEASE, limit=limit, now=now)
        known = await instance.get_many(conn, list({one.instance_id for one in waiting}))
        clocks = await gateway.skews(conn) if waiting else {}
    by_id = {one.id: one for one in known}
    ordered = sorted(waiting, key=lambda one: (str(one.instance_id), one.id))
    return [
        _apply_to(means, by_id[key], list(group), clocks.get(by_id[key].gateway_id or key))
        for key, group in groupby(ordered, key=lambda one: one.instance_id)
        if key in by_id
    ]


async def apply(means: Means, now: datetime) -> int:
    """Apply what waits; return how many deliveries that were."""
    return sum(await asyncio.gather(*await take(means, now, MOST_AT_ONCE)))


@dataclass(frozen=True, slots=True)
class Read:
    """A waiting delivery and what it says; the picture is drawn when it brings a code."""

    waiting: Waiting
    said: Delivery
    drawn: Drawn | None = None


async def _apply_to(means: Means, known: Instance, waiting: list[Waiting], skew: timedelta | None) -> int:
    try:
        client = means.gateway(known.gateway_id)
        reads = [await _read(client, one) for one in waiting]
        asked_at = means.clock()
        said = await present(client, known) if _must_ask(known, reads) else None
        async with means.db.transaction() as conn:
            await _record(conn, means, known, reads, said, asked_at=asked_at, skew=skew)
    except AmarreError as failed:
        await _postpone(means, waiting, failed)
    return len(waiting)


async def _read(client: Gateway, one: Waiting) -> Read:
    said = client.read(one.body)
    drawn = await asyncio.to_thread(draw, said.code) if said.code else None
    return Read(one, said, drawn)


def _must_ask(known: Instance, reads: Sequence[Read]) -> bool:
    """Say whether a delivery may change the state, so that the gateway must be asked first.

    A code for an instance that is being paired changes nothing but the code: no question.
    """
    return any(read.said.subject is not Subject.CODE or known.state != State.CONNECTING for read in reads)


async def _record(
    conn: Conn,
    means: Means,
    known: Instance,
    reads: Sequence[Read],
    said: Said | None,
    *,
    asked_at: datetime,
    skew: timedelta | None,
) -> None:
    fresh = await instance.lock(conn, known.id)
    still = await delivery.still_waiting(conn, [read.waiting.id for read in reads])
    reads = [read for read in reads if read.waiting.id in still]
    if fresh is None or not reads:
        return
    now = means.clock()
    if said is not None:
        told = said.told(_told(fresh, reads))
        await write(conn, fresh, said.heard, asked_at=asked_at, now=now, told=told)
    life = means.gateway(fresh.gateway_id).facts.code_life
    outcomes: dict[int, str | None] = {}
    for read in reads:
        outcomes[read.waiting.id], skew = await _code(conn, fresh.id, read, life=life, skew=skew, now=now)
    if skew is not None and fresh.gateway_id is not None:
        await gateway.learn_skew(conn, fresh.gateway_id, skew)
    await delivery.applied(conn, outcomes, now=now)


async def _code(
    conn: Conn, of: UUID, read: Read, *, life: timedelta, skew: timedelta | None, now: datetime
) -> tuple[str, timedelta | None]:
    """Show the code of a delivery, if it brings one; return the outcome and the clock's skew."""
    received_at, said_at = read.waiting.received_at, read.said.said_at
    if said_at is not None:
        skew = learn_skew(skew, received_at=received_at, said_at=said_at)
    current = await instance.lock(conn, of) if read.drawn else None
    if current is None or read.drawn is None:
        return "applied", skew
    outcome = await show(
        conn,
        current,
        read.drawn,
        life=life,
        received_at=received_at,
        now=now,
        said_at=said_at or received_at,
        skew=skew,
    )
    return outcome, skew


def _told(fresh: Instance, reads: Sequence[Read]) -> Told:
    """Sum up what deliveries tell, the latest word for each thing by the gateway's own clock."""
    ordered = sorted(reads, key=lambda one: one.said.said_at.timestamp() if one.said.said_at else 0.0)
    phone = profile_name = reason = None
    limit = restarted = False
    for read in ordered:
        one = read.said
        phone = one.phone or phone
        profile_name = one.profile_name or profile_name
        reason = one.reason if one.heard in (None, Heard.CLOSED) and one.reason else reason
        limit = limit or one.subject is Subject.CODE_LIMIT
        restarted = restarted or (one.heard is Heard.CONNECTING and _is_after_code(fresh, read))
    return Told(phone, profile_name, reason, limit, restarted)


def _is_after_code(fresh: Instance, read: Read) -> bool:
    """Say whether something was said after the live code was, by the gateway's clock if it can be."""
    if fresh.code_at is not None and read.waiting.received_at < fresh.code_at:
        return False
    said_at = read.said.said_at
    return fresh.code_said_at is None or said_at is None or said_at > fresh.code_said_at


async def _postpone(means: Means, waiting: list[Waiting], failed: AmarreError) -> None:
    log.warning("deliveries_wait", instance=str(waiting[0].instance_id), code=failed.code, n=len(waiting))
    failures = max(one.failures for one in waiting)
    pause = backoff.wait(failures + 1, first=FIRST_WAIT, most=LONGEST_WAIT)
    async with means.db.transaction() as conn:
        await delivery.postpone(conn, [one.id for one in waiting], at=means.clock() + pause)
