"""Webhook deliveries as Evolution makes them: one by one, each on its own, with retries.

Nothing keeps two deliveries in order once one of them is retried, and nothing survives a
restart: that is how the real server does it.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import SystemRandom
from typing import Any

import aiohttp

from amarre.simulators.evolution_facts import EvolutionSettings, Json, instant
from amarre.simulators.evolution_faults import FaultBoard, FaultKind
from amarre.simulators.evolution_tasks import Pulse, Tasks

NOT_RETRIED = frozenset({400, 401, 403, 404, 422})
REORDER_HOLD_S = 1.0
_CHANCE = SystemRandom()


@dataclass(frozen=True, slots=True)
class Hook:
    """Where an instance delivers its events. `events` are UPPER_SNAKE, as subscribed."""

    url: str
    events: tuple[str, ...]
    headers: Mapping[str, str] | None = None
    enabled: bool = True
    by_events: bool = False
    base64: bool = False

    def wants(self, event: str) -> bool:
        """Say whether this event is delivered. What is no URL is stored, and never called."""
        subscribed = event.replace(".", "_").upper() in self.events
        return self.enabled and subscribed and self.url.startswith(("http://", "https://"))

    def target(self, event: str) -> str:
        """Say where the event goes. `byEvents` is appended blindly, even behind a query string."""
        return f"{self.url}/{event.replace('.', '-')}" if self.by_events else self.url


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver one event. `status` is None where nobody answered."""

    instance: str
    event: str
    number: int
    status: int | None


def bearer(key: str, *, now: datetime) -> str:
    """Sign the token that stands in for the `jwt_key` header: HS256, valid for ten minutes."""
    issued = int(now.timestamp())
    claims = {"iat": issued, "exp": issued + 600, "app": "evolution", "action": "webhook"}
    signed = b".".join(_jwt_part(part) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    seal = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + _base64url(seal)).decode()


def _jwt_part(part: Json) -> bytes:
    return _base64url(json.dumps(part, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class DeliveryDesk:
    """Delivers events and keeps the last thousand attempts."""

    def __init__(
        self,
        settings: EvolutionSettings,
        *,
        faults: FaultBoard,
        tasks: Tasks,
        pulse: Pulse,
        now: Callable[[], datetime],
    ) -> None:
        self.attempts: deque[Attempt] = deque(maxlen=1000)
        self.server_url = ""
        self._settings = settings
        self._faults = faults
        self._tasks = tasks
        self._pulse = pulse
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._held: asyncio.Event | None = None

    async def open(self, server_url: str) -> None:
        """Get ready to deliver in the name of this server."""
        self.server_url = server_url
        timeout = aiohttp.ClientTimeout(total=self._settings.pace(self._settings.webhook_timeout))
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)

    async def close(self) -> None:
        """Stop delivering. What was not delivered is lost, as upstream."""
        if self._session is not None:
            await self._session.close()

    def post(
        self, hook: Hook | None, event: str, data: Any, *, name: str, token: str, sender: str | None
    ) -> None:
        """Deliver an event, in the background, to whoever subscribed to it."""
        if hook is None or not hook.wants(event):
            return
        body: Json = {
            "event": event,
            "instance": name,
            "data": data,
            "destination": hook.url,
            "date_time": instant(self._now()),
            **({} if sender is None else {"sender": sender}),
            "server_url": self.server_url,
            "apikey": token,
        }
        self._tasks.start(self._carry(hook, body))

    async def _carry(self, hook: Hook, body: Json) -> None:
        event, name = body["event"], body["instance"]
        if self._faults.take(FaultKind.DROP_WEBHOOKS, event, name):
            return
        if late := self._faults.take(FaultKind.DELAY_WEBHOOKS, event, name):
            await late.last()
        if self._faults.take(FaultKind.REORDER_WEBHOOKS, event, name):
            await self._swap(hook, body)
            return
        await self._insist(hook, body)
        if self._faults.take(FaultKind.DUPLICATE_WEBHOOKS, event, name):
            await self._insist(hook, body)

    async def _swap(self, hook: Hook, body: Json) -> None:
        """Hold every first one back until the next one has overtaken it."""
        if self._held is None:
            overtaken = self._held = asyncio.Event()
            try:
                async with asyncio.timeout(REORDER_HOLD_S):
                    await overtaken.wait()
            except TimeoutError:
                self._held = None
            await self._insist(hook, body)
            return
        overtaken, self._held = self._held, None
        await self._insist(hook, body)
        overtaken.set()

    async def _insist(self, hook: Hook, body: Json) -> None:
        delays = self._settings.webhook_retry_delays
        for number in range(1, len(delays) + 2):
            status = await self._try(hook, body)
            self.attempts.append(Attempt(body["instance"], body["event"], number, status))
            self._pulse.beat()
            delivered = status is not None and status < 300  # noqa: PLR2004  # 2xx, as axios reads it
            if delivered or status in NOT_RETRIED or number > len(delays):
                return
            spread = self._settings.webhook_retry_jitter
            factor = _CHANCE.uniform(1 - spread, 1 + spread)
            await asyncio.sleep(self._settings.pace(delays[number - 1]) * factor)

    async def _try(self, hook: Hook, body: Json) -> int | None:
        if self._session is None:
            raise RuntimeError("the desk is not open")
        payload = json.dumps(body, ensure_ascii=False).encode()
        try:
            async with self._session.post(
                hook.target(body["event"]), data=payload, headers=self._headers(hook)
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _headers(self, hook: Hook) -> dict[str, str]:
        headers = {
            "Accept": "application/json, text/plain, */*",
            "Content-Type": "application/json",
            **(hook.headers or {}),
            "User-Agent": "axios/1.13.2",
            "Accept-Encoding": "gzip, compress, deflate, br",
        }
        if (key := headers.pop("jwt_key", None)) is not None:
            headers["Authorization"] = f"Bearer {bearer(key, now=self._now())}"
        return headers
