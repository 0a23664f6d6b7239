"""What is wrong with an answer, sorted by what the caller may do next."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

from amarre.gateways.base import (
    GatewayBrokenError,
    GatewayBusyError,
    GatewayError,
    GatewayInvalidError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnclearError,
    GatewayUnlicensedError,
    InstanceMissingError,
    NotConnectedError,
)
from amarre.gateways.evolution_reading.value import DEEPEST, at, is_list, is_object, storable

LONGEST_WAIT = timedelta(days=1)
LONGEST_TEXT = 300
MOST_PARTS = 20  # of a message in parts; it is for a person to read

# A proxy in front of the gateway says "not found" too ("Application not found"): only the
# gateway's own two sentences prove that an instance is missing.
MISSING = re.compile(r"\binstance\b.*\b(?:does not exist|not found)", re.IGNORECASE)
OBJECT = "[object Object]"
PROXY_SAYS_AWAY = frozenset({502, 503, 504})

NUMBERS = re.compile(r"\+?[0-9](?:[ .-]?[0-9]){6,}")
# Keys, tokens, codes: long words with a digit in them.
LONG_WORDS = re.compile(r"[\w+/=@,-]{16,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `readable` is whether the body was JSON; `secret` never gets into a text."""

    status: int
    body: Any = None
    readable: bool = True
    retry_after: timedelta | None = None
    secret: str = field(default="", repr=False)


def parse(status: int, headers: Mapping[str, str], raw: bytes, *, secret: str = "") -> Answer:
    """Take an answer apart. Never raises: a body that is not JSON is a body that says nothing."""
    wait = _wait(headers.get("Retry-After", ""), headers.get("Date", ""))
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return Answer(status, readable=False, retry_after=wait, secret=secret)
    return Answer(status, body, retry_after=wait, secret=secret)


def _wait(retry_after: str, date: str) -> timedelta | None:
    """Read `Retry-After`: seconds, or an instant that is compared with the gateway's own clock."""
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return min(timedelta(seconds=int(retry_after)), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(retry_after) - parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(timedelta(), min(wait, LONGEST_WAIT))


def fault(answer: Answer) -> GatewayError | None:
    """Say what is wrong with an answer, whatever was asked; None where it may be read on."""
    status, text = answer.status, said(answer)
    if at(answer.body, "code") == "LICENSE_REQUIRED":
        return GatewayUnlicensedError("the gateway wants its licence activated")
    if status >= 500:  # noqa: PLR2004  # a class of HTTP statuses
        return _failure(status, text)
    if status >= 400:  # noqa: PLR2004  # a class of HTTP statuses
        return _refusal(answer, text)
    if status not in {200, 201} or not answer.readable:
        return GatewayUnclearError(f"the answer ({status}) is not one of Evolution API's")
    if at(answer.body, "error"):
        return GatewayBrokenError(f"the gateway failed, inside a {status}: {text}")
    return None


def _failure(status: int, text: str) -> GatewayError:
    if status in PROXY_SAYS_AWAY:
        # Evolution itself does not say these (its licence apart): somebody in front of it does.
        return GatewaySilentError(f"nobody answers behind the gateway's address ({status})")
    return GatewayBrokenError(f"the gateway failed ({status}): {text}")


def _refusal(answer: Answer, text: str) -> GatewayError:
    match answer.status:
        case 401:
            return GatewayRefusedError("the gateway does not accept our key")
        case 429:
            return GatewayBusyError("the gateway asks us to slow down", retry_after=answer.retry_after)
        case 403 if answer.readable:
            return GatewayRefusedError(f"the gateway forbids it: {text}")
        case 404 if MISSING.search(text):
            return InstanceMissingError(text)
        case 400 | 413 | 422 if answer.readable:
            return _invalid(text)
        case status:
            return GatewayUnclearError(f"unexpected answer ({status}): {text}")


def _invalid(text: str) -> GatewayError:
    if "is not connected" in text:
        return NotConnectedError(text)
    if OBJECT in text:  # an exception of its own that it failed to print
        return GatewayBrokenError(f"the gateway failed (400): {text}")
    return GatewayInvalidError(f"the gateway finds the request wrong: {text}")


def said(answer: Answer) -> str:
    """Return the text of an error on one line, without secrets and numbers, for logs."""
    if not answer.readable:
        return "not JSON"
    body = answer.body
    message = at(body, "response", "message") or at(body, "message") or at(body, "error")
    text = "; ".join(islice(_flat(message), MOST_PARTS)) or "no text"
    if answer.secret:
        text = text.replace(answer.secret, "***")
    return scrub(text)


def scrub(text: str) -> str:
    """Blank what looks like a phone number, a key or a code, and cut the rest to a line."""
    text = LONG_WORDS.sub(_without_digits, text)
    return storable(" ".join(NUMBERS.sub("***", text).split())[:LONGEST_TEXT])


def _without_digits(word: re.Match[str]) -> str:
    return "***" if any(sign.isdigit() for sign in word[0]) else word[0]


def _flat(message: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts of the four shapes of `message`: text, list, list of lists, list of objects."""
    if depth > DEEPEST or message is None:
        return
    if is_list(message):
        for part in message:
            yield from _flat(part, depth + 1)
    elif is_object(message):
        for key, part in message.items():
            yield from (f"{key}: {text}" for text in _flat(part, depth + 1))
    else:
        yield str(message)[: 4 * LONGEST_TEXT]


def raise_fault(answer: Answer) -> None:
    """Raise what `fault` finds."""
    wrong = fault(answer)
    if wrong is not None:
        raise wrong
