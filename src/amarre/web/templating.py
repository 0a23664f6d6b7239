"""The templates: one environment a language, everything escaped, nothing undefined.

Pages hold no inline style or script: the content policy forbids them, and tests look.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from amarre import __version__
from amarre.web.i18n import catalog

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
TEMPLATES: Final = HERE / "templates"


@cache
def environment(lang: str) -> Environment:
    """Make the environment of a language."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    texts = catalog(lang)
    # The extension adds this method, and the globals take any value; their types say neither.
    install = cast("Callable[..., None]", vars(made)["install_gettext_callables"])
    install(texts.gettext, texts.ngettext, newstyle=True, pgettext=texts.pgettext, npgettext=texts.npgettext)
    cast("dict[str, object]", made.globals).update(version=__version__, lang=lang)
    return made


def render(template: str, lang: str, **values: object) -> str:
    """Render a whole page."""
    return environment(lang).get_template(template).render(values)


def render_block(template: str, block: str, lang: str, **values: object) -> str:
    """Render one block of a page, as a live page asks for it."""
    page = environment(lang).get_template(template)
    return "".join(page.blocks[block](page.new_context(values)))
