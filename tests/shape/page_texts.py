"""Finds every text of the pages: what the catalogs must hold."""

from pathlib import Path

from babel.messages.extract import extract
from babel.messages.pofile import read_po

import amarre.web
from amarre.web.i18n import LOCALE

WEB = Path(amarre.web.__file__).parent
WORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "say": None,
    "speech": None,
    "plural": (1, 2),
    "mark": None,
    "mark_in": ((1, "c"), 2),
}

Text = tuple[str | None, str, str | None]


def of_file(path: Path) -> set[Text]:
    """Find the texts of a file as (context, singular, plural)."""
    method = "jinja2.ext:babel_extract" if path.suffix == ".html" else "python"
    options = {"trimmed": "false", "silent": "false"}
    found: set[Text] = set()
    with path.open("rb") as source:
        for _, text, _, context in extract(method, source, keywords=WORDS, options=options):
            one, many = text if isinstance(text, tuple) else (text, None)
            if one:
                found.add((context, one, many))
    return found


def of_pages() -> set[Text]:
    """Find the texts of all templates and of all code."""
    files = [*WEB.glob("templates/*.html"), *WEB.rglob("*.py")]
    return set[Text]().union(*(of_file(path) for path in files))


def translated(lang: str) -> dict[Text, tuple[str, ...]]:
    """Read a catalog: what each text becomes. Fuzzy entries count as missing."""
    with (LOCALE / lang / "LC_MESSAGES" / "amarre.po").open("rb") as source:
        catalog = read_po(source, locale=lang)
    found: dict[Text, tuple[str, ...]] = {}
    for one in catalog:
        if not one.id or one.fuzzy:
            continue
        singular, plural = _both(one.id) if isinstance(one.id, tuple) else (str(one.id), None)
        said = one.string if isinstance(one.string, tuple) else (one.string,)
        found[one.context, singular, plural] = tuple(str(each) for each in said)
    return found


def _both(texts: tuple[object, ...]) -> tuple[str, str]:
    return str(texts[0]), str(texts[1])
