"""The line from us over the gateway to the phone: which of the two links holds, and since when."""

from dataclasses import dataclass
from typing import Final

from amarre.core.instance import Reason, State
from amarre.store.instance import Instance
from amarre.web.i18n import Speech, speech
from amarre.web.pages import spoken
from amarre.web.pages.look import BLIND
from amarre.web.pages.view import Frame
from amarre.web.wording import mark

TAUT: Final = ("M0 18H100", "")
SLACK: Final = ("M0 18C25 36 75 36 100 18", "slack")
CUT: Final = ("M0 18C18 18 26 22 29 33M100 18C82 18 74 22 71 33", "")
LOST: Final = ("M0 18H100", "lost")


@dataclass(frozen=True, slots=True)
class Rope:
    """One link: its tone, its drawn shape and what is known of it."""

    tone: str
    path: str
    shape: str
    words: str


@dataclass(frozen=True, slots=True)
class Moor:
    """Both links, the gateway between them and the phone at the end."""

    near: Rope
    far: Rope
    gateway: str
    gateway_note: str
    phone: str
    phone_note: str
    held: bool


_GATEWAY: Final = {
    "silent": mark("no answer"),
    "broken": mark("answers with errors"),
    "refused": mark("refuses our key"),
    "unlicensed": mark("lacks its licence"),
    "unknown": mark("not asked yet"),
}
_FAR: Final = {
    Reason.AWAITING_CODE: ("move", SLACK, mark("waiting for the code")),
    Reason.CODE_SHOWN: ("move", SLACK, mark("code shown, not scanned yet")),
    Reason.SCANNED: ("move", SLACK, mark("scanned, WhatsApp completes the link")),
    Reason.RECONNECTING: ("move", SLACK, mark("coming back by itself")),
    Reason.PAIRING_EXPIRED: ("off", SLACK, mark("coiled: nobody is scanning")),
    Reason.UNLINKED: ("bad", CUT, mark("cut by the phone")),
    Reason.RESTRICTED: ("wait", CUT, mark("restricted by WhatsApp")),
    Reason.BANNED: ("bad", CUT, mark("banned by WhatsApp")),
    Reason.WEBHOOK_MISSING: ("wait", LOST, mark("nothing reaches us without the webhook")),
    Reason.PROVISIONING_FAILED: ("bad", LOST, mark("not created")),
    Reason.GATEWAY_UNLICENSED: ("wait", LOST, mark("waits for the licence")),
}


def moor(found: Instance, frame: Frame) -> Moor:
    """Draw the line of an instance."""
    say = speech(frame.lang)
    held = found.state == State.CONNECTED
    number = spoken.phone(found.phone)
    return Moor(
        near=_near(found, frame, say),
        far=_far(found, frame, say),
        gateway=found.gateway or say("No gateway yet"),
        gateway_note=_software(found),
        phone=number or say("Phone"),
        phone_note=_phone_note(found, frame, say),
        held=held,
    )


def _software(found: Instance) -> str:
    kind = {"evolution": "Evolution", "green": "Green API"}.get(found.kind, found.kind)
    return f"{kind} {found.gateway_version}" if found.gateway_version else kind


def _near(found: Instance, frame: Frame, say: Speech) -> Rope:
    state = found.gateway_state or "unknown"
    if state in _GATEWAY:
        tone = "off" if state == "unknown" else "bad"
        drawn = LOST if state == "unknown" else CUT
        return Rope(tone, *drawn, say(_GATEWAY[state]))
    return Rope("ok", *TAUT, " · ".join(_known(found, frame, say)))


def _known(found: Instance, frame: Frame, say: Speech) -> list[str]:
    words = [spoken.milliseconds(found.response_ms, frame.lang)] if found.response_ms is not None else []
    if found.webhook_checked_at is not None:
        at = spoken.exact(found.webhook_checked_at, frame.now, frame.zone, frame.lang)
        words.append(say("webhook verified at %(time)s", time=at))
    return words or [say("answers")]


def _far(found: Instance, frame: Frame, say: Speech) -> Rope:
    if found.gateway_state in BLIND:
        return Rope("off", *LOST, say("state unknown"))
    if found.state == State.CONNECTED:
        since = spoken.since(found.connected_at or found.state_since, frame.now, frame.lang)
        return Rope("ok", *TAUT, say("taut %(since)s", since=since))
    if found.reason is None or found.state == State.CREATING:
        return Rope("move", *LOST, say("being created"))
    tone, drawn, words = _FAR[Reason(found.reason)]
    return Rope(tone, *drawn, say(words))


def _phone_note(found: Instance, frame: Frame, say: Speech) -> str:
    if found.state != State.CONNECTED:
        return say("waiting")
    if found.last_traffic_at is None:
        return say("no traffic yet")
    return say("traffic %(ago)s", ago=spoken.ago(found.last_traffic_at, frame.now, frame.lang))
