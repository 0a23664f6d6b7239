"""Made-up instances, events and pages, for the tests of what browsers see."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from amarre.store.event import Event
from amarre.store.instance import Instance
from amarre.web.pages import render
from amarre.web.pages.instance_view import instance_view, pair_view
from amarre.web.pages.view import Asked, Frame, Notice, Person, fleet_view

NOW = datetime(2026, 11, 21, 13, 32, 13, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
INES = Person("Inès Caron", "admin", "ines@marelle.example")
MINUTES = timedelta(minutes=1)
SECONDS = timedelta(seconds=1)
TOKEN = "q7Zt-made-up"
SCHEMA = {
    "info": {"title": "Amarre", "version": "0.1.0"},
    "paths": {
        "/api/v1/instances/{id}": {
            "get": {
                "tags": ["instances"],
                "summary": "Get",
                "description": "Read one instance.\n\nThe code only while it is live.",
                "parameters": [{"name": "id", "in": "path"}],
            }
        },
        "/api/v1/profiles": {
            "post": {
                "tags": ["profiles"],
                "summary": "Add a customer",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Profile"}}}
                },
            }
        },
    },
    "components": {"schemas": {"Profile": {"properties": {"email": {}, "full_name": {}}}}},
}


def frame(lang="fr", *, person: Person | None = INES, **more: Any) -> Frame:
    return Frame(lang, "Marelle", NOW, person=person, zone=PARIS, **more)


def instance(number=1, **known: Any) -> Instance:
    values: dict[str, Any] = dict.fromkeys(one.name for one in fields(Instance))
    values |= {
        "id": UUID(int=number),
        "kind": "evolution",
        "name": f"cabinet-lenoir-{number:08}",
        "label": "Cabinet Lenoir",
        "state": "connected",
        "state_since": NOW - 41 * 24 * 60 * MINUTES,
        "wanted": "present",
        "phone": "33639982218",
        "code_number": 0,
        "failures": 0,
        "claim_no": 0,
        "response_ms": 84,
        "webhook_checked_at": NOW - 12 * MINUTES,
        "last_delivery_at": NOW - 2 * MINUTES,
        "last_traffic_at": NOW - 2 * MINUTES,
        "created_at": NOW - 42 * 24 * 60 * MINUTES,
        "gateway": "evo-2",
        "gateway_state": "ok",
        "gateway_version": "2.3.7",
    }
    values |= known
    return Instance(**values)


def connected(number=1, **known: Any) -> Instance:
    since = NOW - 41 * 24 * 60 * MINUTES
    return instance(number, **{"connected_at": since, "profile_name": "Cabinet Lenoir"} | known)


def pairing(number=2, **known: Any) -> Instance:
    code = {
        "state": "connecting",
        "reason": "code_shown",
        "state_since": NOW - 17 * SECONDS,
        "phone": None,
        "code": "2@" + "Tm90IGEgcmVhbCBjb2RlLCBqdXN0IGxvbmcgZW5vdWdoLg" * 4,
        "pairing_code": "K7QM2XPD",
        "code_at": NOW - 17 * SECONDS,
        "code_expires_at": NOW + 28 * SECONDS,
        "code_number": 6,
        "pairing_until": NOW + 18 * MINUTES,
        "last_traffic_at": None,
    }
    return instance(number, **code | known)


def resting(number=3, **known: Any) -> Instance:
    rest = {"state": "disconnected", "reason": "pairing_expired", "state_since": NOW - 72 * 60 * MINUTES}
    return instance(number, **rest | known)


def in_state(number: int, state: str, reason: str | None, **known: Any) -> Instance:
    return instance(number, state=state, reason=reason, state_since=NOW - 119 * MINUTES, **known)


def event(at_id: int, kind: str, ago: timedelta, actor: str | None = None, **facts: Any) -> Event:
    return Event(at_id, NOW - ago, kind, UUID(int=1), None, None, actor, facts)


STORY = [
    event(9, "code_shown", 17 * SECONDS, number=6, valid_s=45, by="push"),
    event(8, "code_shown", 62 * SECONDS, number=5, valid_s=45, by="poll"),
    event(7, "page_opened", 85 * SECONDS, "Inès Caron", who="Inès Caron"),
    event(6, "pairing_link_created", 90 * SECONDS, "Inès Caron", who="Inès Caron"),
    event(5, "code_shown", 4 * MINUTES, number=1, valid_s=60, by="push"),
    event(4, "webhook_verified", 4 * MINUTES + SECONDS),
    event(3, "instance_created", 4 * MINUTES + 2 * SECONDS, took_ms=612, gateway="evo-2"),
    event(2, "provisioning_started", 4 * MINUTES + 3 * SECONDS),
    event(1, "signed_up", 4 * MINUTES + 4 * SECONDS),
]
HISTORY = [
    event(14, "connected", 41 * 24 * 60 * MINUTES, phone="33639982218"),
    event(13, "code_scanned", 41 * 24 * 60 * MINUTES + 12 * SECONDS),
    event(12, "gateway_back", 42 * 24 * 60 * MINUTES, gateway="evo-2"),
    event(11, "gateway_silent", 43 * 24 * 60 * MINUTES, gateway="evo-2", code="gateway_silent"),
]
ROWS = [
    in_state(11, "disconnected", "unlinked", label="Garage Vasseur", phone="33639982821"),
    in_state(12, "error", "banned", label="Boulangerie des Halles", phone="33639989115", response_ms=None),
    in_state(13, "error", "webhook_missing", label="Librairie Pont-Neuf", phone="33639987639"),
    pairing(14, label="Clinique du Parc"),
    in_state(15, "connecting", "scanned", label="Atelier Bonnard", phone=None),
    in_state(16, "creating", None, label="Traiteur Delmas", phone=None, gateway=None, gateway_state=None),
    connected(17, label="Fleurs de Lys", phone="33639982527"),
    connected(18, label="Hôtel du Quai", phone="33639986775", response_ms=1904),
    connected(19, label="Taxi Lumière", phone="33639984410", gateway="evo-3", gateway_state="silent"),
    resting(20, label="Optique Sully", phone="33639988020"),
]
COUNTS = {
    ("connected", ""): 388,
    ("connecting", "code_shown"): 9,
    ("connecting", "scanned"): 1,
    ("connecting", "reconnecting"): 4,
    ("creating", ""): 1,
    ("disconnected", "unlinked"): 3,
    ("disconnected", "pairing_expired"): 6,
    ("error", "banned"): 1,
    ("error", "webhook_missing"): 1,
}


def fleet(lang="fr", rows=ROWS, counts=COUNTS, found=412, part=None, **asked: Any) -> str:
    made = frame(lang)
    view = fleet_view(
        rows,
        counts=counts,
        found=found,
        gateways=["evo-1", "evo-2", "evo-3"],
        asked=Asked(**asked),
        frame=made,
    )
    return render.fleet(made, view, part)


def show(found: Instance, lang="fr", events=STORY, link=None, part=None, **more: Any) -> str:
    made = frame(lang, **more)
    return render.instance(made, instance_view(found, events, frame=made, link=link), part)


def pair(found: Instance, lang="fr", part=None) -> str:
    return render.pair(frame(lang, person=None), pair_view(found, TOKEN, NOW), part)


def all_pages(lang: str) -> dict[str, str]:
    """Render every page in every state that differs."""
    guest = frame(lang, person=None, live=False)
    inside = frame(lang, live=False, notice=Notice("ok", "Lien envoyé", "à 3 titulaires"))
    remove = {"what": "remove", "label": "Cabinet Lenoir", "action": "/instances/1/remove", "back": "/"}
    return {
        "login": render.login(guest),
        "login-wrong": render.login(
            guest, email="ines@marelle.example", error="wrong_login", facts={"left": 3}
        ),
        "login-limited": render.login(guest, error="too_many_requests", facts={"retry_after_s": 900}),
        "fleet": fleet(lang),
        "fleet-by-name": fleet(lang, by_name=True, page=2),
        "fleet-no-match": fleet(lang, rows=[], found=0, q="lenior"),
        "fleet-empty": fleet(lang, rows=[], counts={}, found=0),
        "new": render.new(inside),
        "new-wrong": render.new(inside, values={"email": "x"}, error="invalid", field="email"),
        "new-taken": render.new(inside, values={"email": "x@y.example"}, error="conflict"),
        "coming": render.coming(frame(lang), label="Cabinet Lenoir"),
        "instance-code": show(pairing(), lang),
        "instance-link": show(pairing(), lang, link=f"https://amarre.marelle.example/pair/{TOKEN}"),
        "instance-coming": show(pairing(code=None, code_expires_at=None, reason="awaiting_code"), lang),
        "instance-creating": show(in_state(4, "creating", None, error_code="gateway_silent"), lang, []),
        "instance-scanned": show(pairing(reason="scanned", code=None, code_expires_at=None), lang),
        "instance-connected": show(connected(), lang, HISTORY),
        "instance-silent": show(connected(gateway_state="silent"), lang, HISTORY),
        "instance-unlinked": show(in_state(5, "disconnected", "unlinked"), lang, HISTORY),
        "instance-resting": show(resting(), lang, HISTORY),
        "instance-banned": show(in_state(6, "error", "banned"), lang, HISTORY),
        "instance-failed": show(
            in_state(7, "error", "provisioning_failed", error_code="gateway_refused"), lang, HISTORY
        ),
        "pair-code": pair(pairing(), lang),
        "pair-coming": pair(pairing(code=None, code_expires_at=None), lang),
        "pair-scanned": pair(pairing(reason="scanned", state_since=NOW - 6 * SECONDS), lang),
        "pair-connected": pair(connected(), lang),
        "pair-resting": pair(resting(), lang),
        "pair-stuck": pair(in_state(8, "error", "banned"), lang),
        "pair-used": render.error(
            frame(lang, person=None, live=False, path=f"/pair/{TOKEN}"), status=410, code="link_used"
        ),
        "pair-unknown": render.pair_gone(guest, used=False),
        "account": render.account(inside),
        "account-wrong": render.account(inside, error="wrong_login"),
        "confirm": render.confirm(inside, **remove),
        "error-404": render.error(inside, status=404, code="not_found"),
        "error-503": render.error(guest, status=503, code="database_down"),
        "api": render.api(inside, SCHEMA),
    }
