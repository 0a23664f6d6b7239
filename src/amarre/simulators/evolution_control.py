"""The control API: the phone, WhatsApp and the faults, by HTTP, for the demo and the tests.

It answers the loopback only. JSON in, JSON out; a form is answered with a way back to the
page.
"""

import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from amarre.simulators.evolution_facts import Json, as_object
from amarre.simulators.evolution_faults import FaultKind
from amarre.simulators.evolution_instance import DeadCodeError, Instance, NoLiveCodeError, NotOpenError
from amarre.simulators.evolution_page import draw_page
from amarre.simulators.evolution_play import EvolutionPlay

STATIC = Path(__file__).parent / "static"
HOME = "/_sim/"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Act = Callable[[EvolutionPlay, str, Json], object]


def control_application(play: EvolutionPlay) -> web.Application:
    """Put the control API and its page together."""
    app = web.Application(middlewares=[_guard])
    control = _Control(play)
    app.router.add_get(HOME, control.page)
    app.router.add_get("/_sim", control.page)
    app.router.add_get("/_sim/state", control.state)
    app.router.add_post("/_sim/scan", control.scan_code)
    app.router.add_post("/_sim/faults", control.add_fault)
    app.router.add_post("/_sim/faults/clear", control.clear_faults)
    app.router.add_delete("/_sim/faults", control.clear_faults)
    for action, act in ACTIONS.items():
        app.router.add_post(f"/_sim/instances/{{name}}/{action}", partial(control.act, act=act))
    app.router.add_static("/_sim/static", STATIC)
    return app


def _scan(play: EvolutionPlay, name: str, said: Json) -> None:
    play.scan(name, phone=_digits(said), profile_name=said.get("profile_name") or "Amarre")


def _message(play: EvolutionPlay, name: str, said: Json) -> None:
    play.receive(
        name,
        text=said.get("text") or "Bonjour !",
        sender=said.get("sender") or "33639980099",
        push_name=said.get("push_name") or "Alice",
    )


def _storm(play: EvolutionPlay, name: str, said: Json) -> None:
    play.storm(name, times=int(said.get("n") or 40), seconds=float(said.get("seconds") or 7))


ACTIONS: dict[str, Act] = {
    "scan": _scan,
    "unlink": lambda play, name, _: play.unlink(name),
    "ban": lambda play, name, _: play.ban(name),
    "kick": lambda play, name, _: play.kick(name),
    "message": _message,
    "storm": _storm,
    "drop_instance": lambda play, name, _: play.drop_instance(name),
    "wipe_webhook": lambda play, name, _: play.wipe_webhook(name),
}


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody in from outside, nor from a page of another site; say what went wrong."""
    if not _is_local(request.remote) or request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise web.HTTPForbidden(text="The control of a simulator answers this machine only.")
    try:
        response = await handler(request)
    except KeyError as unknown:
        response = _answer(request, {"error": f"No such instance: {unknown.args[0]}"}, status=404)
    except DeadCodeError:
        response = _answer(request, {"error": "This code is dead."}, status=410)
    except NoLiveCodeError:
        response = _answer(request, {"error": "No code can be scanned now."}, status=409)
    except NotOpenError:
        response = _answer(request, {"error": "This instance is not connected."}, status=409)
    except ValueError as wrong:
        response = _answer(request, {"error": str(wrong)}, status=400)
    response.headers.update(HEADERS)
    return response


@dataclass(frozen=True, slots=True)
class _Control:
    play: EvolutionPlay

    async def page(self, request: web.Request) -> web.Response:
        faults = {kind: self.play.faults.find(kind) is not None for kind in FaultKind}
        text = draw_page(self.play.instances, faults, problem=request.query.get("problem"))
        return web.Response(text=text, content_type="text/html", charset="utf-8")

    async def state(self, _: web.Request) -> web.Response:
        play = self.play
        return web.json_response(
            {
                "version": play.settings.version,
                "instances": [_show(instance) for instance in play.instances],
                "calls": play.count_calls(),
                "faults": play.faults.show(),
                "deliveries": {
                    "attempts": len(play.attempts),
                    "failed": sum(1 for each in play.attempts if each.status != 200),  # noqa: PLR2004  # OK
                },
            }
        )

    async def scan_code(self, request: web.Request) -> web.Response:
        said = await _said(request)
        phone, profile = _digits(said), said.get("profile_name") or "Amarre"
        name = self.play.scan_code(str(said.get("code")), phone=phone, profile_name=profile)
        return _answer(request, {"instance": name})

    async def act(self, request: web.Request, *, act: Act) -> web.Response:
        name = request.match_info["name"]
        act(self.play, name, await _said(request))
        return _answer(request, {"instance": name})

    async def add_fault(self, request: web.Request) -> web.Response:
        said = await _said(request)
        fault = self.play.fault(
            str(said.get("kind")),
            route=said.get("route") or None,
            instance=said.get("instance") or None,
            times=_number(said, "times", int),
            seconds=_number(said, "seconds", float),
            number=_number(said, "number", int),
        )
        return _answer(request, fault.show())

    async def clear_faults(self, request: web.Request) -> web.Response:
        said = {**request.query, **await _said(request)}
        self.play.clear_faults(said.get("kind") or None)
        return _answer(request, {"faults": self.play.faults.show()})


def _show(instance: Instance) -> Json:
    return {
        "name": instance.name,
        "id": instance.remote_id,
        "state": instance.state.value,
        "stored": instance.stored.value,
        "code": instance.live_code(),
        "count": instance.shown.count,
        "sockets": len(instance.sockets),
        "phone": instance.phone and instance.phone.number,
        "profile_name": instance.phone and instance.phone.profile_name,
        "webhook_url": instance.hook and instance.hook.url,
        "messages": instance.messages,
    }


def _is_local(peer: str | None) -> bool:
    return peer is not None and ipaddress.ip_address(peer).is_loopback


def _is_form(request: web.Request) -> bool:
    return request.content_type == "application/x-www-form-urlencoded"


async def _said(request: web.Request) -> Json:
    """Read what was sent, JSON or form.

    Raises:
        ValueError: it is neither.
    """
    if _is_form(request):
        return dict(await request.post())
    return as_object(json.loads(await request.text() or "{}"))


def _digits(said: Json) -> str:
    digits = "".join(filter(str.isdigit, str(said.get("phone") or "")))
    if not digits:
        raise ValueError("phone: digits are missing")
    return digits


def _number(said: Json, name: str, kind: type[int] | type[float]) -> Any:
    value = said.get(name)
    return None if value in (None, "") else kind(value)


def _answer(request: web.Request, body: Json, *, status: int = 200) -> web.Response:
    if not _is_form(request):
        return web.json_response(body, status=status)
    problem = {"problem": str(body["error"])} if "error" in body else {}
    raise web.HTTPSeeOther(str(request.url.with_path(HOME).with_query(problem).relative()))
