"""What an instance's connection is, and what changes it.

`settle` is the whole policy: it takes what we knew, what the gateway says *now* and what
its deliveries told, and returns the next state. Arrival order decides nothing: a delivery
is a hint to ask, and the answer is what counts. See docs/explanation/states.md for the
picture.
"""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never


class State(StrEnum):
    """The five words of an instance."""

    CREATING = "creating"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ERROR = "error"


class Reason(StrEnum):
    """Why an instance is in its state: what a person reads, and what decides the next step."""

    AWAITING_CODE = "awaiting_code"
    CODE_SHOWN = "code_shown"
    SCANNED = "scanned"
    RECONNECTING = "reconnecting"
    PAIRING_EXPIRED = "pairing_expired"
    UNLINKED = "unlinked"
    RESTRICTED = "restricted"
    BANNED = "banned"
    WEBHOOK_MISSING = "webhook_missing"
    PROVISIONING_FAILED = "provisioning_failed"
    GATEWAY_UNLICENSED = "gateway_unlicensed"


class Heard(StrEnum):
    """What a gateway says of the connection right now."""

    OPEN = "open"
    CONNECTING = "connecting"
    CLOSED = "closed"
    MISSING = "missing"  # no such instance
    UNSURE = "unsure"  # it answered, but did not say


class Then(StrEnum):
    """What is to be done next at the gateway."""

    NOTHING = "nothing"
    LOOK_AGAIN = "look_again"  # at `due_at`
    START_PAIRING = "start_pairing"  # ask it to connect, once
    CREATE_AGAIN = "create_again"  # it was deleted behind our back
    STOP_PAIRING = "stop_pairing"  # nobody looks any more: end the gateway's own loop


@dataclass(frozen=True, slots=True)
class Known:
    """What we knew of an instance when the question was asked.

    `code_expires_at` is None when no code is shown. `paired` says that it has been
    connected since its last creation. `looked_at` means: inside its pairing window, or
    somebody looks at it right now.
    """

    state: State
    reason: Reason | None
    phone: str | None = None
    code_expires_at: datetime | None = None
    paired: bool = False
    pairing_until: datetime | None = None
    watched_until: datetime | None = None
    state_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What deliveries told since then: hints, in no reliable order.

    `reason` is the gateway's number for an ended connection (401 unlinked, 403 banned,
    402 and 406 restricted). `limit` means that it stopped showing codes. `restarted`
    means that it said `connecting` since the code was shown.
    """

    phone: str | None = None
    profile_name: str | None = None
    reason: int | None = None
    limit: bool = False
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """The state that follows, what to do, and when to look again (None: when told)."""

    state: State
    reason: Reason | None
    then: Then = Then.NOTHING
    due_at: datetime | None = None
    clear_code: bool = True
    phone: str | None = None


NOTHING_TOLD = Told()

FIRST_LOOK = timedelta(seconds=5)
SCAN_PATIENCE = timedelta(seconds=20)
RECONNECT_LOOK = timedelta(seconds=30)
RESTING_LOOK = timedelta(minutes=5)
ROTATION_SLACK = timedelta(seconds=3)

UNLINKED_CODE = 401
_ENDED = {
    UNLINKED_CODE: (State.DISCONNECTED, Reason.UNLINKED),
    402: (State.ERROR, Reason.RESTRICTED),
    403: (State.ERROR, Reason.BANNED),
    406: (State.ERROR, Reason.RESTRICTED),
}


def wants_code(known: Known, now: datetime) -> bool:
    """Say whether a live code is owed to somebody: inside the pairing window, or watched."""
    return any(until is not None and now < until for until in (known.pairing_until, known.watched_until))


def settle(known: Known, heard: Heard, now: datetime, told: Told = NOTHING_TOLD) -> Next:
    """Decide the next state from what the gateway says now; deliveries only add detail."""
    match heard:
        case Heard.OPEN:
            return Next(State.CONNECTED, None, phone=told.phone or known.phone)
        case Heard.CONNECTING:
            return _connecting(known, now, told)
        case Heard.CLOSED:
            return _closed(known, now, told)
        case Heard.MISSING:
            return _missing(known, now)
        case Heard.UNSURE:
            return _unsure(known, now)
        case _:
            assert_never(heard)


def _unchanged(known: Known, due_at: datetime | None) -> Next:
    return Next(known.state, known.reason, Then.LOOK_AGAIN, due_at, clear_code=False, phone=known.phone)


def _unsure(known: Known, now: datetime) -> Next:
    if known.code_expires_at is not None and known.code_expires_at <= now:
        # Whatever the gateway would have said: this code has died, and must leave the screen.
        return Next(known.state, Reason.AWAITING_CODE, Then.LOOK_AGAIN, now + FIRST_LOOK, phone=known.phone)
    return _unchanged(known, now + FIRST_LOOK)


def _connecting(known: Known, now: datetime, told: Told) -> Next:
    if _held(known):
        return Next(
            State.CONNECTING, Reason.RECONNECTING, Then.LOOK_AGAIN, now + RECONNECT_LOOK, phone=known.phone
        )
    if _was_scanned(known, now, told):
        return Next(State.CONNECTING, Reason.SCANNED, Then.LOOK_AGAIN, now + SCAN_PATIENCE)
    if (patient_until := _patient_until(known)) is not None and now < patient_until:
        return _unchanged(known, patient_until)
    if wants_code(known, now):
        return Next(State.CONNECTING, Reason.AWAITING_CODE, Then.LOOK_AGAIN, now + FIRST_LOOK)
    if known.state in (State.DISCONNECTED, State.ERROR) and known.reason is not Reason.PAIRING_EXPIRED:
        return _unchanged(known, None)
    return Next(State.DISCONNECTED, Reason.PAIRING_EXPIRED, Then.STOP_PAIRING)


def _patient_until(known: Known) -> datetime | None:
    """Say until when nothing needs to be done: a code is live, or a scan is being completed."""
    if known.code_expires_at is not None:
        return known.code_expires_at
    if known.reason is Reason.SCANNED and known.state_since is not None:
        return known.state_since + SCAN_PATIENCE
    return None


def _was_scanned(known: Known, now: datetime, told: Told) -> bool:
    """Say whether a session that restarts does so because its code was scanned.

    It restarts while the code is still good. At the end of a code's life the same word
    only means that new ones are coming.
    """
    if not told.restarted:
        return False
    if known.reason is Reason.SCANNED:
        return True
    good_until = known.code_expires_at
    return known.reason is Reason.CODE_SHOWN and good_until is not None and now < good_until - ROTATION_SLACK


def _closed(known: Known, now: datetime, told: Told) -> Next:
    if told.reason in _ENDED and (_held(known) or told.reason != UNLINKED_CODE):
        # 401 also follows when an instance that nobody has scanned is logged out.
        state, reason = _ENDED[told.reason]
        return Next(state, reason)
    match known.state:
        case State.CONNECTED | State.CONNECTING if _held(known):
            return Next(State.DISCONNECTED, Reason.UNLINKED)
        case State.CREATING | State.CONNECTING | State.CONNECTED:
            if wants_code(known, now) and not (told.limit and not _watched(known, now)):
                return Next(State.CONNECTING, Reason.AWAITING_CODE, Then.START_PAIRING, now)
            return Next(State.DISCONNECTED, Reason.PAIRING_EXPIRED)
        case State.DISCONNECTED | State.ERROR:
            return Next(known.state, known.reason)
        case _:
            assert_never(known.state)


def _held(known: Known) -> bool:
    return known.state is State.CONNECTED or known.reason is Reason.RECONNECTING


def _missing(known: Known, now: datetime) -> Next:
    lost = known.paired and known.reason is not Reason.PAIRING_EXPIRED
    if lost or known.state in (State.CREATING, State.CONNECTING) or wants_code(known, now):
        return Next(State.CREATING, None, Then.CREATE_AGAIN, now)
    return Next(State.DISCONNECTED, Reason.PAIRING_EXPIRED)


def _watched(known: Known, now: datetime) -> bool:
    return known.watched_until is not None and now < known.watched_until


def name_at_gateway(label: str, suffix: str) -> str:
    """Make a name that gateways accept and that was never used: a readable part and a random one.

    Letters without accents, digits and `-`, at most 60 characters. The suffix is the
    caller's, at least 8 random characters: a deleted name is not free at once.
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", label.lower()) if not unicodedata.combining(c))
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in bare)
    words = "-".join(part for part in plain.split("-") if part)[: 59 - len(suffix)].strip("-")
    return f"{words or 'instance'}-{suffix}"
