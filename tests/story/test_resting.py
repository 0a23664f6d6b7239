"""An instance that rests is left alone, by us and by its gateway. LESSONS 8."""

from dataclasses import replace
from datetime import timedelta

from amarre.flows import pairing, reconcile
from tests.story.harbour import Harbour


async def test_a_gateway_that_goes_on_by_itself_is_stopped_whoever_notices(h: Harbour):
    shown = await h.shown()
    await pairing.rest(h.means, shown.id, actor="bob", now=h.clock())
    await h.work()
    (client,) = h.means.gateways.values()
    stopped = h.simulator.calls("logout")
    await client.connect(shown.name)

    await reconcile.ask_one(h.means, await h.get(shown.id))
    await h.work()

    assert h.simulator.calls("logout") == stopped + 1
    assert (await h.get(shown.id)).reason == "pairing_expired"


async def test_a_worker_whose_clock_is_behind_does_not_ask_again_and_again(h: Harbour):
    shown = await h.shown()
    behind = replace(h.another_worker(2), clock=lambda: h.clock() - timedelta(seconds=10))
    await h.sql("update amarre.instances set due_at = now() - interval '1 minute', heard_at = now()")
    asked = h.simulator.calls(name=shown.name)

    for _ in range(5):
        await pairing.run(behind, behind.clock())

    assert h.simulator.calls(name=shown.name) == asked + 1
    assert (await h.get(shown.id)).due_at is not None
