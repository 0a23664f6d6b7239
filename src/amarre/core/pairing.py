"""Which codes may be shown, and for how long.

A gateway hands out used codes with a straight face, repeats deliveries and delays them.
`judge` accepts a code only when nobody has seen it for this instance and no newer one is
known, and gives it what is left of its life, not a full one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LONGEST_RETRY = timedelta(minutes=25)


class Turned(StrEnum):
    """Why a code is not shown."""

    SEEN = "code_seen"
    OLDER = "code_older"
    DEAD = "code_dead"


@dataclass(frozen=True, slots=True)
class Offered:
    """A code as it came in.

    `said_at` is the gateway's own clock (None when polled), `skew` its difference to ours
    as learned from its fastest delivery. `seen` says that this instance had it before,
    `latest_said_at` when the newest code was said by the gateway's clock.
    """

    received_at: datetime
    seen: bool
    said_at: datetime | None = None
    skew: timedelta | None = None
    latest_said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A code that may be shown until `expires_at`."""

    expires_at: datetime


def judge(offered: Offered, *, life: timedelta) -> Shown | Turned:
    """Say until when a code can be scanned, or why it must not be shown."""
    if offered.seen:
        return Turned.SEEN
    if offered.said_at and offered.latest_said_at and offered.said_at < offered.latest_said_at:
        return Turned.OLDER
    age = age_of(offered)
    if age >= life:
        return Turned.DEAD
    return Shown(offered.received_at - age + life)


def age_of(offered: Offered) -> timedelta:
    """Say how old a code was when it came in: its delivery's delay beyond the usual one."""
    if offered.said_at is None or offered.skew is None:
        return timedelta()
    return max(offered.received_at - offered.said_at - offered.skew, timedelta())


def learn_skew(known: timedelta | None, *, received_at: datetime, said_at: datetime) -> timedelta:
    """Learn the difference between a gateway's clock and ours: the smallest ever seen.

    A gateway's times may be local ones with a false `Z`, so whole hours of difference are
    normal. A difference that grows by more than any retry can last means that the clock
    was set back: start again.
    """
    seen = received_at - said_at
    if known is None or seen < known:
        return seen
    if seen - known > LONGEST_RETRY:
        return seen
    return known
