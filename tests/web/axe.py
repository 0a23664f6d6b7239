"""Asks axe-core whether everybody can use a page.

It is evaluated in the page's own context, not loaded by a script tag: the content policy of
the pages forbids scripts from elsewhere, and stays in force while it is tested.
"""

from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Page

AXE = Path(__file__).parents[1] / "data" / "axe" / "axe.min.js"
Rules = dict[str, object]
RULES: Rules = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
# What another colour scheme can break.
COLOURS: Rules = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
RUN = "rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })"


@cache
def _source() -> str:
    return AXE.read_text(encoding="utf-8")


async def faults(page: Page, *, rules: Rules = RULES) -> list[str]:
    """Name every violation on the page as it is now: the rule, and where it is broken."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_source())
    found: dict[str, Any] = await page.evaluate(RUN, rules)
    return [_told(one) for one in found["violations"]]


def _told(violation: dict[str, Any]) -> str:
    places = ", ".join(" ".join(map(str, node["target"])) for node in violation["nodes"][:3])
    return f"{violation['id']}: {violation['help']} ({places})"
