"""French and English: which one a reader gets, and what is said in it.

The source texts are English and stand where they are used. `locale/fr` translates them; it
is read at start, so there is no build step, and a missing text shows in English rather than
failing (tests/shape keeps the catalog complete).
"""

import gettext
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from amarre.web.wording import ERRORS, UNKNOWN_CODE

LANGS: Final = ("en", "fr")
DEFAULT: Final = "en"
LOCALE = Path(__file__).parent / "locale"


@cache
def catalog(lang: str) -> gettext.NullTranslations:
    """Read the texts of a language; English needs none."""
    path = LOCALE / lang / "LC_MESSAGES" / "amarre.po"
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as source:
        texts = read_po(source, locale=lang)
    compiled = io.BytesIO()
    write_mo(compiled, texts)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


class _Facts(dict[str, str | int | float]):
    def __missing__(self, key: str) -> str:
        """Say a dash for what is not known."""
        return "–"  # the dash that pages use for nothing


@dataclass(frozen=True, slots=True)
class Speech:
    """Says texts in one language: `say("Hello, %(name)s", name="Ada")`."""

    lang: str

    def __call__(self, text: str, **facts: str | float) -> str:
        """Say a text."""
        return catalog(self.lang).gettext(text) % _Facts(facts)

    def plural(self, one: str, many: str, n: int, **facts: str | float) -> str:
        """Say a text about `n` things; `%(n)s` is their number as it is written."""
        return catalog(self.lang).ngettext(one, many, n) % _Facts({"n": n} | facts)

    def many(self, text: str) -> str:
        """Say a word about several instances: French has plurals where English has none."""
        return catalog(self.lang).pgettext("many", text)


@cache
def speech(lang: str) -> Speech:
    """Give the speech of a language; one that we do not have speaks English."""
    return Speech(lang if lang in LANGS else DEFAULT)


def error_text(code: str, facts: Mapping[str, object], lang: str) -> str:
    """Say in the reader's language what an error's code means. Unknown codes still read acceptably."""
    known = {key: str(value) for key, value in facts.items()}
    return speech(lang)(ERRORS.get(code, UNKNOWN_CODE), **{"code": code, **known})


def pick_language(
    *,
    person: str | None = None,
    asked: str | None = None,
    cookie: str | None = None,
    accepted: str = "",
    default: str = DEFAULT,
) -> str:
    """Choose a language: a person's own, then `?lang=`, the cookie, what the browser accepts."""
    for wish in (person, asked, cookie, *_accepted(accepted)):
        if wish in LANGS:
            return wish
    return default


def _accepted(header: str) -> Sequence[str]:
    """Read Accept-Language, best first; what makes no sense is left out."""
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(header.split(",")[:20]):
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if quality > 0:
            weighed.append((-quality, place, tag.split("-")[0].strip().lower()))
    return [lang for _, _, lang in sorted(weighed)]
