"""A claim ends with the story that it was taken for, also when that breaks. LESSONS 11."""

from datetime import timedelta

import pytest

from amarre.core.instance import Heard
from amarre.flows import maintenance, pairing
from tests.story.harbour import Harbour


async def test_what_a_broken_story_had_claimed_comes_back_though_its_worker_lives(
    h: Harbour, monkeypatch: pytest.MonkeyPatch
):
    shown = await h.shown()
    await h.sql("update amarre.instances set due_at = now()")

    class OddError(Exception):
        pass

    async def broken(_: str) -> Heard:
        raise OddError

    (client,) = h.means.gateways.values()
    with monkeypatch.context() as patched:
        patched.setattr(client, "state", broken)
        with pytest.raises(OddError):
            await pairing.run(h.means, h.clock())
    assert (await h.sql("select claimed_by from amarre.instances")) == [{"claimed_by": 1}]

    for _ in range(8):
        h.clock.advance(timedelta(seconds=5))
        await maintenance.keep_claims(h.means, h.clock())
        await maintenance.give_back(h.means, h.clock())

    assert await h.sql("select claimed_by from amarre.instances") == [{"claimed_by": None}]
    assert (await h.until(lambda one: one.reason == "code_shown", shown.id)).code is not None
