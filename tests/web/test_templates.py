"""What every page owes its reader, in both languages and in every state."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from amarre.web.i18n import error_text, pick_language
from amarre.web.pages import qr, render, spoken
from amarre.web.pages.look import look
from amarre.web.pages.timeline import line
from amarre.web.pages.view import Asked, Person, code_view
from amarre.web.templating import STATIC

from . import web_sample as sample
from .web_sample import NOW, PARIS, SECONDS, STORY

VOID = {"meta", "link", "input", "br", "img", "hr"}
PAGES = [(lang, name) for lang in ("fr", "en") for name in sample.all_pages("en")]
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>%(x)s{{7*7}}"""


class Reader(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.faults: list[str] = []
        self.uses: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, attrs)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style") and data.strip():
            self.faults.append(f"inline {self.open[-1]}")

    def _note(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(set(names)) != len(names):
            self.faults.append(f"<{tag}> has an attribute twice")
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.faults.append(f"inline {name} on <{tag}>")
            if name == "id":
                self.ids.append(value)
            if name in ("for", "aria-describedby"):
                self.refers.append(value)
            if tag == "use" and name == "href":
                self.uses.add(value)
        if tag == "script" and "src" not in names:
            self.faults.append("inline script")


@pytest.fixture(scope="module")
def pages():
    return {(lang, name): page for lang in ("fr", "en") for name, page in sample.all_pages(lang).items()}


@pytest.mark.parametrize(("lang", "name"), PAGES)
def test_a_page_is_whole_and_has_nothing_inline(pages, lang, name):
    read = Reader(pages[lang, name])

    assert (read.faults, read.open) == ([], [])
    assert len(set(read.ids)) == len(read.ids)
    assert set(read.refers) <= set(read.ids)


@pytest.mark.parametrize(("lang", "name"), PAGES)
def test_a_page_says_its_language_and_one_heading(pages, lang, name):
    page = pages[lang, name]

    assert f'<html lang="{lang}"' in page
    assert page.count("<h1") == 1
    assert "%(" not in page
    assert "None" not in re.sub(r"<[^>]*>", "", page)


def test_every_glyph_that_is_used_is_drawn(pages):
    drawn = set(re.findall(r'id="([^"]+)"', (STATIC / "glyphs.svg").read_text()))

    used = {one for page in pages.values() for one in Reader(page).uses}

    assert {one.removeprefix("/static/glyphs.svg#") for one in used} <= drawn


def test_every_file_that_a_page_asks_for_is_there(pages):
    asked = {path for page in pages.values() for path in re.findall(r'(?:src|href)="/static/([^"#]+)', page)}

    assert all((STATIC / path).is_file() for path in asked)


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_hostile_names_stay_words(lang):
    him: dict[str, Any] = {"label": HOSTILE, "profile_name": HOSTILE, "gateway": HOSTILE}
    told = [sample.event(1, "odd_thing", SECONDS, HOSTILE, who=HOSTILE), *STORY]
    shown = [
        sample.fleet(lang, rows=[sample.connected(**him)], q=HOSTILE),
        sample.show(sample.connected(**him), lang, told),
        sample.pair(sample.pairing(**him), lang),
        render.login(sample.frame(lang, person=None), email=HOSTILE, error="wrong_login"),
        render.new(sample.frame(lang), values={"full_name": HOSTILE}),
        render.coming(sample.frame(lang), label=HOSTILE),
    ]

    for page in shown:
        read = Reader(page)
        assert (read.faults, read.open) == ([], [])
        assert "<img" not in page
        assert "<script>" not in page


@pytest.mark.parametrize("name", ["fleet", "instance", "pair"])
def test_a_part_is_exactly_what_the_whole_page_shows_of_it(name):
    make = {
        "fleet": sample.fleet,
        "instance": lambda part=None: sample.show(sample.pairing(), part=part),
        "pair": lambda part=None: sample.pair(sample.pairing(), part=part),
    }[name]

    whole, part = make(), make(part=name)

    assert part.strip() in whole
    assert part.strip().startswith(f'<div class="stack" id="part-{name}" data-part="{name}"')
    assert "<html" not in part


def test_an_unknown_part_is_the_whole_page():
    assert "<html" in sample.fleet(part="nonsense")


def test_a_code_is_shown_with_the_time_it_has_left():
    page = sample.show(sample.pairing())

    assert 'data-expires-in-ms="28000" data-life-ms="45000"' in page
    assert 'stroke-dasharray="62 100"' in page
    assert "K7QM-2XPD" in page
    assert "14:32:41" in page


def test_a_dead_code_is_never_drawn():
    found = sample.pairing()

    assert found.code_expires_at
    assert code_view(found, found.code_expires_at - SECONDS)
    assert code_view(found, found.code_expires_at) is None
    assert "data-expires-in-ms" not in sample.show(sample.pairing(code_expires_at=NOW))


def test_a_pairing_link_is_shown_once_and_kept_by_the_live_page():
    url = "https://amarre.marelle.example/pair/abc"

    assert "data-keep" in sample.show(sample.pairing(), link=url)
    assert url in sample.show(sample.pairing(), link=url)
    assert "data-keep" not in sample.show(sample.pairing())


def test_what_a_person_may_not_do_is_not_offered():
    carol = Person("Carol", "viewer")
    bob = Person("Bob", "support")
    frame = sample.frame("en")

    assert "<form method=" not in sample.show(sample.pairing(), "en", person=carol)
    assert "/remove" not in sample.show(sample.pairing(), "en", person=bob)
    assert "/rest" in sample.show(sample.pairing(), "en", person=bob)
    assert "/remove" in sample.show(sample.pairing(), "en", person=frame.person)


def test_the_page_of_the_phone_tells_nothing_of_the_team():
    page = sample.pair(sample.pairing())

    assert "Inès" not in page
    assert "evo-2" not in page
    assert "/fleet" not in page


def test_what_a_silent_gateway_once_said_is_not_claimed():
    assert look("connected", None, "silent", "en").word == "Unknown"
    assert look("connected", None, "ok", "fr").word == "Connectée"
    assert look("disconnected", "unlinked", "silent", "fr").word == "Détachée"


def test_a_filter_keeps_the_others_and_starts_at_the_first_page():
    asked = Asked(q="lenoir", word="connected", gateway="evo 1", by_name=True, page=3)

    assert asked.href(word="moving") == "?q=lenoir&state=moving&gateway=evo+1&sort=name"
    assert asked.href(page=4).endswith("&page=4")
    assert Asked().href() == "?"


@pytest.mark.parametrize(
    ("spent", "fr", "en"),
    [
        (8 * SECONDS, "8\u00a0s", "8 s"),
        (timedelta(minutes=26), "26\u00a0min", "26 min"),
        (timedelta(hours=1, minutes=59), "1\u00a0h\u00a059", "1 h 59"),
        (timedelta(days=41), "41\u00a0j", "41 d"),
        (-SECONDS, "0\u00a0s", "0 s"),
    ],
)
def test_durations_are_short_and_rounded_down(spent, fr, en):
    assert (spoken.length(spent, "fr"), spoken.length(spent, "en")) == (fr, en)


def test_times_are_the_readers_own():
    assert spoken.clock(NOW, PARIS) == "14:32:13"
    assert spoken.moment(NOW - timedelta(days=9), NOW, PARIS, "fr") == "12 nov."
    assert spoken.exact(NOW - timedelta(days=9), NOW, PARIS, "en") == "12 Nov, 14:32"


def test_phones_are_written_for_people():
    assert spoken.phone("33639982218") == "+33 6 39 98 22 18"
    assert spoken.phone(None) is None
    assert spoken.phone("12") == "12"


def test_a_kind_of_event_that_is_not_known_still_reads():
    told = line("odd_thing_happened", {"took_ms": 12, "why": None}, None, "en")

    assert (told.title, told.detail) == ("Odd thing happened", "took ms: 12")


def test_an_event_without_its_facts_still_reads():
    assert line("code_shown", {}, None, "en").detail == ""
    assert line("connected", {}, None, "fr").title == "Connectée"
    assert line("pairing_started", {}, None, "fr").title == "Quelqu’un a demandé un code"


@pytest.mark.parametrize(
    ("wish", "lang"),
    [
        ({"person": "fr", "asked": "en"}, "fr"),
        ({"asked": "fr", "cookie": "en"}, "fr"),
        ({"cookie": "fr", "accepted": "en"}, "fr"),
        ({"accepted": "de, fr-CH;q=0.8, en;q=0.9"}, "en"),
        ({"accepted": "fr-FR,fr;q=0.9"}, "fr"),
        ({"accepted": "de;q=x, *;q=0.1, fr;q=0"}, "en"),
        ({"asked": "xx"}, "en"),
    ],
)
def test_the_language_is_the_readers_choice(wish, lang):
    assert pick_language(**wish) == lang


def test_an_error_without_a_text_still_reads():
    assert error_text("never_heard_of", {}, "en") == "Something went wrong (never_heard_of)."
    assert error_text("too_many_requests", {"retry_after_s": 900}, "fr").endswith("puis réessayez.")


def test_a_drawn_code_is_the_code():
    zxingcpp = pytest.importorskip("zxingcpp")
    image = pytest.importorskip("PIL.Image")
    text = sample.pairing().code or ""
    drawn = qr.draw(text)
    picture = image.new("L", (drawn.side + 8, drawn.side + 8), 255)
    for x, y, wide in re.findall(r"M(\d+) (\d+)h(\d+)", drawn.path):
        for step in range(int(wide)):
            picture.putpixel((int(x) + step + 4, int(y) + 4), 0)

    read = zxingcpp.read_barcodes(picture.resize((picture.width * 4, picture.height * 4), 0))

    assert [one.text for one in read] == [text]
