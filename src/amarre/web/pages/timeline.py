"""What happened, told to a reader: an event's kind and facts become a line of the timeline.

The tone is the connection's at that moment. A kind that is not listed here still reads
acceptably: its name in plain words, its facts beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from amarre.store.event import Event
from amarre.web.i18n import Speech, error_text, speech
from amarre.web.pages.spoken import NOTHING, phone, seconds
from amarre.web.wording import mark

PUSHED: Final = mark("Pushed by the gateway, valid for %(valid_s)s s")
POLLED: Final = mark("Asked of the gateway, valid for %(valid_s)s s")
FIRST_CODE: Final = mark("First code shown")
NEXT_CODE: Final = mark("Code %(number)s shown")


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the timeline, without its time. `big`: it mattered. `person`: somebody did it."""

    tone: str
    title: str
    detail: str = ""
    big: bool = False
    person: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the timeline at its time."""

    id: int
    at: datetime
    told: Told


_LINES: Final[dict[str, Told]] = {
    "signed_up": Told("off", mark("The customer signed up"), person=True),
    "sign_up_not_taken": Told(
        "bad", mark("A sign-up could not be taken"), mark("It is tried again by itself")
    ),
    "provisioning_started": Told("off", mark("Creation begun")),
    "instance_created": Told(
        "wait", mark("Instance created on %(gateway)s"), mark("Created once, in %(took)s")
    ),
    "instance_adopted": Told(
        "wait", mark("Instance found on %(gateway)s"), mark("It existed already and is ours")
    ),
    "webhook_verified": Told("wait", mark("Webhook set, then read back"), mark("The same as was asked for")),
    "webhook_drifted": Told(
        "wait", mark("Webhook lost at the gateway"), mark("It is set again by itself"), big=True
    ),
    "webhook_set_again": Told("ok", mark("Webhook set again, then read back")),
    "pairing_started": Told("move", mark("%(who)s asked for a code"), person=True),
    "pairing_woken": Told("move", mark("Woken: somebody looks"), mark("A new code comes in 2 to 5 s")),
    "pairing_stopped": Told("off", mark("%(who)s stopped pairing"), person=True),
    "pairing_expired": Told(
        "off", mark("At rest"), mark("Nobody scanned in time; opening the page wakes it"), big=True
    ),
    "pairing_link_created": Told(
        "move", mark("%(who)s made a pairing link"), mark("It works once"), person=True
    ),
    "pairing_link_opened": Told("move", mark("The pairing link was opened"), person=True),
    "page_opened": Told(
        "move", mark("%(who)s opened this page"), mark("The code stays live meanwhile"), person=True
    ),
    "code_shown": Told("move", NEXT_CODE, PUSHED),
    "code_scanned": Told("move", mark("Code scanned"), mark("WhatsApp completes the link"), big=True),
    "connected": Told("ok", mark("Connected"), mark("Number %(phone)s"), big=True),
    "number_known": Told("ok", mark("The number is known"), mark("Number %(phone)s")),
    "reconnecting": Told("move", mark("Reconnecting"), mark("It usually comes back by itself")),
    "unlinked": Told(
        "bad", mark("Unlinked"), mark("The phone ended the link; it must be scanned again"), big=True
    ),
    "banned": Told(
        "bad", mark("Banned by WhatsApp"), mark("The number’s owner must turn to WhatsApp"), big=True
    ),
    "restricted": Told(
        "wait", mark("Restricted by WhatsApp"), mark("It ends by itself; do not pair again"), big=True
    ),
    "deleted_upstream": Told(
        "bad", mark("Deleted at the gateway"), mark("It is created again by itself"), big=True
    ),
    "removed": Told("off", mark("Instance removed"), mark("Logged out and deleted at the gateway"), big=True),
    "provisioning_failed": Told("bad", mark("Creation given up"), "%(reason)s", big=True),
    "provisioning_waits": Told("wait", mark("Creation waits"), "%(reason)s"),
    "provisioning_retried": Told("move", mark("%(who)s asked to try again"), person=True),
    "gateway_silent": Told("off", mark("Gateway %(gateway)s is silent"), "%(reason)s", big=True),
    "gateway_broken": Told("off", mark("Gateway %(gateway)s is broken"), "%(reason)s", big=True),
    "gateway_refused": Told("bad", mark("Gateway %(gateway)s refuses our key"), "%(reason)s", big=True),
    "gateway_unlicensed": Told("wait", mark("Gateway %(gateway)s lacks its licence"), "%(reason)s", big=True),
    "gateway_back": Told("ok", mark("Gateway %(gateway)s is back")),
    "state_corrected": Told(
        "move", mark("State corrected"), mark("The gateway was asked: a notice had been missed")
    ),
}


def tell(event: Event, lang: str) -> Entry:
    """Make the line of one event."""
    return Entry(event.id, event.at, line(event.kind, event.facts, event.actor, lang))


def story(events: Sequence[Event], lang: str) -> tuple[Entry, ...]:
    """Make a timeline, in the order of the events."""
    return tuple(tell(one, lang) for one in events)


def line(kind: str, facts: Mapping[str, Any], actor: str | None, lang: str) -> Told:
    """Say in words what happened."""
    say = speech(lang)
    values = _values(facts, actor, lang)
    drawn = _LINES.get(kind)
    if drawn is None:
        return Told("off", _plain(kind), _listed(facts), person=actor is not None)
    if kind == "code_shown":
        return _code(values, say)
    return Told(
        drawn.tone,
        say(drawn.title, **values),
        _detail(drawn.detail, values, say),
        drawn.big,
        drawn.person,
    )


def _values(facts: Mapping[str, Any], actor: str | None, lang: str) -> dict[str, str]:
    values = {key: str(value) for key, value in facts.items() if value is not None}
    say = speech(lang)
    values["who"] = str(facts.get("who") or actor or say("Somebody"))
    if "took_ms" in values:
        values["took"] = seconds(float(values["took_ms"]), lang)
    if "phone" in values:
        values["phone"] = phone(values["phone"]) or ""
    if "code" in values:
        values["reason"] = error_text(values["code"], facts, lang)
    return values


def _code(values: dict[str, str], say: Speech) -> Told:
    first = values.get("number") == "1"
    detail = POLLED if values.get("by") == "poll" else PUSHED
    return Told("move", say(FIRST_CODE if first else NEXT_CODE, **values), _detail(detail, values, say))


def _detail(text: str, values: dict[str, str], say: Speech) -> str:
    """Say a detail, or nothing where its facts are not known."""
    if not text:
        return ""
    if text == "%(reason)s":
        return values.get("reason", "")
    said = say(text, **values)
    return "" if NOTHING in said else said


def _plain(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


def _listed(facts: Mapping[str, Any]) -> str:
    return " · ".join(
        f"{key.replace('_', ' ')}: {value}" for key, value in facts.items() if value is not None
    )
