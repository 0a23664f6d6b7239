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


async def test_a_page_that_is_open_does_not_undo_the_stop_that_was_pressed_on_it(h: Harbour):
    shown = await h.shown()
    await pairing.watch(h.means, shown.id, now=h.clock(), who="Bob")

    await pairing.rest(h.means, shown.id, actor="Bob", now=h.clock())
    for _ in range(8):
        await h.work()
        h.clock.advance(timedelta(seconds=15))
        await pairing.watch(h.means, shown.id, now=h.clock(), who="Bob")
    stopped = await h.get(shown.id)
    h.clock.advance(timedelta(minutes=5))
    await pairing.watch(h.means, shown.id, now=h.clock(), who="Bob")

    assert (stopped.state, stopped.reason) == ("disconnected", "pairing_expired")
    assert h.simulator.live_code(shown.name) is None
    assert (await h.until(lambda one: one.reason == "code_shown", shown.id)).code is not None


async def test_a_new_link_wakes_what_was_stopped_and_an_open_one_does_not(h: Harbour):
    shown = await h.shown()
    old, new = [
        (await pairing.make_link(h.means, shown.id, actor="Bob", now=h.clock())).rpartition("/")[2]
        for _ in range(2)
    ]
    await pairing.open_link(h.means, old, now=h.clock())
    await pairing.watch(h.means, shown.id, now=h.clock())
    await pairing.rest(h.means, shown.id, actor="Bob", now=h.clock())

    _, still = await pairing.open_link(h.means, old, now=h.clock())
    _, woken = await pairing.open_link(h.means, new, now=h.clock())

    assert (still.state, woken.state) == ("disconnected", "connecting")


async def test_a_link_that_has_paired_never_shows_another_code(h: Harbour):
    shown = await h.shown()
    path = (await pairing.make_link(h.means, shown.id, actor="Bob", now=h.clock())).removeprefix(h.url)
    async with h.http.get(path) as answer:
        first = answer.status
    h.simulator.scan(shown.name, phone="33639980001")
    await h.until(lambda one: one.state == "connected", shown.id)
    h.simulator.unlink(shown.name)
    await h.until(lambda one: one.reason == "unlinked", shown.id)
    await pairing.begin(h.means, shown.id, actor="Alice", now=h.clock())
    await h.until(lambda one: one.reason == "code_shown", shown.id)

    async with h.http.get(path) as answer:
        page = await answer.text()

    assert (first, answer.status) == (200, 410)
    assert "data:image" not in page
