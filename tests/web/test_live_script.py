"""What the pages' own scripts do in a browser: stay fresh, say so, and count down."""

import pytest
import pytest_asyncio

from . import web_sample as sample
from .axe import faults
from .stage import opened, served

pytestmark = pytest.mark.asyncio(loop_scope="session")

# One of each kind: pages that differ by a sentence are not read thrice.
NAMES = [
    *("login-wrong", "fleet", "fleet-no-match", "new-wrong", "account", "confirm", "error-503", "api"),
    *("instance-code", "instance-link", "instance-scanned", "instance-connected", "instance-failed"),
    *("pair-code", "pair-scanned", "pair-connected", "pair-resting"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def chrome(chromium):
    yield chromium
    for context in chromium.contexts:
        await context.close()


async def test_a_change_is_shown_and_the_readers_place_is_kept(chrome):
    rows = [sample.pairing(1, label="Clinique du Parc")]
    async with served(lambda part: sample.fleet("en", rows=rows, part=part)) as server:
        page, complaints = await opened(chrome, server.base + "/fleet")
        await page.wait_for_selector("#live.ok")
        await page.focus("#q")
        await page.keyboard.type("half a wo")
        rows[:] = [sample.connected(2, label="Fleurs de Lys"), sample.connected(1, label="Clinique du Parc")]
        await server.change()
        await page.wait_for_selector("text=Fleurs de Lys")

        await page.keyboard.type("rd")

        assert await page.input_value("#q") == "half a word"
        assert await page.locator("tbody .state.ok").count() == 2
        assert complaints == []


COUNT_TO_40 = """() => { let n = 0; const stream = new EventSource("/events");
    window.all40 = new Promise(done => stream.addEventListener("changed", () => ++n === 40 && done()));
    return new Promise(done => stream.addEventListener("hello", done)); }"""


async def test_a_burst_becomes_one_more_fetch(chrome):
    rows = [sample.connected(1, label="Before")]
    async with served(lambda part: sample.fleet("en", rows=rows, part=part)) as server:
        page, _ = await opened(chrome, server.base + "/fleet")
        await page.wait_for_selector("#live.ok")
        await page.evaluate(COUNT_TO_40)
        server.hold.clear()
        await server.change(40)
        await page.evaluate("window.all40")
        rows[:] = [sample.connected(1, label="After")]
        server.hold.set()
        await page.wait_for_selector("text=After")
        rows[:] = [sample.connected(1, label="Afterwards")]
        await server.change()
        await page.wait_for_selector("text=Afterwards")

        # The first, one more for the other 39, and the last change.
        assert len(server.asked) <= 3


async def test_the_lamp_tells_when_the_stream_is_cut_and_when_it_is_back(chrome):
    async with served(lambda part: sample.fleet("en", part=part)) as server:
        page, _ = await opened(chrome, server.base + "/fleet")
        await page.wait_for_selector("#live.ok")
        server.away = True
        server.hang_up()
        await page.wait_for_selector("#live.wait")
        said = await page.inner_text("#live")
        server.away = False

        await page.wait_for_selector("#live.ok", timeout=15_000)

        assert said == "Reconnecting… data of 14:32:13"
        assert server.asked[-1] == "fleet"


WATCH_FOR_EMPTY = """() => { window.emptied = false; new MutationObserver(() => {
    window.emptied ||= document.querySelector(".empty") !== null; })
    .observe(document.body, { childList: true, subtree: true }); }"""


async def test_an_error_answer_never_replaces_the_page(chrome):
    rows = [sample.connected(1, label="Before")]
    async with served(lambda part: sample.fleet("en", rows=rows, part=part)) as server:
        page, _ = await opened(chrome, server.base + "/fleet")
        await page.wait_for_selector("#live.ok")
        await page.evaluate(WATCH_FOR_EMPTY)
        rows[:], server.status = [], 503
        async with page.expect_response(lambda answer: answer.status == 503):
            await server.change()
        rows[:], server.status = [sample.connected(1, label="After")], 200
        await server.change()
        await page.wait_for_selector("text=After")

        assert not await page.evaluate("window.emptied")


async def test_a_shown_link_outlives_a_change(chrome):
    url = "https://amarre.marelle.example/pair/abc"

    def make(part):
        return sample.show(sample.pairing(), "en", link=None if part else url, part=part)

    async with served(make) as server:
        page, _ = await opened(chrome, server.base + "/instances/1/link")
        await page.wait_for_selector("#live.ok")
        await server.change()
        await page.wait_for_selector("#said:not(:empty)", state="attached")

        assert await page.input_value("#pairing-link") == url


async def test_a_code_counts_down_and_dies_on_the_page_and_the_next_one_comes(chrome):
    left = [2 * sample.SECONDS]

    def make(part):
        return sample.pair(sample.pairing(code_expires_at=sample.NOW + left[0]), "en", part)

    async with served(make) as server:
        page, complaints = await opened(chrome, server.base + "/pair/t")
        await page.wait_for_selector("#live.ok")
        server.hold.clear()
        await page.wait_for_selector(".qr.spent .over:not([hidden])")
        spent = await page.inner_text(".left-time")
        left[0] = 40 * sample.SECONDS
        server.hold.set()

        await page.wait_for_selector(".qr:not(.spent)")

        assert spent == "0\u00a0s"
        assert int((await page.inner_text(".left-time")).split()[0]) > 30
        assert complaints == []


async def test_a_paired_phone_ends_the_stream(chrome):
    found = [sample.pairing()]
    async with served(lambda part: sample.pair(found[0], "en", part)) as server:
        page, _ = await opened(chrome, server.base + "/pair/t")
        await page.wait_for_selector("#live.ok")
        found[0] = sample.connected()
        await server.change()

        await page.wait_for_selector("#live.off")

        assert await page.inner_text("h1") == "Your WhatsApp is linked"
        assert await page.inner_text("#said") == "Your WhatsApp is linked"


async def test_without_a_script_the_page_says_how_old_it_is(chrome):
    async with served(lambda _: sample.fleet("en")) as server:
        page, _ = await opened(chrome, server.base + "/fleet", java_script_enabled=False)

        assert "page of 14:32:13" in await page.inner_text("#live")


@pytest.mark.parametrize(
    ("lang", "scheme", "width"), [("fr", "light", 1400), ("en", "dark", 1400), ("fr", "dark", 390)]
)
async def test_everybody_can_use_every_page(chrome, lang, scheme, width):
    pages = sample.all_pages(lang)
    shown = [NAMES[0]]
    async with served(lambda _: pages[shown[0]]) as server:
        page, complaints = await opened(
            chrome, server.base, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        found: dict[str, list[str]] = {}
        for shown[0] in NAMES:
            await page.goto(server.base)
            wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
            found[shown[0]] = [*await faults(page), *complaints, *(["too wide"] if wide else [])]

    assert {name: wrong for name, wrong in found.items() if wrong} == {}
