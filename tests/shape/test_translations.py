"""Both languages are complete, and French is set as French is set."""

import importlib
import pkgutil
import re

import pytest

import amarre
from amarre.core.errors import AmarreError
from amarre.core.instance import Reason, State
from amarre.web.i18n import LANGS, error_text
from amarre.web.pages.look import look
from amarre.web.wording import ERRORS

from . import page_texts as texts

PLACE = re.compile(r"%\((\w+)\)s")
FRENCH = texts.translated("fr")


def codes(error=AmarreError) -> set[str]:
    return {error.code}.union(*(codes(one) for one in error.__subclasses__()))


def load_everything() -> None:
    for module in pkgutil.walk_packages(amarre.__path__, "amarre."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def test_every_text_of_the_pages_is_in_the_french_catalog():
    assert sorted(texts.of_pages() - FRENCH.keys(), key=str) == []


def test_the_french_catalog_holds_nothing_that_no_page_says():
    assert sorted(FRENCH.keys() - texts.of_pages(), key=str) == []


@pytest.mark.parametrize(("text", "said"), FRENCH.items())
def test_a_translation_says_something_with_the_same_facts(text, said):
    _, one, many = text
    facts = set(PLACE.findall(one)) | set(PLACE.findall(many or ""))

    assert all(said)
    assert all(set(PLACE.findall(each)) == facts for each in said)


@pytest.mark.parametrize("said", [each for said in FRENCH.values() for each in said])
def test_french_keeps_its_punctuation_to_its_word(said):
    plain = PLACE.sub("x", said)

    assert not re.search(r" [;?!:»%]|« ", plain)
    assert not re.search(r"(?<=[a-zéèêàûî’])[;?!]", plain)
    assert '"' not in plain
    assert "'" not in plain


def test_every_error_code_has_its_text_in_both_languages():
    load_everything()

    assert sorted(codes() - ERRORS.keys()) == []
    for lang in LANGS:
        for code in codes():
            assert error_text(code, {}, lang) != code
    assert all(error_text(code, {}, "fr") != error_text(code, {}, "en") for code in codes())


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("reason", [None, *Reason])
@pytest.mark.parametrize("state", State)
def test_every_state_and_reason_has_a_look(state, reason, lang):
    assert look(state, reason, "ok", lang).word


def test_no_text_hides_from_the_search_for_texts():
    """A call on the result of a call, and a call inside an f-string, are not seen by it."""
    hidden = re.compile(r"speech\([\w.]*\)(\.\w+)?\(\s*[\"'f]|\{(say|_|speech)[.(]")

    found = [path.name for path in texts.WEB.rglob("*.py") if hidden.search(path.read_text())]

    assert found == []
