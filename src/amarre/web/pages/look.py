"""How a state looks: the shape of its line, its tone, its word. One table for all pages."""

from dataclasses import dataclass
from typing import Final

from amarre.core.instance import Reason, State
from amarre.web.i18n import speech
from amarre.web.wording import mark

BLIND: Final = frozenset({"silent", "refused", "unlicensed", "broken"})


@dataclass(frozen=True, slots=True)
class Look:
    """A tone (`ok move wait bad off`), a glyph of glyphs.svg and the word beside it."""

    tone: str
    glyph: str
    word: str


_BY_REASON: Final = {
    Reason.AWAITING_CODE: ("move", "g-slack", mark("Awaiting code")),
    Reason.CODE_SHOWN: ("move", "g-slack", mark("Ready to scan")),
    Reason.SCANNED: ("move", "g-knot", mark("Scanned")),
    Reason.RECONNECTING: ("move", "g-wave", mark("Reconnecting")),
    Reason.PAIRING_EXPIRED: ("off", "g-rest", mark("Resting")),
    Reason.UNLINKED: ("bad", "g-cut", mark("Unlinked")),
    Reason.RESTRICTED: ("wait", "g-barred", mark("Restricted")),
    Reason.BANNED: ("bad", "g-barred", mark("Banned")),
    Reason.WEBHOOK_MISSING: ("wait", "g-barred", mark("Webhook missing")),
    Reason.PROVISIONING_FAILED: ("bad", "g-barred", mark("Not created")),
    Reason.GATEWAY_UNLICENSED: ("wait", "g-barred", mark("Licence missing")),
}
_BY_STATE: Final = {
    State.CREATING: ("move", "g-new", mark("Creating")),
    State.CONNECTING: ("move", "g-slack", mark("Connecting")),
    State.CONNECTED: ("ok", "g-taut", mark("Connected")),
    State.DISCONNECTED: ("bad", "g-cut", mark("Unlinked")),
    State.ERROR: ("bad", "g-barred", mark("In error")),
}
_UNKNOWN: Final = ("off", "g-host", mark("Unknown"))


def look(state: str, reason: str | None, gateway_state: str | None, lang: str) -> Look:
    """Say how a state looks. What a gateway that cannot be asked once said is not claimed."""
    tone, glyph, word = _drawn(State(state), Reason(reason) if reason else None, gateway_state)
    return Look(tone, glyph, speech(lang)(word))


def _drawn(state: State, reason: Reason | None, gateway_state: str | None) -> tuple[str, str, str]:
    if gateway_state in BLIND and state in (State.CONNECTED, State.CONNECTING):
        return _UNKNOWN
    if reason is not None and state is not State.CREATING:
        return _BY_REASON[reason]
    return _BY_STATE[state]


def group(state: str, reason: str | None) -> str:
    """Name the group of the fleet that a state belongs to: what needs a person comes first."""
    if state == State.ERROR or reason == Reason.UNLINKED:
        return "attention"
    match State(state):
        case State.CREATING | State.CONNECTING:
            return "moving"
        case State.CONNECTED:
            return "connected"
        case _:
            return "resting"
