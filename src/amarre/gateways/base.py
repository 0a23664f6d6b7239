"""What every gateway can be asked, and what it may answer.

A gateway is a server that somebody else wrote: its answers are facts to be doubted, so
each one becomes one of the values below before it leaves this room. Errors are sorted by
what the caller may do next, not by status code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from amarre.core.errors import AmarreError
from amarre.core.instance import Heard


class GatewayError(AmarreError):
    """The gateway did not do what was asked."""

    code = "gateway_error"
    status = 502


class GatewaySilentError(GatewayError):
    """No answer in time. The call may or may not have been carried out.

    Safe to repeat for calls that only read. Before repeating one that changes
    something, check whether the change is there.
    """

    code = "gateway_silent"
    status = 504


class GatewayUnreachableError(GatewaySilentError):
    """No connection could be made: the call was certainly not carried out."""

    code = "gateway_unreachable"
    status = 502


class GatewayRefusedError(GatewayError):
    """Our key is not accepted. Nothing on this gateway will work until a person mends it."""

    code = "gateway_refused"


class GatewayUnlicensedError(GatewayError):
    """The gateway wants its licence activated (Evolution >= 2.4). A person must do that."""

    code = "gateway_unlicensed"
    status = 503


class GatewayBusyError(GatewayError):
    """The gateway asks us to slow down; `retry_after` says for how long, when it is known."""

    code = "gateway_busy"
    status = 503

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        """Keep the wait that the gateway asked for."""
        super().__init__(message)
        self.retry_after = retry_after


class GatewayBrokenError(GatewayError):
    """The gateway answered with an error of its own (5xx, or an error inside a 200)."""

    code = "gateway_broken"


class GatewayUnclearError(GatewayError):
    """The answer is not one that we can read. Nothing may be concluded from it."""

    code = "gateway_unclear"


class GatewayInvalidError(GatewayError):
    """The gateway says that our request is wrong (400): repeating it as it is cannot help."""

    code = "gateway_invalid"


class InstanceMissingError(GatewayError):
    """There is no instance of this name at the gateway."""

    code = "instance_missing"
    status = 404


class NameTakenError(GatewayError):
    """An instance of this name exists already, or is still being deleted (403 on create)."""

    code = "name_taken"
    status = 409


class NotConnectedError(GatewayError):
    """The instance is not connected to WhatsApp, so this cannot be done. Not a gateway failure."""

    code = "not_connected"
    status = 409


@dataclass(frozen=True, slots=True)
class Code:
    """A code to be scanned, as the gateway gave it.

    `text` is what the QR encodes. `count` is the gateway's own counter where it says one.
    A code that was seen before for this instance is dead, whatever the gateway says
    (contract, fact 1): freshness is the caller's to judge.
    """

    text: str = field(repr=False)
    pairing_code: str | None = field(default=None, repr=False)
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Connecting:
    """The answer to `connect`: the state, and the code in memory if there is one."""

    heard: Heard
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new instance. `token` is a secret: encrypt it at once, show it to nobody."""

    name: str
    token: str
    remote_id: str | None = None
    code: Code | None = None

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Created(name={self.name!r}, token='***', remote_id={self.remote_id!r})"


@dataclass(frozen=True, slots=True)
class Listed:
    """One instance in the gateway's list. `heard` is its last milestone, not its present state.

    `owner` is the number of the last pairing, digits only, kept after a logout (sticky).
    """

    name: str
    heard: Heard
    token: str | None = None
    remote_id: str | None = None
    owner: str | None = None
    profile_name: str | None = None
    disconnected_at: datetime | None = None
    disconnection_code: int | None = None
    disconnection_tag: str | None = None  # for example `device_removed`

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Listed(name={self.name!r}, heard={self.heard!r}, token='***', owner='***')"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a gateway delivers the events of an instance, and with which headers.

    `by_events` is read only: a gateway that has it on appends the event to the path, so
    that nothing arrives where it should. `set_webhook` always turns it off.
    """

    url: str
    headers: Mapping[str, str]
    events: tuple[str, ...]
    enabled: bool = True
    by_events: bool = False

    def __repr__(self) -> str:
        """Leave the header values out: one of them is the secret."""
        return f"Webhook(url={self.url!r}, events={len(self.events)}, enabled={self.enabled})"


class Subject(StrEnum):
    """What a delivery is about."""

    CODE = "code"
    CODE_LIMIT = "code_limit"  # the gateway stopped showing codes
    CONNECTION = "connection"
    STATUS = "status"  # why a connection ended
    REMOVED = "removed"  # the instance was deleted upstream
    MESSAGE = "message"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook's body, read. Times are the gateway's own and may be wrong by hours: order only.

    `phone` is the instance's own number, digits only. `reason` is the gateway's numeric
    reason where it says one. Of a message, only its id and, as `tag`, its status are read.
    """

    instance: str
    event: str
    subject: Subject
    said_at: datetime | None = None
    code: Code | None = None
    heard: Heard | None = None
    phone: str | None = field(default=None, repr=False)
    profile_name: str | None = field(default=None, repr=False)
    reason: int | None = None
    tag: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What a gateway says of itself."""

    version: str
    dialect: str
    took: timedelta


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a kind of gateway, for decisions.

    `code_life` is how long a code can be scanned; `pairing_window` how long the gateway
    goes on showing new ones before it stops by itself; `instances_comfortable` how many
    instances one server carries well.
    """

    kind: str
    code_life: timedelta
    pairing_window: timedelta
    call_timeout: timedelta
    create_timeout: timedelta
    calls_at_once: int
    instances_comfortable: int
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """Where a gateway is and the key to it."""

    name: str
    kind: str
    base_url: str
    key: str

    def __repr__(self) -> str:
        """Leave the key out."""
        return f"GatewayAccess(name={self.name!r}, kind={self.kind!r}, base_url={self.base_url!r})"


class Gateway(Protocol):
    """A server that holds WhatsApp connections.

    Every method may raise any `GatewayError`; each says in its docstring what it promises
    beyond that. No method retries: whether a second call is safe is the caller's to judge.
    """

    facts: ClassVar[Facts]

    async def about(self) -> About:
        """Ask for the version. Needs no key, so it proves reachability only."""
        ...

    async def create(self, name: str, webhook: Webhook) -> Created:
        """Create an instance with its webhook, without starting to pair.

        Raises:
            NameTakenError: the name exists. Look at `find` before doing anything else:
                simultaneous creates destroy one another.
        """
        ...

    async def find(self, name: str) -> Listed | None:
        """Read one instance from the list; None where there is none. Proves that the key is valid."""
        ...

    async def list_all(self) -> list[Listed]:
        """Read all instances in one call (heavy for the gateway: at most once a minute)."""
        ...

    async def state(self, name: str) -> Heard:
        """Ask what the connection is right now (cheap). Never raises `InstanceMissingError`."""
        ...

    async def connect(self, name: str) -> Connecting:
        """Start pairing if it is closed, and say which code is in memory.

        On a closed instance each call opens one more socket: never call twice at once.
        """
        ...

    async def restart(self, name: str) -> None:
        """Restart the session of an instance that is open or connecting; keeps the pairing."""
        ...

    async def logout(self, name: str) -> None:
        """End the pairing. Returns also where there was none."""
        ...

    async def delete(self, name: str) -> None:
        """Delete the instance. Asynchronous upstream: the name is free only when `state` is missing.

        Returns also where there was none.
        """
        ...

    async def webhook(self, name: str) -> Webhook | None:
        """Read where events are delivered; None where nothing was ever set.

        Raises:
            InstanceMissingError: there is no such instance.
        """
        ...

    async def set_webhook(self, name: str, webhook: Webhook) -> None:
        """Set where events are delivered. Read it back to be sure."""
        ...

    async def send_text(self, name: str, *, to: str, text: str) -> str:
        """Send a text to a number (digits only) and return the message's id. Accepted is not delivered.

        Raises:
            NotConnectedError: the instance is not connected.
            GatewayInvalidError: the number is not on WhatsApp.
        """
        ...

    def read(self, body: Mapping[str, Any]) -> Delivery:
        """Read the JSON body of a webhook delivery. Pure.

        Raises:
            GatewayUnclearError: it is not a delivery of this gateway.
        """
        ...

    def redact(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of a delivery's body without tokens and without images. Pure."""
        ...

    async def close(self) -> None:
        """Close the connections to the gateway."""
        ...
