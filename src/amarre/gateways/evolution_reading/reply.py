"""The answers to calls, each read into the value that the call promises."""

import re
from datetime import timedelta
from typing import Any

from amarre.core.instance import Heard
from amarre.gateways.base import (
    About,
    Connecting,
    Created,
    GatewayInvalidError,
    GatewayUnclearError,
    InstanceMissingError,
    Listed,
    NameTakenError,
    NotConnectedError,
    Webhook,
)
from amarre.gateways.evolution_reading.fault import OBJECT, Answer, fault, raise_fault, said, scrub
from amarre.gateways.evolution_reading.value import (
    at,
    code_of,
    heard_of,
    instant_of,
    is_list,
    is_object,
    number_of,
    phone_of,
    tag_of,
    text_of,
)

NOT_CONNECTED = re.compile(
    r"connection closed|cannot read properties of undefined|is not connected", re.IGNORECASE
)


def about(answer: Answer, *, took: timedelta) -> About:
    """Read `GET /`."""
    raise_fault(answer)
    version = text_of(at(answer.body, "version"))
    if version is None:
        raise GatewayUnclearError("what answers there is not Evolution API: it says no version")
    return About(version=version, dialect=dialect_of(version), took=took)


def dialect_of(version: str) -> str:
    """Return v1, v2flat (2.0: webhook fields not nested) or v2 (since 2.1)."""
    found = re.match(r"v?([0-9]{1,4})\.([0-9]{1,4})", version)
    if found is None:
        raise GatewayUnclearError(f"cannot read the version {scrub(version)!r}")
    number = int(found[1]), int(found[2])
    if number < (2, 0):
        return "v1"
    return "v2flat" if number < (2, 1) else "v2"


def too_old(version: str) -> GatewayUnclearError:
    """Build the refusal of a dialect that is not spoken here."""
    return GatewayUnclearError(
        f"this is Evolution API {scrub(version)}; 2.1 or later is needed", version=scrub(version)
    )


def created(answer: Answer) -> Created:
    """Read `POST /instance/create`."""
    text = said(answer)
    if answer.status == 403 and answer.readable and "api key" not in text.lower():  # noqa: PLR2004
        raise NameTakenError(text)
    raise_fault(answer)
    body = answer.body
    if is_object(at(body, "hash")):
        raise too_old("1.x")
    name, token = text_of(at(body, "instance", "instanceName")), text_of(at(body, "hash"))
    if name is None or not token:
        raise GatewayUnclearError("the answer to create has no name or no token")
    return Created(
        name=name,
        token=token,
        remote_id=text_of(at(body, "instance", "instanceId")),
        code=code_of(at(body, "qrcode")),
    )


def listed(answer: Answer) -> list[Listed]:
    """Read `GET /instance/fetchInstances`."""
    raise_fault(answer)
    if not is_list(answer.body):
        raise GatewayUnclearError("the answer is not a list of instances")
    return [_listed(item) for item in answer.body]


def found(answer: Answer, *, name: str) -> Listed | None:
    """Read `GET /instance/fetchInstances?instanceName=`."""
    if isinstance(fault(answer), InstanceMissingError):
        return None
    return next((one for one in listed(answer) if one.name == name), None)


def _listed(item: Any) -> Listed:
    if is_object(at(item, "instance")):
        raise too_old("1.x")
    name = text_of(at(item, "name"))
    if name is None:
        raise GatewayUnclearError("an instance in the list has no name")
    return Listed(
        name=name,
        heard=heard_of(at(item, "connectionStatus")),
        token=text_of(at(item, "token")),
        remote_id=text_of(at(item, "id")),
        owner=phone_of(at(item, "ownerJid")),
        profile_name=text_of(at(item, "profileName")),
        disconnected_at=instant_of(at(item, "disconnectionAt")),
        disconnection_code=number_of(at(item, "disconnectionReasonCode")),
        disconnection_tag=tag_of(at(item, "disconnectionObject")),
    )


def state(answer: Answer) -> Heard:
    """Read `GET /instance/connectionState/{name}`; while it is being deleted no state is said."""
    wrong = fault(answer)
    if isinstance(wrong, InstanceMissingError):
        return Heard.MISSING
    if wrong is not None:
        raise wrong
    if not is_object(at(answer.body, "instance")):
        raise GatewayUnclearError("the answer is not a state")
    return heard_of(at(answer.body, "instance", "state"))


def connecting(answer: Answer) -> Connecting:
    """Read `GET /instance/connect/{name}`. `count: 0` means: no code yet."""
    raise_fault(answer)
    code, now_open = code_of(answer.body), text_of(at(answer.body, "instance", "state"))
    if code is not None:
        return Connecting(Heard.CONNECTING, code)
    if now_open is not None:
        return Connecting(heard_of(now_open))
    if number_of(at(answer.body, "count")) is None:
        raise GatewayUnclearError("the answer to connect has neither a code nor a state")
    return Connecting(Heard.CONNECTING)


def restarted(answer: Answer) -> None:
    """Read `POST /instance/restart/{name}`: on a closed one, an error without a text in a 200."""
    text = said(answer)
    if answer.status == 200 and at(answer.body, "error") and OBJECT in text:  # noqa: PLR2004
        raise NotConnectedError("the instance is closed: there is no session to restart")
    raise_fault(answer)


def ended(answer: Answer) -> None:
    """Read `DELETE /instance/logout/{name}`: also fine where there was no session."""
    wrong = fault(answer)
    if wrong is not None and not isinstance(wrong, NotConnectedError):
        raise wrong


def deleted(answer: Answer) -> None:
    """Read `DELETE /instance/delete/{name}`: also fine where there was no instance."""
    wrong = fault(answer)
    if wrong is not None and not isinstance(wrong, InstanceMissingError):
        raise wrong


def webhook(answer: Answer) -> Webhook | None:
    """Read `GET /webhook/find/{name}` and the answer to `/webhook/set`; null: never set."""
    raise_fault(answer)
    body = answer.body
    if body is None:
        return None
    url, headers, events = text_of(at(body, "url")), at(body, "headers"), at(body, "events")
    if url is None or not is_list(events):
        raise GatewayUnclearError("the answer is not the settings of a webhook")
    return Webhook(
        url=url,
        headers={str(key): str(value) for key, value in headers.items()} if is_object(headers) else {},
        events=tuple(event for event in events if isinstance(event, str)),
        enabled=at(body, "enabled") is True,
        by_events=at(body, "webhookByEvents") is True,
    )


def sent(answer: Answer) -> str:
    """Read `POST /message/sendText/{name}`. 500 with one of a few texts means: not connected."""
    text = said(answer)
    if answer.status in {400, 500} and NOT_CONNECTED.search(text):
        raise NotConnectedError(f"the instance is not connected: {text}")
    if answer.status == 400 and "exists: False" in text:  # noqa: PLR2004
        raise GatewayInvalidError("the number is not on WhatsApp", why="not_on_whatsapp")
    raise_fault(answer)
    message = text_of(at(answer.body, "key", "id"))
    if not message:
        raise GatewayUnclearError("the answer to sendText has no message id")
    return message
