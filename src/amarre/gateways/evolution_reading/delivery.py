"""The bodies of webhook deliveries: read, and cleaned for keeping.

Source:
    Three series recorded on Evolution API 2.3.7; the 2.4 events from its source.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from amarre.core.instance import Heard
from amarre.gateways.base import Delivery, GatewayUnclearError, Subject
from amarre.gateways.evolution_reading.value import (
    DEEPEST,
    at,
    code_of,
    heard_of,
    instant_of,
    is_list,
    is_object,
    number_of,
    phone_of,
    storable,
    tag_of,
    text_of,
)

# `destination` is our own address; old dialects carry the secret in its path.
DROPPED = frozenset(
    {
        "accesstoken",
        "apikey",
        "authorization",
        "base64",
        "destination",
        "jpegthumbnail",
        "jwtkey",
        "mediakey",
        "token",
    }
)
SECRETS = ("apikey", "token")


def read_delivery(body: object) -> Delivery:
    """Read the body of a webhook delivery."""
    event, instance = text_of(at(body, "event")), text_of(at(body, "instance"))
    if not event or not instance:
        raise GatewayUnclearError("this is not a delivery of Evolution API")
    event = event.lower().replace("_", ".")
    about_it = _about_event(event, _first(at(body, "data")))
    return Delivery(instance=instance, event=event, said_at=instant_of(at(body, "date_time")), **about_it)


def _first(data: Any) -> Any:
    """Unwrap data that some events carry in a list of one."""
    return data[0] if is_list(data) and data else data


def _about_event(event: str, data: Any) -> dict[str, Any]:
    if event in READERS:
        return READERS[event](data)
    if event.startswith(("messages.", "send.message")) and event != "messages.set":
        return _about_message(data)
    return {"subject": Subject.OTHER}


def _about_code(data: Any) -> dict[str, Any]:
    code, text = code_of(at(data, "qrcode")), text_of(at(data, "message"))
    if code is not None:
        return {"subject": Subject.CODE, "code": code}
    # Its `statusCode: 500` is not a reason of WhatsApp's, where 500 is a bad session.
    return {"subject": Subject.CODE_LIMIT if text and "limit" in text.lower() else Subject.OTHER}


def _about_connection(data: Any) -> dict[str, Any]:
    reason, word = number_of(at(data, "statusReason")), at(data, "state")
    return {
        "subject": Subject.CONNECTION,
        "heard": heard_of(word),
        "phone": phone_of(at(data, "wuid")),
        "profile_name": text_of(at(data, "profileName")),
        "reason": None if reason == 200 else reason,  # noqa: PLR2004  # 200 is "no reason"
        "tag": "refused" if word == "refused" else None,
    }


def _about_status(data: Any) -> dict[str, Any]:
    return {
        "subject": Subject.STATUS,
        "heard": heard_of(at(data, "status")),
        "reason": number_of(at(data, "disconnectionReasonCode")),
        "tag": tag_of(at(data, "disconnectionObject")),
    }


def _about_logout(_: Any) -> dict[str, Any]:
    # Comes in any order with the two above; it alone says nothing of why.
    return {"subject": Subject.CONNECTION, "heard": Heard.CLOSED, "tag": "logout"}


def _about_removal(_: Any) -> dict[str, Any]:
    return {"subject": Subject.REMOVED}


def _about_message(data: Any) -> dict[str, Any]:
    return {
        "subject": Subject.MESSAGE,
        "message_id": text_of(at(data, "key", "id")) or text_of(at(data, "keyId")),
        "tag": text_of(at(data, "status")),
    }


READERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "qrcode.updated": _about_code,
    "connection.update": _about_connection,
    "status.instance": _about_status,
    "logout.instance": _about_logout,
    "remove.instance": _about_removal,
    "instance.delete": _about_removal,
}


def redact(body: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a delivery's body without tokens, images and what a database cannot keep."""
    secrets = [value for key in SECRETS if isinstance(value := body.get(key), str) and value]
    return {_hidden(key, secrets): _clean(part, secrets, 1) for key, part in body.items() if _kept(key)}


def _clean(value: Any, secrets: list[str], depth: int) -> Any:
    if depth > DEEPEST or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if is_object(value):
        kept = ((key, part) for key, part in value.items() if _kept(key))
        return {_hidden(key, secrets): _clean(part, secrets, depth + 1) for key, part in kept}
    if is_list(value):
        return [_clean(part, secrets, depth + 1) for part in value]
    return _hidden(value, secrets) if isinstance(value, str) else value


def _kept(key: Any) -> bool:
    return re.sub("[^a-z0-9]", "", str(key).lower()) not in DROPPED


def _hidden(text: Any, secrets: list[str]) -> str:
    text = str(text)
    if ";base64," in text:
        return "***"
    for secret in secrets:
        text = text.replace(secret, "***")
    return storable(text)
