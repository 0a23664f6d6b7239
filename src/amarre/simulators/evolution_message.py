"""Texts that a simulated instance sends and receives, and what it tells about them."""

import asyncio
import secrets

from amarre.simulators.evolution_answer import Refusal
from amarre.simulators.evolution_facts import Json, State
from amarre.simulators.evolution_faults import FaultKind
from amarre.simulators.evolution_instance import Instance

BAD_NUMBER = (
    'Error: JID decoded but user is empty: "@s.whatsapp.net" -> user: "", '
    'server: "s.whatsapp.net", device: undefined'
)


async def send_text(instance: Instance, *, number: str, text: str) -> Json:
    """Send a text as `sendText` does; 201 means accepted, not delivered.

    Raises:
        Refusal: not connected (500, in three forms), or not a number on WhatsApp (400).
    """
    await _refuse_unless_open(instance)
    digits = "".join(filter(str.isdigit, number))
    if not digits:
        raise Refusal(400, [BAD_NUMBER])
    jid = f"{digits}@s.whatsapp.net"
    if digits.endswith(instance.world.settings.absent_suffixes):
        raise Refusal(400, [{"jid": jid, "exists": False, "number": number}])
    message = _outgoing(instance, jid, text)
    instance.messages += 1
    instance.tell("send.message", message)
    if not instance.world.faults.take(FaultKind.LOSE_SENDS, "sendText", instance.name):
        instance.world.tasks.start(_acknowledge(instance, message["key"]))
    return message


async def _refuse_unless_open(instance: Instance) -> None:
    if instance.state is State.OPEN:
        return
    if not instance.ever_connected:
        raise Refusal(500, "Cannot read properties of undefined (reading 'onWhatsApp')")
    if instance.state is State.CONNECTING and instance.phone is not None:
        # A session that lost WhatsApp: the real call waits for an answer that never comes.
        await asyncio.sleep(instance.world.settings.pace(instance.world.settings.send_hang))
        raise Refusal(500, "Cannot read properties of undefined (reading 'find')")
    raise Refusal(500, "Connection Closed")


async def _acknowledge(instance: Instance, key: Json) -> None:
    """Tell that the message reached the phone, then that it was read."""
    message_id = make_cuid()
    for status in ("DELIVERY_ACK", "READ"):
        await asyncio.sleep(instance.world.settings.pace(instance.world.settings.ack_delay))
        instance.tell(
            "messages.update",
            {
                "keyId": key["id"],
                "remoteJid": key["remoteJid"],
                "fromMe": True,
                "status": status,
                "instanceId": instance.remote_id,
                "messageId": message_id,
            },
        )


def receive_text(instance: Instance, *, sender: str, push_name: str, text: str) -> str:
    """Receive a text from a phone and return its id.

    Raises:
        NotOpenError: nothing can arrive now.
    """
    instance.require_open()
    jid = f"{sender}@s.whatsapp.net"
    known = {"remoteJid": jid, "instanceId": instance.remote_id}
    message_id = _message_id()
    first = jid not in instance.contacts
    instance.contacts.add(jid)
    instance.messages += 1
    instance.tell("messages.upsert", _incoming(instance, jid, message_id, push_name=push_name, text=text))
    who = {"remoteJid": jid, "pushName": push_name, "instanceId": instance.remote_id}
    instance.tell("contacts.upsert" if first else "contacts.update", who)
    instance.tell("contacts.update", [known])
    instance.tell("chats.update", [known])
    return message_id


def _outgoing(instance: Instance, jid: str, text: str) -> Json:
    return {
        "key": {"remoteJid": jid, "fromMe": True, "id": _message_id()},
        "pushName": "Você",
        "status": "PENDING",
        "message": {"conversation": text},
        "contextInfo": {
            "mentionedJid": [],
            "groupMentions": [],
            "ephemeralSettingTimestamp": {"low": 1795054144, "high": 0, "unsigned": False},
            "disappearingMode": {"initiator": 0},
        },
        "messageType": "conversation",
        "messageTimestamp": int(instance.world.now().timestamp()),
        "instanceId": instance.remote_id,
        "source": "web",
    }


def _incoming(instance: Instance, jid: str, message_id: str, *, push_name: str, text: str) -> Json:
    return {
        "key": {
            "remoteJid": jid,
            "remoteJidAlt": f"99{jid.removesuffix('@s.whatsapp.net')}@lid",
            "fromMe": False,
            "id": message_id,
            "participant": "",
            "addressingMode": "pn",
        },
        "pushName": push_name,
        "status": "DELIVERY_ACK",
        "message": {"conversation": text},
        "messageType": "conversation",
        "messageTimestamp": int(instance.world.now().timestamp()),
        "instanceId": instance.remote_id,
        "source": "web",
    }


def _message_id() -> str:
    return "3EB0" + secrets.token_hex(9).upper()


def make_cuid() -> str:
    """Make up an id as Evolution's database does."""
    return "cm" + secrets.token_hex(12)[:23]
