"""One simulated instance: what it remembers, what its sockets do, what it tells its webhook.

Two truths live side by side, as upstream: `state` is memory, and current; `stored` is the
database, and only the last milestone. They disagree after the QR limit and while a paired
instance reconnects.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from amarre.simulators.evolution_code import BLANK, Shown, draw, make_code, make_pairing_code
from amarre.simulators.evolution_delivery import DeliveryDesk, Hook
from amarre.simulators.evolution_facts import EvolutionSettings, Json, State, instant
from amarre.simulators.evolution_faults import FaultBoard, FaultKind
from amarre.simulators.evolution_tasks import Pulse, Tasks

LIMIT_REACHED = {"message": "QR code limit reached, please login again", "statusCode": 500}


class NoLiveCodeError(Exception):
    """No code of this instance can be scanned now."""


class DeadCodeError(NoLiveCodeError):
    """This very code has expired, was used, or never was."""


class NotOpenError(Exception):
    """The instance is not connected to WhatsApp."""


@dataclass(frozen=True, slots=True)
class World:
    """What all instances of one simulated server share."""

    settings: EvolutionSettings
    faults: FaultBoard
    tasks: Tasks
    pulse: Pulse
    desk: DeliveryDesk
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Phone:
    """The phone that scanned. `number` is digits only."""

    number: str
    profile_name: str

    @property
    def jid(self) -> str:
        """Its address at WhatsApp."""
        return f"{self.number}@s.whatsapp.net"


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a session ended for good; kept in the database, also after the next pairing."""

    code: int
    at: datetime
    details: str


@dataclass(eq=False, slots=True)
class Socket:
    """One connection to WhatsApp. `code` is what it shows, None while it shows none."""

    code: str | None = None
    task: asyncio.Task[Any] | None = None

    def silence(self) -> None:
        """Stop it where it stands; it stays open."""
        self.code = None
        if self.task is not None:
            self.task.cancel()


@dataclass(eq=False, slots=True)
class Instance:
    """One simulated instance. `name`, `token` and the rest are Evolution's own fields."""

    name: str
    token: str
    remote_id: str
    world: World
    created_at: datetime
    number: str | None = None
    dialled: str | None = None  # the number that a pairing code is asked for
    switches: Json = field(default_factory=dict)
    switches_id: str = ""
    hook: Hook | None = None
    hook_id: str = ""
    hook_at: tuple[datetime, datetime] | None = None
    state: State = State.CLOSE
    stored: State = State.CLOSE
    loaded: bool = True
    ever_connected: bool = False
    shown: Shown = field(default_factory=Shown)
    sockets: list[Socket] = field(default_factory=list)
    phone: Phone | None = None  # of the session that lives
    owner: Phone | None = None  # of the last session, for ever
    sender: str | None = None
    ended: Ended | None = None
    contacts: set[str] = field(default_factory=set)
    messages: int = 0

    def tell(self, event: str, data: Any) -> None:
        """Send an event to the webhook, and wake whoever waits for a change."""
        self.world.desk.post(self.hook, event, data, name=self.name, token=self.token, sender=self.sender)
        self.world.pulse.beat()

    def live_code(self) -> str | None:
        """Return the newest code that a phone could scan now."""
        return next((socket.code for socket in reversed(self.sockets) if socket.code), None)

    def open_socket(self) -> None:
        """Connect to WhatsApp, beside whatever is open already.

        The state follows a moment later: who asks for a connection until then opens one more.
        """
        self.ever_connected = True
        socket = Socket()
        self.sockets.append(socket)
        socket.task = self.world.tasks.start(self._live(socket, after=self.world.settings.socket_delay))

    def restart_socket(self) -> None:
        """Close the newest socket and open another; a session is kept."""
        self._close_socket()
        self.open_socket()
        self.state = State.CONNECTING

    def storm(self, *, times: int, seconds: float) -> None:
        """Fail to reach WhatsApp so many times, then reach it."""
        self._close_socket()
        # A session that cannot reach WhatsApp reads `close` between two attempts; one that has
        # never been paired reads `connecting`. The database knows of neither.
        self.state = State.CONNECTING if self.phone is None else State.CLOSE
        self.ever_connected = True
        socket = Socket()
        self.sockets.append(socket)
        socket.task = self.world.tasks.start(self._storm(socket, times=times, pause_s=seconds / times))

    def scan(self, phone: Phone, *, code: str | None = None) -> None:
        """Scan a code: the newest live one, or exactly this one.

        Raises:
            DeadCodeError: this code cannot be scanned (any more).
            NoLiveCodeError: no code can.
        """
        wanted = self.live_code() if code is None else code
        socket = next((each for each in self.sockets if each.code and each.code == wanted), None)
        if socket is None:
            raise NoLiveCodeError(self.name) if code is None else DeadCodeError(code)
        for each in self.sockets:
            # The losers of parallel connects stay open, and nobody looks at them again.
            each.silence()
        self.sockets.remove(socket)
        self.sockets.append(socket)
        self.phone = phone
        socket.task = self.world.tasks.start(self._log_in())
        self.world.pulse.beat()

    def kick(self) -> None:
        """Lose the socket for a reason that Evolution repairs by itself: no `close` is ever told.

        Raises:
            NotOpenError: there is no session to lose.
        """
        self._need_open()
        self.restart_socket()

    def end(self, reason: int, *, details: Json) -> None:
        """End the session for good and tell it in Evolution's three events."""
        at = self.world.now()
        written = json.dumps({"error": details, "date": instant(at)}, separators=(",", ":"))
        self._close_socket()
        self.phone = None
        self.state = self.stored = State.CLOSE
        self.ended = Ended(reason, at, written)
        self.tell(
            "status.instance",
            {
                "instance": self.name,
                "status": "closed",
                "disconnectionAt": instant(at),
                "disconnectionReasonCode": reason,
                "disconnectionObject": written,
            },
        )
        self.tell("logout.instance", None)
        self._tell_connection(state="close", reason=reason)

    def close_all(self) -> None:
        """Close every socket without a word."""
        for socket in self.sockets:
            socket.silence()
        self.sockets.clear()

    def open_quietly(self, phone: Phone) -> None:
        """Be paired, without having told anybody."""
        self.phone = self.owner = phone
        self.ever_connected = True
        self.sender = phone.jid
        self.state = self.stored = State.OPEN
        self.sockets.append(Socket())

    def require_open(self) -> Phone:
        """Return the phone of the session.

        Raises:
            NotOpenError: there is none, or it is not connected right now.
        """
        self._need_open()
        assert self.phone is not None  # noqa: S101  # an open instance has a phone
        return self.phone

    def _need_open(self) -> None:
        if self.state is not State.OPEN:
            raise NotOpenError(self.name)

    def _close_socket(self) -> None:
        if self.sockets:
            self.sockets.pop().silence()

    async def _live(self, socket: Socket, *, after: timedelta) -> None:
        """Live through one connection: log in again, or show batches of codes until the limit."""
        await self._sleep(after)
        self.state = State.CONNECTING
        going_on = True
        while going_on:
            self._tell_connection(state="connecting")
            if self.world.faults.take(FaultKind.COUNT0, "connect", self.name):
                return  # WhatsApp never says anything; only a restart opens another socket
            if self.phone is not None:
                await self._sleep(self.world.settings.reconnect_delay)
                self._opened(self.phone)
                return
            await self._sleep(self.world.settings.qrcode_delay)
            going_on = await self._show_batch(socket)

    async def _show_batch(self, socket: Socket) -> bool:
        """Show one batch of codes, one after the other; False when the limit was reached."""
        for _ in range(self.world.settings.refs_per_socket):
            if self.shown.count >= self._limit():
                self._give_up(socket)
                return False
            self._show(socket)
            await self._sleep(self.world.settings.qr_life)
            socket.code = None
        return True

    def _limit(self) -> int:
        fault = self.world.faults.find(FaultKind.QR_LIMIT, "connect", self.name)
        return self.world.settings.qr_limit if fault is None or fault.number is None else fault.number

    def _show(self, socket: Socket) -> None:
        code = socket.code = make_code()
        self.stored = State.CONNECTING
        self.shown = Shown(
            count=self.shown.count + 1,
            code=code,
            pairing_code=None if self.dialled is None else make_pairing_code(),
            image=draw(code) if self.world.settings.draw_codes else BLANK,
        )
        said = self.shown.answer() | {"instance": self.name}
        del said["count"]
        self.tell("qrcode.updated", {"qrcode": said})

    def _give_up(self, socket: Socket) -> None:
        """Stop showing codes. The database goes on saying `connecting`, and no `close` is told."""
        self.sockets.remove(socket)
        for each in self.sockets:
            each.silence()
        self.shown = Shown()
        self.state = State.CLOSE
        self._tell_connection(state="refused", reason=428)
        self.tell("qrcode.updated", dict(LIMIT_REACHED))

    async def _log_in(self) -> None:
        await self._sleep(self.world.settings.reconnect_delay)
        self._tell_connection(state="connecting")
        await self._sleep(self.world.settings.reconnect_delay)
        assert self.phone is not None  # noqa: S101  # set by the scan that started this
        self._opened(self.phone)

    async def _storm(self, socket: Socket, *, times: int, pause_s: float) -> None:
        for _ in range(times):
            self._tell_connection(state="connecting")
            await asyncio.sleep(pause_s)
        await self._live(socket, after=timedelta())

    def _opened(self, phone: Phone) -> None:
        self.state = self.stored = State.OPEN
        self.owner = phone
        self.sender = phone.jid
        self.tell(
            "connection.update",
            {
                "instance": self.name,
                "wuid": phone.jid,
                "profileName": phone.profile_name,
                "state": "open",
                "statusReason": 200,
            },
        )

    def _tell_connection(self, *, state: str, reason: int = 200) -> None:
        self.tell("connection.update", {"instance": self.name, "state": state, "statusReason": reason})

    async def _sleep(self, real: timedelta) -> None:
        await asyncio.sleep(self.world.settings.pace(real))


def why(status: int, error: str, message: str, *, data: Json | None) -> Json:
    """Write why a session ended, as Baileys throws it and Evolution stores it."""
    return {
        "data": data,
        "isBoom": True,
        "isServer": False,
        "output": {
            "statusCode": status,
            "payload": {"statusCode": status, "error": error, "message": message},
            "headers": {},
        },
    }


def unlinked() -> Json:
    """Say that the phone's owner removed the device."""
    return why(
        401,
        "Unauthorized",
        "Stream Errored (conflict)",
        data={"tag": "conflict", "attrs": {"type": "device_removed"}},
    )


def banned() -> Json:
    """Say what WhatsApp says to a number that it bans."""
    return why(403, "Forbidden", "Connection Failure", data={"reason": "403", "location": "frc"})


def logged_out(name: str) -> Json:
    """Say that the API was asked to log out."""
    return why(401, "Unauthorized", f"Log out instance: {name}", data=None)
