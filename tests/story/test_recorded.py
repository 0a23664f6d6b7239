"""Three recorded series of a real gateway's deliveries are taken in and end in the right state."""

import json
import random
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from amarre.core.instance import Heard
from amarre.flows import intake
from amarre.flows.means import HOOK_HEADER, HOOK_PATH
from amarre.gateways import GatewayAccess
from amarre.gateways.base import Listed
from amarre.gateways.evolution import Evolution
from amarre.store import instance
from amarre.store.vault import hash_secret
from tests.story.harbour import Harbour, harbour

DATA = Path(__file__).parent.parent / "data" / "evolution"
SECRET = "the-secret-of-the-recorded-instance-0001"
WORDS = {"open": Heard.OPEN, "connecting": Heard.CONNECTING, "close": Heard.CLOSED, "refused": Heard.CLOSED}
ENDS = {
    "hooks-B-qr-limit8-qr4s": ("connecting", "code_shown"),
    "hooks-C-pair-open-send-receive": ("connected", None),
    "hooks-D-kicks-restart-outage-401-logout": ("disconnected", "unlinked"),
}


class Recording(Evolution):
    """The gateway of a recording: it reads as the real client does, and says what was true then."""

    heard = Heard.CONNECTING

    async def state(self, name: str) -> Heard:
        return self.heard

    async def find(self, name: str) -> Listed | None:
        return Listed(name, self.heard)

    def hear(self, body: dict[str, Any]) -> None:
        """Be in the state that this delivery tells."""
        if body["event"] == "connection.update":
            self.heard = WORDS[body["data"]["state"]]


class Stage:
    """An installation whose gateway is a recording, and the instance that was recorded."""

    def __init__(self, h: Harbour, gateway: Recording, instance_id: UUID) -> None:
        self.h, self.gateway, self.id = h, gateway, instance_id

    async def deliver(self, body: dict[str, Any]) -> None:
        async with self.h.http.post(HOOK_PATH, json=body, headers={HOOK_HEADER: SECRET}) as answer:
            assert answer.status == 200, await answer.text()

    async def apply(self) -> None:
        while await intake.apply(self.h.means, self.h.clock()):
            pass

    async def ends(self) -> tuple[str, str | None]:
        found = await self.h.get(self.id)
        return found.state, found.reason


def series(name: str) -> list[dict[str, Any]]:
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    bodies = [json.loads(line)["body"] for line in lines]
    return [one for one in bodies if one["event"] != "--"]  # marks between the experiments


@pytest.fixture
async def stage(database_url: str) -> AsyncGenerator[Stage]:
    recording = Recording(GatewayAccess("evo-1", "evolution", "http://127.0.0.1:1", "no key"))
    async with harbour(database_url, gateway=recording) as h:
        user = await h.sign_up("Recorded")
        now = h.clock()
        async with h.means.db.transaction() as conn:
            made = await instance.add(
                conn,
                kind="evolution",
                gateway=next(iter(h.means.gateways)),
                user=user,
                name="q1",
                label="Recorded",
                now=now,
            )
            assert made is not None
            sealed = h.means.vault.seal(SECRET, owner=made)
            await instance.add_secrets(conn, made, sealed=sealed, hashed=hash_secret(SECRET))
            changes = {
                "state": "connecting",
                "reason": "awaiting_code",
                "created_remotely_at": now,
                "pairing_until": now + timedelta(hours=1),
            }
            await instance.record(conn, made, changes, now=now)
        yield Stage(h, recording, made)


@pytest.mark.parametrize("name", ENDS)
async def test_a_recorded_series_ends_in_the_right_state(stage: Stage, name: str):
    for body in series(name):
        stage.gateway.hear(body)
        await stage.deliver(body)
        await stage.apply()

    assert await stage.ends() == ENDS[name]
    waiting = await stage.h.sql("select count(*)::int as n from amarre.deliveries where applied_at is null")
    assert waiting == [{"n": 0}]


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_series_that_comes_late_twice_and_in_disorder_ends_the_same(
    stage: Stage, name: str, seed: int
):
    bodies = series(name)
    if name.startswith("hooks-D"):
        # This series begins with a paired instance.
        await stage.h.sql(
            "update amarre.instances set state = 'connected', reason = null, connected_at = now()"
        )
    for body in bodies:
        stage.gateway.hear(body)  # all of it is past when the first delivery arrives
    disordered = bodies * 2
    random.Random(seed).shuffle(disordered)  # a repeatable disorder

    for start in range(0, len(disordered), 7):
        for body in disordered[start : start + 7]:
            await stage.deliver(body)
        await stage.apply()

    assert await stage.ends() == ENDS[name]
    kept = await stage.h.sql("select count(*)::int as n from amarre.deliveries")
    assert kept[0]["n"] == len({json.dumps(one, sort_keys=True) for one in bodies})


async def test_the_last_code_of_a_recorded_series_is_the_one_that_is_shown(stage: Stage):
    bodies = series("hooks-B-qr-limit8-qr4s")
    for body in bodies:
        stage.gateway.hear(body)
        await stage.deliver(body)
        await stage.apply()

    shown = await stage.h.get(stage.id)

    codes = [one["data"]["qrcode"]["code"] for one in bodies if "qrcode" in (one["data"] or {})]
    assert shown.code == codes[-1]
    assert shown.code_number == len(codes)


async def test_a_storm_of_a_recorded_outage_is_told_once(stage: Stage):
    bodies = series("hooks-D-kicks-restart-outage-401-logout")
    first_open = next(i for i, one in enumerate(bodies) if (one["data"] or {}).get("state") == "open")
    longest = bodies[first_open + 1 :]
    start = next(i for i in range(len(longest)) if all(_is_connecting(one) for one in longest[i : i + 30]))
    stage.gateway.hear(bodies[first_open])
    await stage.deliver(bodies[first_open])
    await stage.apply()

    for body in longest[start : start + 30]:
        stage.gateway.hear(body)
        await stage.deliver(body)
        await stage.apply()

    assert (await stage.h.kinds(stage.id)).count("reconnecting") == 1


def _is_connecting(body: dict[str, Any]) -> bool:
    return (body["data"] or {}).get("state") == "connecting"
