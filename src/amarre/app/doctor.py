"""The examination: each finding says what was looked at, what was found, and what to do."""

import stat
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp

from amarre.app.build import open_means
from amarre.app.clock import read as read_now
from amarre.core.errors import AmarreError
from amarre.flows import reconcile
from amarre.flows.means import Means
from amarre.settings import SHORTEST_KEY, Settings
from amarre.store import access, adopt, checkup
from amarre.store import gateway as gateways
from amarre.store.migrate import pending

Verdict = Literal["ok", "warn", "bad"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
CLOCKS_MAY_DIFFER = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `do` is empty when nothing is to be done."""

    verdict: Verdict
    what: str
    found: str
    do: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give it as a JSON object."""
        return asdict(self)


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that an installation needs."""
    try:
        async with open_means(settings) as means:
            found = [one async for one in _all(settings, means)]
    except AmarreError as failed:
        found = [Finding("bad", "database", str(failed), "mend this first; the rest needs the database")]
    return found + _secrets(settings)


async def _all(settings: Settings, means: Means) -> AsyncIterator[Finding]:
    for part in (_database, _rights, _people, _gateways):
        for finding in await part(means):
            yield finding
    yield await _address(settings)


async def _database(means: Means) -> list[Finding]:
    waiting = await pending(means.db.url)
    async with means.db.transaction() as conn:
        facts = await checkup.server(conn)
    apart = abs(facts.now - read_now())
    return [
        Finding("ok", "database", f"PostgreSQL {facts.version}"),
        Finding("warn", "migrations", f"{len(waiting)} waiting", "amarre db migrate")
        if waiting
        else Finding("ok", "migrations", "up to date"),
        Finding("ok", "notifications", "LISTEN works")
        if means.db.session.listen
        else Finding(
            "warn",
            "notifications",
            "LISTEN does not work here (a pooler in transaction mode?): looking once a second instead",
            "use the direct port or session mode in DATABASE_URL",
        ),
        Finding("ok", "clocks", f"database and service {apart.total_seconds():.1f} s apart")
        if apart < CLOCKS_MAY_DIFFER
        else Finding(
            "bad",
            "clocks",
            f"database and service {apart.total_seconds():.0f} s apart",
            "synchronise them (NTP)",
        ),
    ]


async def _rights(means: Means) -> list[Finding]:
    async with means.db.transaction() as conn:
        theirs = await adopt.look(conn)
        trigger_on = await checkup.trigger_is_on(conn)
        replaced = await checkup.replaced_functions(conn)
    found: list[Finding] = []
    if theirs.obstacles and not theirs.adopted:
        names = ", ".join(theirs.obstacles)
        found.append(Finding("warn", "names", f"not ours in schema public: {names}", "amarre db adopt"))
    if replaced:
        found.append(Finding("warn", "functions", f"replaced: {', '.join(replaced)}", "amarre db migrate"))
    found.append(
        Finding("ok", "sign-ups", "the trigger on profiles is on")
        if trigger_on
        else Finding("bad", "sign-ups", "the trigger on profiles is off or gone", "amarre db migrate")
    )
    return found


async def _people(means: Means) -> list[Finding]:
    async with means.db.transaction() as conn:
        team = await access.users(conn)
    if any(one.role == "admin" and one.active for one in team):
        return [Finding("ok", "people", f"{len(team)} may log in")]
    return [Finding("bad", "people", "no administrator may log in", "amarre user add EMAIL --role admin")]


async def _gateways(means: Means) -> list[Finding]:
    if not means.gateways:
        return [
            Finding(
                "bad",
                "gateway",
                "none is configured here",
                "set EVOLUTION_API_BASE_URL and EVOLUTION_API_KEY",
            )
        ]
    async with means.db.transaction() as conn:
        rows = {one.id: one for one in await gateways.all_of_them(conn)}
    strangers = await reconcile.strangers(means)
    found: list[Finding] = []
    for key, client in means.gateways.items():
        name = rows[key].name
        try:
            about = await client.about()
        except AmarreError as failed:
            found.append(Finding("bad", f"gateway {name}", failed.code, _cure(failed.code)))
            continue
        found += _one_gateway(
            name, f"{about.version} ({about.took.total_seconds() * 1000:.0f} ms)", strangers
        )
    return found


def _one_gateway(name: str, version: str, strangers: dict[str, list[str] | str]) -> list[Finding]:
    others = strangers.get(name, [])
    if isinstance(others, str):
        return [Finding("bad", f"gateway {name}", f"{version}, but its list: {others}", _cure(others))]
    found = [Finding("ok", f"gateway {name}", f"{version}, key accepted")]
    if others:
        shown = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")  # noqa: PLR2004
        found.append(
            Finding(
                "warn",
                f"gateway {name}",
                f"{len(others)} instances are not ours: {shown}",
                "delete those that no other installation uses",
            )
        )
    return found


_CURES = {
    "gateway_unreachable": "is it running, and is EVOLUTION_API_BASE_URL right?",
    "gateway_silent": "it accepts connections and does not answer: look at its log",
    "gateway_refused": "EVOLUTION_API_KEY is not its AUTHENTICATION_API_KEY",
    "gateway_unlicensed": "activate its licence (its own page tells how)",
    "gateway_unclear": "is EVOLUTION_API_BASE_URL an Evolution API >= 2.1?",
}


def _cure(code: str) -> str:
    return _CURES.get(code, "look at the gateway's log")


async def _address(settings: Settings) -> Finding:
    """Ask our own public address, as a gateway would. That it comes from here proves less than it seems."""
    base = settings.webhook_base_url or settings.url
    here = urlsplit(base).hostname in LOOPBACK
    gateway_here = urlsplit(settings.evolution_url or "").hostname in (*LOOPBACK, None)
    if here and not gateway_here:
        return Finding(
            "bad",
            "webhook address",
            f"gateways are told {base}, which is this machine for them too",
            "set SUPABASE_URL (or AMARRE_WEBHOOK_BASE_URL) to an address that the gateway reaches",
        )
    try:
        timeout = aiohttp.ClientTimeout(total=5)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{base}/healthz") as answer,
        ):
            answered = answer.status == 200  # noqa: PLR2004
    except (aiohttp.ClientError, TimeoutError):
        answered = False
    if answered:
        return Finding("ok", "webhook address", f"{base} answers from here")
    return Finding(
        "warn",
        "webhook address",
        f"{base} does not answer from here",
        "is amarre serve running, and reachable there?",
    )


def _secrets(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    for name in Settings.SECRETS:
        secret = getattr(settings, name)
        alias = str(Settings.model_fields[name].alias)
        if secret is not None and len(secret.get_secret_value()) < SHORTEST_KEY:
            found.append(
                Finding("warn", alias, f"fewer than {SHORTEST_KEY} characters", "openssl rand -base64 32")
            )
        elif secret is None and settings.database_url is not None:
            found.append(Finding("warn", alias, "not set: the routes that need it refuse", f"set {alias}"))
    folder = settings.data_dir / "keys"
    if folder.is_dir():
        open_to_others = [one.name for one in folder.iterdir() if stat.S_IMODE(one.stat().st_mode) & 0o077]
        if open_to_others:
            names = ", ".join(open_to_others)
            found.append(Finding("bad", "keys", f"others may read {names}", f"chmod 600 {folder}/*"))
        else:
            found.append(Finding("ok", "keys", "generated keys are readable by us only"))
    return found
