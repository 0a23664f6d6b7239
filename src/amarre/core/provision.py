"""What a failed attempt to provide an instance means."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from amarre.core import backoff

# Failures of the gateway itself say nothing about a request: it waits, and uses up no try.
GATEWAY_FAILURES = frozenset(
    {
        "gateway_silent",
        "gateway_unreachable",
        "gateway_refused",
        "gateway_unlicensed",
        "gateway_busy",
        # None is configured yet, or not in this process: a sign-up before that is not lost.
        "no_gateway",
        "gateway_unknown",
    }
)
FIRST_WAIT = timedelta(milliseconds=800)
LONGEST_WAIT = timedelta(minutes=5)
OUTAGE_FIRST_WAIT = timedelta(seconds=1)
OUTAGE_LONGEST_WAIT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `at`; `counts` says whether this attempt used up a try."""

    at: datetime
    counts: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further try: a person has to look at it."""


def after_failure(code: str, *, tries: int, most: int, failures: int, now: datetime) -> Retry | GiveUp:
    """Decide what follows a failed attempt.

    `tries` counts the attempts used up before this one, `failures` all failures in a row,
    those of the gateway included.
    """
    if code in GATEWAY_FAILURES:
        pause = backoff.wait(failures + 1, first=OUTAGE_FIRST_WAIT, most=OUTAGE_LONGEST_WAIT)
        return Retry(now + pause, counts=False)
    if tries >= most:
        return GiveUp()
    return Retry(now + backoff.wait(tries + 1, first=FIRST_WAIT, most=LONGEST_WAIT), counts=True)
