"""Every page, as everybody sees it: both languages, both schemes, on a phone and on a desk.

Nobody is kept out (axe), nothing is asked of another origin, nothing breaks the content
policy, nothing is wider than the phone.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, Route, ViewportSize

from amarre.flows import pairing
from tests.story.harbour import Harbour, harbour, with_team

from .axe import COLOURS, RULES, Rules, faults
from .browsing import DESKTOP, PHONE, Visitor, visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")

# A scheme changes nothing but colours.
LOOKS: list[tuple[Literal["light", "dark"], ViewportSize, Rules]] = [
    ("light", PHONE, RULES),
    ("dark", PHONE, COLOURS),
    ("dark", DESKTOP, RULES),
    ("light", DESKTOP, COLOURS),
]
# A page that is open wakes its instance: a stream that only greets keeps the state under test.
GREETING = "retry: 600000\nevent: hello\ndata: {}\n\n"


@dataclass(frozen=True)
class Stop:
    """A page to look at, and the words of a state that it must show (French, English)."""

    path: str
    frozen: bool = False
    state: tuple[str, str] = ("", "")
    status: int = 200


@asynccontextmanager
async def fleet(database_url: str) -> AsyncGenerator[tuple[Harbour, list[Stop], list[Stop]]]:
    """Open an installation with an instance in each state; the stops of a guest and of the team."""
    async with harbour(database_url) as h:
        await with_team(h)
        unlinked = await h.connected("Cabinet Lenoir", "33639980104")
        h.simulator.unlink(unlinked.name)
        await h.until(lambda one: one.reason == "unlinked", unlinked.id)
        banned = await h.connected("Boulangerie des Halles", "33639980103")
        h.simulator.ban(banned.name)
        await h.until(lambda one: one.reason == "banned", banned.id)
        resting = await h.shown("Institut Aurore")
        await pairing.rest(h.means, resting.id, actor="Bob", now=h.clock())
        connected = await h.connected("Vélo Cité", "33639980112")
        used = await pairing.make_link(h.means, connected.id, actor="Bob", now=h.clock())
        h.simulator.fault("refuse")
        creating = await h.of_user(await _sign_up_in_vain(h))
        h.simulator.clear_faults()
        shown = await h.shown("Clinique du Parc")
        link = await pairing.make_link(h.means, shown.id, actor="Bob", now=h.clock())
        guest = [
            Stop(link.removeprefix(h.url), frozen=True),
            Stop(used.removeprefix(h.url), frozen=True),
            Stop("/pair/never-was-one", status=404),
            Stop("/login"),
        ]
        team = [
            Stop(f"/instances/{shown.id}", state=("À scanner", "Ready to scan")),
            Stop("/fleet"),
            Stop("/fleet?q=nobody"),
            Stop("/fleet?state=attention&sort=name"),
            Stop(f"/instances/{connected.id}", state=("Connectée", "Connected")),
            Stop(f"/instances/{resting.id}", frozen=True, state=("Au repos", "Resting")),
            Stop(f"/instances/{unlinked.id}", frozen=True, state=("Détachée", "Unlinked")),
            Stop(f"/instances/{banned.id}", frozen=True, state=("Bannie", "Banned")),
            Stop(f"/instances/{creating.id}", frozen=True, state=("Création", "Creating")),
            Stop("/customers/new"),
            Stop("/account"),
            Stop(f"/instances/{connected.id}/remove"),
            Stop("/api/docs"),
            Stop(f"/instances/{uuid4()}", status=404),
            Stop("/nowhere", status=404),
        ]
        yield h, guest, team


async def _sign_up_in_vain(h: Harbour):
    user = await h.sign_up("Fleurs de Lys")
    await h.work()
    return user


async def _look(page: Page, name: str, wrong: dict[str, list[str]], complaints: list[str]) -> None:
    """Look at a page in every scheme and size, and note what is wrong with it."""
    for scheme, size, rules in LOOKS:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size(size)
        wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        found = [*await faults(page, rules=rules), *(["too wide"] if wide else []), *complaints]
        complaints.clear()
        if found:
            wrong[f"{name} {scheme} {size['width']}"] = found


async def _walk(who: Visitor, stops: list[Stop], lang: str) -> dict[str, list[str]]:
    page = await who.context.new_page()
    wrong: dict[str, list[str]] = {}
    for stop in stops:
        if stop.frozen:
            await page.route("**/*events*", _greet)
        answer = await page.goto(who.base + stop.path)
        assert answer is not None
        assert answer.status == stop.status, stop.path
        if any(stop.state):
            said = await page.inner_text(".head .state")
            assert said == stop.state[lang == "en"], stop.path
        await _look(page, stop.path, wrong, who.complaints)
        await page.unroute_all()
    return wrong


async def _greet(route: Route) -> None:
    await route.fulfill(status=200, content_type="text/event-stream", body=GREETING)


async def _refused_forms(who: Visitor) -> dict[str, list[str]]:
    """Fill forms in wrongly: what comes back must be usable as well."""
    wrong: dict[str, list[str]] = {}
    page = await who.open("/customers/new")
    await page.evaluate("document.forms[0].noValidate = true")
    await page.fill("#f-email", "not an address")
    await page.click("main form button.main")
    await page.wait_for_selector("#w-email")
    await _look(page, "new customer refused", wrong, who.complaints)
    await page.goto(who.base + "/account")
    await page.fill("#f-old", "not my password")
    await page.fill("#f-new", "long enough a password")
    await page.click("form[action='/account/password'] button")
    await page.wait_for_selector("#w-old")
    await _look(page, "password refused", wrong, who.complaints)
    return wrong


async def test_a_fault_would_be_seen(chromium: Browser):
    page = await chromium.new_page()
    await page.set_content("<p style='color: #aaa; background: #fff'>pale<img src=x></p>")

    assert [one.partition(":")[0] for one in await faults(page, rules=COLOURS)] == ["color-contrast"]
    assert "image-alt" in [one.partition(":")[0] for one in await faults(page)]
    await page.close()


async def test_what_does_not_exist_yet_is_not_offered_a_code(chromium: Browser, database_url: str):
    async with fleet(database_url) as (h, _, of_team), visitor(chromium, h.url, "en") as alice:
        await alice.log_in()
        creating = next(one for one in of_team if "Creating" in one.state)
        page = await alice.open(creating.path)

        assert await page.locator(".head form").count() == 0
        assert "The instance is being created" in await page.inner_text("#deck-code")


@pytest.mark.parametrize("lang", ["fr", "en"])
async def test_everybody_can_use_every_page(chromium: Browser, database_url: str, lang: str):
    async with (
        fleet(database_url) as (h, of_guests, of_team),
        visitor(chromium, h.url, lang) as guest,
        visitor(chromium, h.url, lang) as alice,
    ):
        wrong = await _walk(guest, of_guests, lang)
        door = await guest.open("/login")
        await door.fill("#f-email", "alice@marelle.example")
        await door.fill("#f-password", "not her password")
        await door.click("form button")
        await door.wait_for_selector("#w-password")
        await _look(door, "login refused", wrong, guest.complaints)
        await alice.log_in()
        wrong |= await _walk(alice, of_team, lang) | await _refused_forms(alice)

    assert wrong == {}


async def test_the_simulated_phones_page_can_be_used_by_everybody_too(chromium: Browser, database_url: str):
    async with harbour(database_url) as h:
        await h.connected("Vélo Cité", "33639980112")
        await h.shown("Clinique du Parc")
        async with visitor(chromium, h.simulator.control_url) as alice:
            page = await alice.open("/")
            wrong: dict[str, list[str]] = {}
            await _look(page, "simulated phones", wrong, alice.complaints)

            await page.fill("input[name=phone]", "33639980113")
            await page.click("button:has-text('Scan')")
            await page.locator(".phone.open").nth(1).wait_for()

    assert wrong == {}


async def _add(page: Page, name: str) -> None:
    await page.click("text=New customer")
    await page.fill("#f-full_name", name)
    await page.click("main form button.main")
    await page.wait_for_url("**/customers/*")


async def test_everything_that_matters_works_without_a_script(chromium: Browser, database_url: str):
    async with (
        harbour(database_url) as h,
        visitor(chromium, h.url, "en", java_script_enabled=False) as bob,
    ):
        await with_team(h)
        await h.connected("Vélo Cité", "33639980112")
        page = await bob.log_in("bob")
        await _add(page, "Clinique du Parc")
        await h.work()
        await page.click("text=Look again")
        await page.wait_for_url("**/instances/*")
        code = await page.locator(".qr .image").count()
        await page.click("text=Stop pairing")
        await page.wait_for_selector(".head .state:has-text('Resting')")

        await page.click("text=Fleet")
        await page.click(".overview a:has-text('Resting')")
        resting = await page.locator("table.fleet tbody tr[id]").all_inner_texts()
        await page.fill("#q", "vélo")
        await page.click("text=Filter")
        await page.click("a:has-text('Clear the filters')")
        everything = await page.locator("table.fleet tbody tr[id]").count()

        assert code == 1
        assert len(resting) == 1
        assert "Clinique du Parc" in resting[0]
        assert everything == 2
        assert bob.complaints == []


async def test_a_page_that_was_cut_off_shows_what_it_missed(chromium: Browser, database_url: str):
    async with harbour(database_url) as h, visitor(chromium, h.url, "en") as alice:
        await with_team(h)
        shown = await h.shown("Clinique du Parc")
        page = await alice.log_in()
        await page.wait_for_selector("#live.ok")
        await page.wait_for_selector(f"#i-{shown.id} .state:has-text('Ready to scan')")
        await h.sign_up("Vélo Cité")
        await h.work()
        await page.wait_for_selector("th.who:has-text('Vélo Cité')")
        h.live.close()
        await page.wait_for_selector("#live.wait")
        h.simulator.scan(shown.name, phone="33639980105")
        await h.until(lambda one: one.state == "connected", shown.id)
        async with page.expect_request(lambda one: "/events" in one.url, timeout=15_000) as again:
            h.live.closing.clear()
        await page.wait_for_selector(f"#i-{shown.id} .state:has-text('Connected')", timeout=15_000)
        await page.wait_for_selector("#live.ok")

        sent = await (await again.value).all_headers()
        assert sent["last-event-id"].isdigit()
        assert alice.complaints == []
