"""People with browsers: who opens pages, what they see, and what their browser complains of."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO

import zxingcpp
from PIL import Image
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    ViewportSize,
)

from tests.story.harbour import PASSWORD, Harbour

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1400, "height": 900}
LOCALES = {"fr": "fr-FR", "en": "en-GB"}
# What the content policy stops is said aloud, so that it cannot be missed.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation",
  (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""
# Chromium says this of each page whose status is an error: the page itself is what was asked for.
EXPECTED = "Failed to load resource: the server responded with a status of "


@dataclass(eq=False)  # no slots: Playwright marks the listeners' owner
class Visitor:
    """One browser profile. `complaints` is what went wrong in any of its pages."""

    context: BrowserContext
    base: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> Page:
        """Open a page in a new tab."""
        page = await self.context.new_page()
        await page.goto(self.base + path)
        return page

    async def log_in(self, name: str = "alice") -> Page:
        """Log in as one of the team, through the login page."""
        page = await self.open("/login")
        await page.fill("#f-email", f"{name}@marelle.example")
        await page.fill("#f-password", PASSWORD)
        await page.click("form button")
        await page.wait_for_url("**/fleet")
        return page

    def heard(self, said: ConsoleMessage) -> None:
        if said.type == "error" and not said.text.startswith(EXPECTED):
            self.complaints.append(said.text)

    def asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:")):
            self.complaints.append(f"asked elsewhere: {request.url}")


@asynccontextmanager
async def visitor(chrome: Browser, base: str, lang: str = "en", **wish: object) -> AsyncGenerator[Visitor]:
    """Give somebody a browser without any cookie."""
    context = await chrome.new_context(locale=LOCALES[lang], reduced_motion="reduce", **wish)  # pyright: ignore[reportArgumentType]
    context.set_default_timeout(8000)
    made = Visitor(context, base)
    context.on("console", made.heard)
    context.on("weberror", lambda error: made.complaints.append(str(error.error)))
    context.on("request", made.asked)
    await context.add_init_script(TELL_VIOLATIONS)
    try:
        yield made
    finally:
        await context.close()


async def read_code(code: Locator) -> str | None:
    """Read the code on the screen as a phone does: from the picture alone."""
    picture = Image.open(BytesIO(await code.screenshot()))
    found = await asyncio.to_thread(zxingcpp.read_barcodes, picture)
    return found[0].text if found else None


async def log_in(h: Harbour, name: str) -> str:
    """Log in without a browser; return the session cookie's value."""
    form = {"email": f"{name}@marelle.example", "password": PASSWORD}
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with h.http.post("/login", data=form, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 303
        return answer.cookies["amarre_session"].value
