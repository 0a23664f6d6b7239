"""Single values of a body: each is read as what it should be, or as None."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

from amarre.core.instance import Heard
from amarre.gateways.base import Code

DEEPEST = 48  # no real body is half as deep; deeper ones are cut instead of exhausting the stack

STATES = {
    "open": Heard.OPEN,
    "connecting": Heard.CONNECTING,
    "close": Heard.CLOSED,
    "closed": Heard.CLOSED,
    "refused": Heard.CLOSED,  # said once, when the gateway stops showing codes
}

PHONE = re.compile(r"([0-9]{5,15})(?:_[0-9]+)?(?::[0-9]+)?@(?:s\.whatsapp\.net|c\.us)")
# What PostgreSQL keeps neither in text nor in jsonb.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def phone_of(jid: Any) -> str | None:
    """Return the digits of a WhatsApp address; None for groups, `@lid` and anything else."""
    match = PHONE.fullmatch(jid) if isinstance(jid, str) else None
    return match[1] if match else None


def code_of(value: Any) -> Code | None:
    """Read `{code, pairingCode, count}`; None where there is no code yet."""
    text = text_of(at(value, "code"))
    if not text:
        return None
    typed = text_of(at(value, "pairingCode")) or None
    return Code(text=text, pairing_code=typed, count=number_of(at(value, "count")))


def tag_of(value: Any) -> str | None:
    """Find why a connection ended in `disconnectionObject`, which is JSON inside a string."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    # `{"tag": "conflict", "attrs": {"type": "device_removed"}}`: the inner one says more.
    inner = at(value, "error", "data")
    return text_of(at(inner, "attrs", "type")) or text_of(at(inner, "tag")) or None


def heard_of(word: Any) -> Heard:
    """Read the gateway's word for a state; UNSURE for none or a new one."""
    return STATES.get(word, Heard.UNSURE) if isinstance(word, str) else Heard.UNSURE


def instant_of(value: Any) -> datetime | None:
    """Read an ISO instant, UTC where it does not say; None for what no clock says."""
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    if not 2000 <= instant.year <= 2200:  # noqa: PLR2004  # years, and nothing more precise is meant
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def number_of(value: Any) -> int | None:
    """Read a whole number that fits an `integer` column; `True` is none to us."""
    return value if type(value) is int and abs(value) < 2**31 else None


def text_of(value: Any) -> str | None:
    """Read a text."""
    return storable(value) if isinstance(value, str) else None


def storable(text: str) -> str:
    """Replace what a database refuses."""
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell a JSON object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Tell a JSON array."""
    return isinstance(value, list)


def at(value: Any, *path: str) -> Any:
    """Follow keys inwards; None where one is missing."""
    for key in path:
        value = value.get(key) if is_object(value) else None
    return value
