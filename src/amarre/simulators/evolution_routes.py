"""Evolution's HTTP calls: who may call, what is answered, and which faults come in between."""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from amarre.simulators import evolution_answer as answer
from amarre.simulators.evolution_answer import Refusal, reply
from amarre.simulators.evolution_create import Fleet, read_hook, set_hook
from amarre.simulators.evolution_facts import (
    SWITCHES,
    THINKING,
    THINKING_OTHERWISE,
    Call,
    Json,
    State,
    as_object,
)
from amarre.simulators.evolution_faults import Fault, FaultKind
from amarre.simulators.evolution_instance import Instance, World, logged_out
from amarre.simulators.evolution_message import send_text

UNLICENSED = {
    "error": "service not activated",
    "code": "LICENSE_REQUIRED",
    "register_url": "https://licence.example/register",
    "message": "License required",
}


class EvolutionRoutes:
    """The calls of one simulated server, and how often each was made."""

    def __init__(self, world: World, fleet: Fleet) -> None:
        self.calls: Counter[tuple[str, str | None]] = Counter()
        self._world = world
        self._fleet = fleet

    def application(self) -> web.Application:
        """Put the routes together."""
        app = web.Application(middlewares=[self._around], client_max_size=136 * 1024**2)
        router = app.router
        for verb, path, handler, call in (
            ("GET", "/", self._root, Call.ROOT),
            ("POST", "/instance/create", self._create, Call.CREATE),
            ("GET", "/instance/connect/{name}", self._connect, Call.CONNECT),
            ("GET", "/instance/connectionState/{name}", self._state, Call.STATE),
            ("GET", "/instance/fetchInstances", self._fetch, Call.FETCH),
            ("POST", "/instance/restart/{name}", self._restart, Call.RESTART),
            ("DELETE", "/instance/logout/{name}", self._logout, Call.LOGOUT),
            ("DELETE", "/instance/delete/{name}", self._delete, Call.DELETE),
            ("POST", "/webhook/set/{name}", self._webhook_set, Call.WEBHOOK_SET),
            ("GET", "/webhook/find/{name}", self._webhook_find, Call.WEBHOOK_FIND),
            ("POST", "/settings/set/{name}", self._settings_set, Call.SETTINGS_SET),
            ("GET", "/settings/find/{name}", self._settings_find, Call.SETTINGS_FIND),
            ("POST", "/message/sendText/{name}", self._send_text, Call.SEND_TEXT),
        ):
            router.add_route(verb, path, handler, name=call.value)
        return app

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the call, let the faults have their way, and word the errors."""
        if self._world.faults.find(FaultKind.REFUSE):
            return _cut(request)
        try:
            call, instance = await _aim(request)
            self.calls[call, instance] += 1
            self._world.pulse.beat()
            return await self._with_faults(request, handler, call=call, instance=instance)
        except Refusal as refusal:
            return reply(refusal.body, status=refusal.status)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            unknown = Refusal(404, [f"Cannot {request.method} {request.path}"])
            return reply(unknown.body, status=404)

    async def _with_faults(
        self, request: web.Request, handler: Handler, *, call: str, instance: str | None
    ) -> web.StreamResponse:
        faults = self._world.faults
        if hang := faults.take(FaultKind.HANG, call, instance):
            await hang.last()
            return _cut(request)
        if slow := faults.take(FaultKind.SLOW, call, instance):
            await slow.last()
        if status := faults.take(FaultKind.STATUS, call, instance):
            return _faulty(status)
        silent = faults.take(FaultKind.CREATE_TIMEOUT_BUT_DONE, call, instance)
        if self._world.settings.realistic_delays:
            await self._sleep(THINKING.get(Call(call), THINKING_OTHERWISE))
        answered = await handler(request)
        if silent:
            await silent.last()
            return _cut(request)
        return answered

    async def _root(self, _: web.Request) -> web.Response:
        version = self._world.settings.version
        return reply(
            {
                "status": 200,
                "message": "Welcome to the Evolution API, it is working!",
                "version": version,
                "clientName": answer.CLIENT_NAME,
                "manager": f"{self._world.desk.server_url}/manager",
                "documentation": "https://doc.evolution-api.com",
                "whatsappWebVersion": "2.3000.1027934701",
            }
        )

    async def _create(self, request: web.Request) -> web.Response:
        body = await _body(request)
        name = body.get("instanceName")
        if isinstance(name, str):
            # Existence comes before the key: 403 says nothing about whether the key is valid.
            self._fleet.refuse_taken(name)
        self._need_key(request)
        instance = await self._fleet.create(body)
        with_code = bool(body.get("qrcode"))
        if with_code:
            instance.open_socket()
            await self._sleep(self._world.settings.create_qr_wait)
        made = answer.created(instance, with_code=with_code)
        made["webhook"] = _hook_answer(body.get("webhook"), url_only=instance.hook is not None)
        return reply(made, status=201)

    async def _connect(self, request: web.Request) -> web.Response:
        instance = self._instance(request)
        if instance.state is State.OPEN:
            return reply(answer.state_of(instance))
        if instance.state is State.CLOSE:
            # The number counts only here; a socket that is open already keeps its own.
            instance.dialled = request.query.get("number") or instance.dialled
            instance.open_socket()
            await self._sleep(self._world.settings.connect_wait)
        # Whatever is in memory by now, also a code that was used long ago.
        return reply(instance.shown.answer())

    async def _state(self, request: web.Request) -> web.Response:
        return reply(answer.state_of(self._instance(request, deleted_too=True)))

    async def _fetch(self, request: web.Request) -> web.Response:
        key = request.headers.get("apikey")
        mine = [
            instance
            for instance in self._fleet.instances.values()
            if instance.loaded and key in (self._world.settings.api_key, instance.token)
        ]
        if not mine:
            self._need_key(request)
        for name, field in (("instanceName", "name"), ("instanceId", "remote_id")):
            if wanted := request.query.get(name):
                mine = [instance for instance in mine if getattr(instance, field) == wanted]
                if not mine:
                    raise Refusal(404, [f'Instance "{wanted}" not found'])
        return reply([answer.row_of(instance) for instance in mine])

    async def _restart(self, request: web.Request) -> web.Response:
        instance = self._instance(request)
        match instance.state:
            case State.CLOSE:
                # An error inside a 200: nothing was done.
                return reply({"error": True, "message": "[object Object]"})
            case State.OPEN:
                said = answer.state_of(instance)
            case State.CONNECTING:
                said = instance.shown.answer()
        instance.restart_socket()
        return reply(said)

    async def _logout(self, request: web.Request) -> web.Response:
        instance = self._instance(request)
        if instance.state is State.CLOSE:
            raise Refusal(400, [f'The "{instance.name}" instance is not connected'])
        instance.end(401, details=logged_out(instance.name))
        return answer.done("Instance logged out")

    async def _delete(self, request: web.Request) -> web.Response:
        self._fleet.delete(self._instance(request))
        return answer.done("Instance deleted")

    async def _webhook_set(self, request: web.Request) -> web.Response:
        instance = self._instance(request)
        body = await _body(request)
        _need(body, "webhook", of="instance")
        _need(body["webhook"], "enabled", "url", of="webhook")
        set_hook(instance, read_hook(body["webhook"], old=instance.hook, forced=False))
        return reply(answer.hook_of(instance), status=201)

    async def _webhook_find(self, request: web.Request) -> web.Response:
        return reply(answer.hook_of(self._instance(request)))

    async def _settings_set(self, request: web.Request) -> web.Response:
        instance = self._instance(request)
        body = await _body(request)
        _need(body, *SWITCHES, of="instance")
        instance.switches |= {key: body[key] for key in (*SWITCHES, "msgCall") if key in body}
        return reply({"settings": {"instanceName": instance.name, "settings": body}}, status=201)

    async def _settings_find(self, request: web.Request) -> web.Response:
        return reply(dict(self._instance(request).switches))

    async def _send_text(self, request: web.Request) -> web.Response:
        instance = self._instance(request)
        body = await _body(request)
        _need(body, "number", "text", of="instance")
        sent = await send_text(instance, number=str(body["number"]), text=str(body["text"]))
        return reply(sent, status=201)

    def _need_key(self, request: web.Request) -> None:
        if request.headers.get("apikey") != self._world.settings.api_key:
            raise Refusal(401, "Unauthorized")

    def _instance(self, request: web.Request, *, deleted_too: bool = False) -> Instance:
        """Find the instance that the call means: existence first, then the key."""
        name = request.match_info["name"]
        instance = self._fleet.instances.get(name)
        if instance is None or not (instance.loaded or deleted_too):
            raise Refusal(404, [f'The "{name}" instance does not exist'])
        if request.headers.get("apikey") not in (self._world.settings.api_key, instance.token):
            raise Refusal(401, "Unauthorized")
        # The query overrides the path, after the key was checked: a hole of the real server.
        return self._fleet.instances.get(request.query.get("instanceName", name), instance)

    async def _sleep(self, real: timedelta) -> None:
        await asyncio.sleep(self._world.settings.pace(real))


async def _aim(request: web.Request) -> tuple[str, str | None]:
    """Say which call this is, and of which instance."""
    call = request.match_info.route.name or "unknown"
    if call != Call.CREATE:
        return call, request.match_info.get("name")
    name = (await _body(request)).get("instanceName")
    return call, name if isinstance(name, str) else None


async def _body(request: web.Request) -> Json:
    text = await request.text()
    try:
        body = json.loads(text or "{}")
    except json.JSONDecodeError:
        raise Refusal(400, "Unexpected end of JSON input", error="Internal Server Error") from None
    return as_object(body)


def _need(fields: Any, *names: str, of: str) -> None:
    present = as_object(fields)
    missing = [f'{of} requires property "{name}"' for name in names if name not in present]
    if missing:
        raise Refusal(400, [missing])


def _hook_answer(asked: Any, *, url_only: bool) -> Json:
    """Repeat the webhook of a create: what was left out is left out here too."""
    if not url_only or not isinstance(asked, dict):
        return {}
    names = {
        "url": "webhookUrl",
        "headers": "webhookHeaders",
        "byEvents": "webhookByEvents",
        "base64": "webhookBase64",
    }
    return {said: asked[name] for name, said in names.items() if name in asked}


def _faulty(fault: Fault) -> web.Response:
    status = fault.number or 500
    match status:
        case 503:
            return reply(UNLICENSED, status=status)
        case 401:
            return reply(Refusal(401, "Unauthorized").body, status=status)
        case 429:
            # Not Evolution's own: it has no limit, the proxy in front of it may have one.
            slower = Refusal(429, "Too Many Requests").body
            return reply(slower, status=status, headers={"Retry-After": "1"})
        case _:
            return reply(Refusal(status, "simulated failure").body, status=status)


def _cut(request: web.Request) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
