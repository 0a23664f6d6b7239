"""Creating an instance, with what the real server gets wrong about it.

Two creates of one name at the same time destroy each other: the error path of each deletes
the name. A name that was just deleted is still taken for a moment.
"""

import asyncio
import re
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from amarre.simulators.evolution_answer import PRISMA, Refusal
from amarre.simulators.evolution_delivery import Hook
from amarre.simulators.evolution_facts import EVENTS, INTEGRATIONS, SWITCHES, Json, State, as_list, as_object
from amarre.simulators.evolution_instance import Instance, World, logged_out
from amarre.simulators.evolution_message import make_cuid

LONGEST_NAME = 255
NO_EVENTS = "Cannot read properties of undefined (reading 'length')"
NUMBER = re.compile(r"^\d+[.@\w-]+")
NUMBER_ERROR = r'number does not match pattern "^\\d+[\\.@\\w-]+"'


@dataclass(slots=True)
class Making:
    """A create at work, and how many others of the same name have come since."""

    rivals: int = 0


@dataclass(slots=True)
class Fleet:
    """The instances of one simulated server, by name."""

    world: World
    instances: dict[str, Instance] = field(default_factory=dict)
    making: dict[str, Making] = field(default_factory=dict)

    def refuse_taken(self, name: str) -> None:
        """Refuse a name that is in use, or spoil the create that is at work on it.

        Raises:
            Refusal: 403, in use. Or 400: this create came to nothing, as will the other.
        """
        making = self.making.get(name)
        if name in self.instances:
            raise Refusal(403, [f'This name "{name}" is already in use.'])
        if making is None:
            return
        making.rivals += 1
        # The recorded order of four at once: 400, 403, 400, 403, and no instance is left.
        if making.rivals % 2:
            raise Refusal(403, [f'This name "{name}" is already in use.'])
        raise Refusal(400, [PRISMA + "`Setting_instanceId_fkey`"])

    async def create(self, body: Json) -> Instance:
        """Create an instance from a body whose name is free; `None` is no name at all.

        Raises:
            Refusal: the body is wrong, or another create of the name destroyed this one.
        """
        name = _valid_name(body)
        hook = None if body.get("webhook") is None else read_hook(body["webhook"], old=None, forced=True)
        making = self.making[name] = Making()
        try:
            await asyncio.sleep(self.world.settings.pace(self.world.settings.create_work))
        finally:
            del self.making[name]
        if making.rivals:
            table = "Setting" if hook is None else "Webhook"
            raise Refusal(400, [PRISMA + f"`{table}_instanceId_fkey`"])
        instance = self._keep(name, body)
        if hook is not None:
            set_hook(instance, hook)
        instance.tell("instance.create", {"instanceName": name, "instanceId": instance.remote_id})
        return instance

    def _keep(self, name: str, body: Json) -> Instance:
        switches: Json = {switch: bool(body.get(switch)) for switch in SWITCHES}
        instance = Instance(
            name=name,
            token=body.get("token") or str(uuid.uuid4()).upper(),
            remote_id=str(uuid.uuid4()),
            world=self.world,
            created_at=self.world.now(),
            number=body.get("number") or None,
            dialled=body.get("number") or None,
            switches={
                "rejectCall": switches.pop("rejectCall"),
                "msgCall": body.get("msgCall") or "",
                **switches,
                "wavoipToken": "",
            },
            switches_id=make_cuid(),
        )
        self.instances[name] = instance
        self.world.pulse.beat()
        return instance

    def seed(self, name: str, token: str | None) -> Instance:
        """Keep an instance without telling anybody."""
        return self._keep(name, {"token": token or secrets.token_hex(16).upper()})

    def delete(self, instance: Instance) -> None:
        """Forget an instance now, and its name a little later: deletion is asynchronous upstream."""
        if instance.state is not State.CLOSE:
            instance.end(401, details=logged_out(instance.name))
        who = {"instanceName": instance.name, "instanceId": instance.remote_id}
        instance.tell("instance.delete", who)
        instance.tell("remove.instance", None)
        instance.close_all()
        instance.loaded = False
        self.world.tasks.start(self._forget_late(instance))

    def drop(self, instance: Instance) -> None:
        """Lose an instance at once, with its name, and without a word."""
        instance.close_all()
        instance.loaded = False
        self._forget(instance)

    async def _forget_late(self, instance: Instance) -> None:
        await asyncio.sleep(self.world.settings.pace(self.world.settings.delete_work))
        self._forget(instance)

    def _forget(self, instance: Instance) -> None:
        if self.instances.get(instance.name) is instance:
            del self.instances[instance.name]
        self.world.pulse.beat()


def _valid_name(body: Json) -> str:
    number = body.get("number")
    if number and not NUMBER.match(str(number)):
        raise Refusal(400, [[NUMBER_ERROR]])
    if body.get("integration") not in INTEGRATIONS:
        raise Refusal(400, ["Invalid integration"])
    name = body.get("instanceName")
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        raise Refusal(400, [PRISMA + "`Setting_instanceId_fkey`"])
    return name


def read_hook(asked: Any, *, old: Hook | None, forced: bool) -> Hook:
    """Read a webhook from a body; what is left out keeps its old value.

    `forced` is how `create` does it: always enabled, and an error of its own status.

    Raises:
        Refusal: `events` is missing, or holds what is no event.
    """
    fields = as_object(asked)
    enabled = forced or bool(fields.get("enabled"))
    return Hook(
        url=fields.get("url") or "",
        events=_events(fields.get("events"), enabled=enabled, forced=forced),
        headers=fields.get("headers", old and old.headers),
        enabled=enabled,
        by_events=fields.get("byEvents", old.by_events if old else False),
        base64=fields.get("base64", old.base64 if old else False),
    )


def _events(asked: Any, *, enabled: bool, forced: bool) -> tuple[str, ...]:
    if not enabled:
        return ()
    names = as_list(asked)
    if names is None:
        raise Refusal(400, [NO_EVENTS]) if forced else Refusal(500, NO_EVENTS)
    wrong = [
        f"webhook.events[{place}] is not one of enum values: {','.join(EVENTS)}"
        for place, event in enumerate(names)
        if event not in EVENTS
    ]
    if wrong:
        raise Refusal(400, [wrong])
    return tuple(names) or tuple(EVENTS)


def set_hook(instance: Instance, hook: Hook) -> None:
    """Store a webhook; the row keeps its id and its date of birth."""
    now = instance.world.now()
    born = now if instance.hook_at is None else instance.hook_at[0]
    instance.hook = hook
    instance.hook_id = instance.hook_id or make_cuid()
    instance.hook_at = (born, now)
    instance.world.pulse.beat()
