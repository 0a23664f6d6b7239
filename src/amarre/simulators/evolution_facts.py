"""What is known of Evolution API 2.3.7: its durations, its calls, its events.

Source:
    Evolution API 2.3.7, recorded on a running server and read in its source, November 2026.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, cast

Json = dict[str, Any]


class State(StrEnum):
    """The connection, in Evolution's words."""

    CLOSE = "close"
    CONNECTING = "connecting"
    OPEN = "open"


class Call(StrEnum):
    """The calls that are counted, and that a fault can be aimed at."""

    ROOT = "root"
    CREATE = "create"
    CONNECT = "connect"
    STATE = "connectionState"
    FETCH = "fetchInstances"
    RESTART = "restart"
    LOGOUT = "logout"
    DELETE = "delete"
    WEBHOOK_SET = "webhookSet"
    WEBHOOK_FIND = "webhookFind"
    SETTINGS_SET = "settingsSet"
    SETTINGS_FIND = "settingsFind"
    SEND_TEXT = "sendText"


EVENTS = (
    "APPLICATION_STARTUP",
    "QRCODE_UPDATED",
    "MESSAGES_SET",
    "MESSAGES_UPSERT",
    "MESSAGES_EDITED",
    "MESSAGES_UPDATE",
    "MESSAGES_DELETE",
    "SEND_MESSAGE",
    "SEND_MESSAGE_UPDATE",
    "CONTACTS_SET",
    "CONTACTS_UPSERT",
    "CONTACTS_UPDATE",
    "PRESENCE_UPDATE",
    "CHATS_SET",
    "CHATS_UPSERT",
    "CHATS_UPDATE",
    "CHATS_DELETE",
    "GROUPS_UPSERT",
    "GROUP_UPDATE",
    "GROUP_PARTICIPANTS_UPDATE",
    "CONNECTION_UPDATE",
    "LABELS_EDIT",
    "LABELS_ASSOCIATION",
    "CALL",
    "TYPEBOT_START",
    "TYPEBOT_CHANGE_STATUS",
    "REMOVE_INSTANCE",
    "LOGOUT_INSTANCE",
    "INSTANCE_CREATE",
    "INSTANCE_DELETE",
    "STATUS_INSTANCE",
)

INTEGRATIONS = ("WHATSAPP-BAILEYS", "WHATSAPP-BUSINESS", "EVOLUTION")

SWITCHES = ("rejectCall", "groupsIgnore", "alwaysOnline", "readMessages", "readStatus", "syncFullHistory")

THINKING = {
    Call.ROOT: timedelta(milliseconds=80),
    Call.FETCH: timedelta(milliseconds=67),
    Call.DELETE: timedelta(milliseconds=50),
    Call.SEND_TEXT: timedelta(milliseconds=150),
}
"""How long the recorded server took, for the calls whose wait is not a setting of its own."""

THINKING_OTHERWISE = timedelta(milliseconds=12)


def _seconds(*numbers: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=number) for number in numbers)


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """How the simulated server is set up. The defaults are those of the real one.

    Every duration is divided by `speed`. `socket_delay` is how long a new socket is not seen in the
    state yet, and so how long a second `connect` opens another one. `create_work` is how long a
    create is at work, and so how long a second create of the same name destroys both.
    `delete_work` is how long a deleted name is still taken. `send_hang` is how long `sendText` hangs
    on a paired instance that has lost WhatsApp. Numbers that end in one of `absent_suffixes` are not
    on WhatsApp. `draw_codes=False` saves the drawing of QR images, for benches.
    """

    api_key: str = "simulated-global-key"
    version: str = "2.3.7"
    qr_life: timedelta = timedelta(seconds=45)
    qr_limit: int = 30
    refs_per_socket: int = 6
    socket_delay: timedelta = timedelta(milliseconds=50)
    qrcode_delay: timedelta = timedelta(milliseconds=150)
    create_work: timedelta = timedelta(milliseconds=70)
    create_qr_wait: timedelta = timedelta(seconds=5)
    connect_wait: timedelta = timedelta(seconds=2)
    reconnect_delay: timedelta = timedelta(milliseconds=80)
    delete_work: timedelta = timedelta(milliseconds=50)
    ack_delay: timedelta = timedelta(milliseconds=300)
    send_hang: timedelta = timedelta(seconds=60)
    webhook_retry_delays: tuple[timedelta, ...] = _seconds(5, 10, 20, 40, 80, 160, 300, 300, 300)
    webhook_retry_jitter: float = 0.2
    webhook_timeout: timedelta = timedelta(seconds=30)
    speed: float = 1.0
    realistic_delays: bool = False
    draw_codes: bool = True
    absent_suffixes: tuple[str, ...] = ("99999999", "639989999")

    def pace(self, real: timedelta) -> float:
        """Say how many seconds `real` takes here."""
        return real.total_seconds() / self.speed


FAST = EvolutionSettings(
    socket_delay=timedelta(milliseconds=20),
    qrcode_delay=timedelta(milliseconds=5),
    create_work=timedelta(milliseconds=20),
    create_qr_wait=timedelta(milliseconds=60),
    connect_wait=timedelta(milliseconds=60),
    reconnect_delay=timedelta(milliseconds=5),
    delete_work=timedelta(milliseconds=10),
    ack_delay=timedelta(milliseconds=5),
    send_hang=timedelta(milliseconds=200),
    webhook_retry_delays=_seconds(*[0.02] * 9),
    webhook_timeout=timedelta(seconds=2),
)
"""For tests: codes live as long as real ones, and nothing else makes anybody wait."""


def instant(moment: datetime) -> str:
    """Write a moment as JavaScript does, in milliseconds and with a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_object(value: Any) -> Json:
    """Read a JSON value as an object; whatever else it is has no fields."""
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any] | None:
    """Read a JSON value as a list, None where it is none."""
    return cast("list[Any]", value) if isinstance(value, list) else None
