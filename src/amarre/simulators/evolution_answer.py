"""How Evolution words its answers: errors in one envelope, rows in their own shapes."""

import json
from http import HTTPStatus
from typing import Any

from aiohttp import web

from amarre.simulators.evolution_facts import Json, State, instant
from amarre.simulators.evolution_instance import Instance

CLIENT_NAME = "evolution_exchange"
POWERED_BY = {"X-Powered-By": "Express"}
PRISMA = (
    "Invalid Prisma invocation (source excerpt removed). Foreign key constraint violated on the constraint: "
)


class Refusal(Exception):  # noqa: N818  # a refusal is an answer here, not an accident
    """An error as Evolution answers it.

    `message` is a text, a list of texts, a list of lists (schema) or a list of objects: all
    four occur.
    """

    def __init__(self, status: int, message: Any, *, error: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {
            "status": status,
            "error": error or HTTPStatus(status).phrase,
            "response": {"message": message},
        }


def reply(body: Any, *, status: int = 200, headers: Json | None = None) -> web.Response:
    """Answer with JSON, under the headers of the real server."""
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(
        text=text,
        status=status,
        headers=POWERED_BY | (headers or {}),
        content_type="application/json",
        charset="utf-8",
    )


def done(text: str) -> web.Response:
    """Answer that something was ended: instance logged out, instance deleted."""
    return reply({"status": "SUCCESS", "error": False, "response": {"message": text}})


def state_of(instance: Instance) -> Json:
    """Write the current state; it is missing while the instance is being deleted."""
    said: Json = {"instanceName": instance.name}
    return {"instance": said | {"state": instance.state.value} if instance.loaded else said}


def created(instance: Instance, *, with_code: bool) -> Json:
    """Write a new instance as `create` answers it. `hash` is the token, a plain text in v2."""
    status = State.CONNECTING if instance.state is State.CONNECTING else State.CLOSE
    body: Json = {
        "instance": {
            "instanceName": instance.name,
            "instanceId": instance.remote_id,
            "integration": "WHATSAPP-BAILEYS",
            "webhookWaBusiness": None,
            "accessTokenWaBusiness": "",
            "status": status.value,
        },
        "hash": instance.token,
        "webhook": {},
        "websocket": {},
        "rabbitmq": {},
        "nats": {},
        "sqs": {},
        "settings": dict(instance.switches),
    }
    return body | {"qrcode": instance.shown.answer()} if with_code else body


def row_of(instance: Instance) -> Json:
    """Write an instance as `fetchInstances` lists it: the database's view, secrets included."""
    ended, owner = instance.ended, instance.owner
    made = instant(instance.created_at)
    return {
        "id": instance.remote_id,
        "name": instance.name,
        "connectionStatus": instance.stored.value,
        "ownerJid": owner and owner.jid,
        "profileName": owner and owner.profile_name,
        "profilePicUrl": None,
        "integration": "WHATSAPP-BAILEYS",
        "number": instance.number,
        "businessId": None,
        "token": instance.token,
        "clientName": CLIENT_NAME,
        "disconnectionReasonCode": ended and ended.code,
        "disconnectionObject": ended and ended.details,
        "disconnectionAt": ended and instant(ended.at),
        "createdAt": made,
        "updatedAt": made,
        **dict.fromkeys(("Chatwoot", "Proxy", "Rabbitmq", "Nats", "Sqs", "Websocket")),
        "Setting": {
            "id": instance.switches_id,
            **instance.switches,
            "createdAt": made,
            "updatedAt": made,
            "instanceId": instance.remote_id,
        },
        "_count": {
            "Message": instance.messages,
            "Contact": len(instance.contacts),
            "Chat": 0,
        },
    }


def hook_of(instance: Instance) -> Json | None:
    """Write the stored webhook; null where none was ever set."""
    hook = instance.hook
    if hook is None or instance.hook_at is None:
        return None
    return {
        "id": instance.hook_id,
        "url": hook.url,
        "headers": None if hook.headers is None else dict(hook.headers),
        "enabled": hook.enabled,
        "events": list(hook.events),
        "webhookByEvents": hook.by_events,
        "webhookBase64": hook.base64,
        "createdAt": instant(instance.hook_at[0]),
        "updatedAt": instant(instance.hook_at[1]),
        "instanceId": instance.remote_id,
    }
