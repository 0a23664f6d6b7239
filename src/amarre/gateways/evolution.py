"""Evolution API over HTTP.

This file asks; `evolution_reading` understands. No call is repeated here, no redirect is
followed, and no more than `calls_at_once` calls are under way on one gateway.

Source:
    Recorded on Evolution API 2.3.7. The bodies are those of 2.1 and later; older versions
    are recognised by `about` and then refused.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from time import perf_counter
from typing import Any, ClassVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from amarre.core.instance import Heard
from amarre.gateways.base import (
    About,
    Connecting,
    Created,
    Delivery,
    Facts,
    Gateway,
    GatewayAccess,
    GatewayBusyError,
    GatewayInvalidError,
    GatewaySilentError,
    GatewayUnclearError,
    GatewayUnreachableError,
    Listed,
    Webhook,
)
from amarre.gateways.evolution_reading import fault, reply
from amarre.gateways.evolution_reading.delivery import read_delivery, redact

__all__ = ["Evolution"]

LARGEST_BODY = 8 * 2**20
# Node closes an idle connection after 5 s. A call on one that is just being closed ends as
# "no answer", and nobody knows whether it was carried out.
KEEP_ALIVE_S = 4
CONNECT_S = 4


class Evolution(Gateway):
    """One server of Evolution API.

    The session is opened by the first call, inside the loop that runs it; one that is
    handed in stays open on `close`. The three numbers replace those of `facts`, for a
    server that is known to be slower or faster.
    """

    facts: ClassVar[Facts] = Facts(
        kind="evolution",
        code_life=timedelta(seconds=45),
        pairing_window=timedelta(minutes=22, seconds=30),  # 30 codes of 45 s
        call_timeout=timedelta(seconds=8),
        create_timeout=timedelta(seconds=20),
        calls_at_once=10,
        instances_comfortable=80,
        events=(
            "QRCODE_UPDATED",
            "CONNECTION_UPDATE",
            "MESSAGES_UPSERT",
            "MESSAGES_UPDATE",
            "SEND_MESSAGE",
            "STATUS_INSTANCE",
            "LOGOUT_INSTANCE",
            "REMOVE_INSTANCE",
        ),
    )

    def __init__(
        self,
        access: GatewayAccess,
        *,
        session: aiohttp.ClientSession | None = None,
        call_timeout: timedelta | None = None,
        create_timeout: timedelta | None = None,
        calls_at_once: int | None = None,
    ) -> None:
        self._base = access.base_url.rstrip("/")
        self._key = access.key
        self._session = session
        self._owned = session is None
        self._call_timeout = call_timeout or self.facts.call_timeout
        self._create_timeout = create_timeout or self.facts.create_timeout
        self._calls_at_once = calls_at_once or self.facts.calls_at_once
        self._places = asyncio.Semaphore(self._calls_at_once)
        self._too_old: str | None = None  # the version, once `about` has found one not spoken here

    async def about(self) -> About:
        """Ask for the version, and remember when it is too old for the other calls.

        Each call makes the gateway ask web.whatsapp.com: slow is not dead.
        """
        began = perf_counter()
        answer = await self._ask("GET", "/", key=False)
        about = reply.about(answer, took=timedelta(seconds=perf_counter() - began))
        self._too_old = None if about.dialect == "v2" else about.version
        return about

    async def create(self, name: str, webhook: Webhook) -> Created:
        """Create an instance with its webhook, without starting to pair.

        Raises:
            NameTakenError: the name exists, or is still being deleted. Simultaneous creates
                of one name destroy one another: look at `find` before anything else.
        """
        # Without `qrcode` it answers in 0.1 s instead of 5, and opens no socket to WhatsApp.
        body = {
            "instanceName": _checked(name),
            "integration": "WHATSAPP-BAILEYS",
            "qrcode": False,
            "webhook": _webhook_body(webhook),
        }
        answer = await self._call("POST", "/instance/create", body=body, within=self._create_timeout)
        return reply.created(answer)

    async def find(self, name: str) -> Listed | None:
        """Read one instance from the list; None where there is none."""
        path = f"/instance/fetchInstances?instanceName={_quoted(name)}"
        return reply.found(await self._call("GET", path), name=name)

    async def list_all(self) -> list[Listed]:
        """Read all instances. It counts all messages of each: heavy on big databases."""
        return reply.listed(await self._call("GET", "/instance/fetchInstances"))

    async def state(self, name: str) -> Heard:
        """Ask what the connection is right now; MISSING and UNSURE are answers too."""
        return reply.state(await self._call("GET", f"/instance/connectionState/{_quoted(name)}"))

    async def connect(self, name: str, *, number: str | None = None) -> Connecting:
        """Start pairing if it is closed, and say which code is in memory.

        With `number` (digits) a closed instance also gives a pairing code to type in; one
        that is connecting ignores it.
        """
        query = "" if number is None else f"?number={_quoted(number)}"
        return reply.connecting(await self._call("GET", f"/instance/connect/{_quoted(name)}{query}"))

    async def restart(self, name: str) -> None:
        """Restart the session of an instance that is open or connecting; keeps the pairing.

        Raises:
            NotConnectedError: it is closed; `connect` is what starts it.
        """
        reply.restarted(await self._call("POST", f"/instance/restart/{_quoted(name)}"))

    async def logout(self, name: str) -> None:
        """End the pairing. Returns also where there was none."""
        reply.ended(await self._call("DELETE", f"/instance/logout/{_quoted(name)}"))

    async def delete(self, name: str) -> None:
        """Delete the instance, whatever its state. The name is free only when `state` is missing."""
        reply.deleted(await self._call("DELETE", f"/instance/delete/{_quoted(name)}"))

    async def webhook(self, name: str) -> Webhook | None:
        """Read where events are delivered; None where nothing was ever set."""
        return reply.webhook(await self._call("GET", f"/webhook/find/{_quoted(name)}"))

    async def set_webhook(self, name: str, webhook: Webhook) -> None:
        """Set where events are delivered, all of it; on, and with no path of its own for each event."""
        body = {"webhook": _webhook_body(webhook)}
        reply.webhook(await self._call("POST", f"/webhook/set/{_quoted(name)}", body=body))

    async def send_text(self, name: str, *, to: str, text: str) -> str:
        """Send a text to a number (digits only) and return the message's id.

        A session that died while `connecting` answers only after 60 s, so that this ends
        as `GatewaySilentError`: send only where the state is open.
        """
        body = {"number": to, "text": text}
        return reply.sent(await self._call("POST", f"/message/sendText/{_quoted(name)}", body=body))

    def read(self, body: Mapping[str, Any]) -> Delivery:
        """Read the JSON body of a webhook delivery."""
        return read_delivery(body)

    def redact(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of a delivery's body without tokens and without images."""
        return redact(body)

    async def close(self) -> None:
        """Close the connections, if they are ours. A later call opens new ones."""
        if self._owned and self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _call(
        self, verb: str, path: str, *, body: object = None, within: timedelta | None = None
    ) -> fault.Answer:
        if self._too_old is not None:
            raise reply.too_old(self._too_old)
        return await self._ask(verb, path, body=body, within=within)

    async def _ask(
        self,
        verb: str,
        path: str,
        *,
        body: object = None,
        within: timedelta | None = None,
        key: bool = True,
    ) -> fault.Answer:
        seconds = (within or self._call_timeout).total_seconds()
        async with (
            self._place(),
            _translated(verb, path),
            self._opened().request(
                verb,
                URL(self._base + path, encoded=True),
                json=body,
                headers={"apikey": self._key} if key else None,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_S, seconds)),
                allow_redirects=False,
                raise_for_status=False,
            ) as response,
        ):
            raw = await _bounded(response)
        return fault.parse(response.status, response.headers, raw, secret=self._key)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._calls_at_once, keepalive_timeout=KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    @asynccontextmanager
    async def _place(self) -> AsyncGenerator[None]:
        """Wait for a place among the calls under way, no longer than a call may take."""
        try:
            async with asyncio.timeout(self._call_timeout.total_seconds()):
                await self._places.acquire()
        except TimeoutError:
            raise GatewayBusyError("too many calls to this gateway are under way") from None
        try:
            yield
        finally:
            self._places.release()


@asynccontextmanager
async def _translated(verb: str, path: str) -> AsyncGenerator[None]:
    """Turn what can go wrong on the way into errors that say whether the call was carried out."""
    # Of the path only the route: what follows may be somebody's name or number.
    route = f"{verb} /{'/'.join(path.partition('?')[0].split('/')[1:3])}"
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise GatewayUnreachableError(f"no connection for {route}") from error
    except (TimeoutError, aiohttp.ClientConnectionError) as error:
        raise GatewaySilentError(f"no answer to {route}") from error
    except (ValueError, aiohttp.NonHttpUrlClientError):
        # Without the cause, here and below: its text is the whole address, with all that is in it.
        raise GatewayUnreachableError(f"the address or the key cannot be used for {route}") from None
    except aiohttp.ClientError as error:
        what = type(error).__name__
        raise GatewayUnclearError(f"the answer to {route} broke off or is not HTTP ({what})") from None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_chunked(2**16):
        raw += chunk
        if len(raw) > LARGEST_BODY:
            response.close()  # otherwise the rest would be read, to keep the connection
            raise GatewayUnclearError("the answer is larger than any that we know")
    return bytes(raw)


def _webhook_body(webhook: Webhook) -> dict[str, Any]:
    # Everything is said each time: what is left out keeps its old value upstream.
    return {
        "enabled": True,
        "url": webhook.url,
        "headers": dict(webhook.headers),
        "byEvents": False,
        "base64": False,
        "events": list(webhook.events),
    }


def _checked(name: str) -> str:
    # The gateway creates an instance without a name, and can then never delete it.
    if name in {"", ".", ".."}:
        raise GatewayInvalidError("this name cannot be part of an address")
    return name


def _quoted(name: str) -> str:
    return quote(_checked(name), safe="")
