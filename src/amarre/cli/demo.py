"""demo: everything at once, with a simulated gateway and a sample fleet. No phone needed."""

import asyncio
import contextlib
import json
import os
import secrets
import shlex
import socket
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from amarre.app import Admin, Running, serve
from amarre.cli.common import settings
from amarre.flows import provision
from amarre.settings import Settings
from amarre.simulators.evolution import EvolutionSimulator
from amarre.store import fleet, profile
from amarre.store.fleet import Wish
from amarre.store.instance import Instance

ADMIN = "admin@demo.example"
DATA_DIR = Path(".amarre/demo")
SAVE_EVERY_S = 2.0
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A customer of the sample fleet, and what becomes of his connection."""

    name: str
    phone: str
    fate: str = "connected"  # connected, unlinked, banned, waiting


# Made-up names; numbers from a range that is reserved for fiction.
SAMPLES = (
    Sample("Atelier Bonnard", "33639980101"),
    Sample("Auto-école Jaurès", "33639980102"),
    Sample("Boulangerie des Halles", "33639980103", "banned"),
    Sample("Cabinet Lenoir", "33639980104", "unlinked"),
    Sample("Clinique du Parc", "33639980105", "waiting"),
    Sample("Fleurs de Lys", "33639980106"),
    Sample("Garage Vasseur", "33639980107"),
    Sample("Hôtel du Quai", "33639980108"),
    Sample("Institut Aurore", "33639980109", "waiting"),
    Sample("Librairie Pont-Neuf", "33639980110"),
    Sample("Pharmacie Sully", "33639980111"),
    Sample("Vélo Cité", "33639980112"),
)


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(demo)


def demo(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where everything is kept.")] = DATA_DIR,
) -> None:
    """Run everything with a simulated gateway and a sample fleet. Ctrl-C ends it.

    Prints `ready <url>` and writes `demo.json` (addresses and keys) into the data directory,
    and `demo.env`, with which other commands work on it: `set -a; . DIR/demo.env; amarre doctor`.
    """
    # Others may pass, not look: the database runs as another user where we are root.
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    asyncio.run(_run(port or _free_port(), data_dir))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _run(port: int, data_dir: Path) -> None:
    async with EvolutionSimulator() as simulator:
        memory = data_dir / "simulator.json"
        simulator.remember(memory)
        read = settings(
            data_dir,
            host="127.0.0.1",
            port=port,
            base_url=f"http://127.0.0.1:{port}",
            company="Marelle",
            evolution_url=simulator.base_url,
            evolution_key=SecretStr(simulator.api_key),
            evolution_name="evo-1",
        )
        admin = Admin(ADMIN, _password(data_dir))

        async def ready(running: Running) -> None:
            if await _fill(running, simulator):
                simulator.keep(memory)
            facts = _facts(running, simulator, admin)
            _write(data_dir / "demo.json", json.dumps(facts, indent=2) + "\n")
            _write(data_dir / "demo.env", _environment(read, simulator))
            typer.echo(f"Administrator: {ADMIN}  password: {admin.password}")
            typer.echo(f"Simulated phones: {simulator.control_url}/")
            typer.echo(f"ready {running.settings.url}")

        keeping = asyncio.create_task(_keep_saving(simulator, memory))
        try:
            await serve(read, web=True, work=True, say=typer.echo, ready=ready, admin=admin)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            simulator.keep(memory)


async def _keep_saving(simulator: EvolutionSimulator, memory: Path) -> None:
    """Save now and then: a demo that is killed must find its instances again."""
    while True:
        await asyncio.sleep(SAVE_EVERY_S)
        simulator.keep(memory)


def _password(data_dir: Path) -> str:
    path = data_dir / "admin-password"
    with contextlib.suppress(FileExistsError):
        _write_text(path, secrets.token_urlsafe(12))
    return path.read_text(encoding="utf-8")


def _write_text(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _facts(running: Running, simulator: EvolutionSimulator, admin: Admin) -> dict[str, Any]:
    read: Settings = running.settings

    def text(secret: SecretStr | None) -> str | None:
        return secret.get_secret_value() if secret else None

    return {
        "base_url": read.url,
        "admin": {"email": admin.email, "password": admin.password},
        "service_key": text(read.service_key),
        "internal_key": text(read.internal_key),
        "jwt_secret": text(read.jwt_secret),
        "database_url": running.database_url,
        "simulators": {
            "evolution": {
                "base_url": simulator.base_url,
                "api_key": simulator.api_key,
                "control_url": simulator.control_url,
            }
        },
    }


def _environment(read: Settings, simulator: EvolutionSimulator) -> str:
    """Give what other commands need to work on the demo: `set -a; . DIR/demo.env; amarre doctor`."""
    pairs = {
        "AMARRE_DATA_DIR": str(read.data_dir.absolute()),
        "SUPABASE_URL": read.url,
        "EVOLUTION_API_BASE_URL": simulator.base_url,
        "EVOLUTION_API_KEY": simulator.api_key,
        "AMARRE_EVOLUTION_NAME": read.evolution_name,
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in pairs.items())


def _write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    _write_text(path, text)


async def _fill(running: Running, simulator: EvolutionSimulator) -> bool:
    """Have the sample fleet sign up and scan, as real customers would; False where there is one."""
    async with running.means.db.transaction() as conn:
        if await profile.page(conn, limit=1):
            return False
    for sample in SAMPLES:
        email = f"{sample.phone}@demo.example"
        await provision.sign_up(running.means, email=email, full_name=sample.name, actor="demo")
    await _all(_until(running, simulator, sample) for sample in SAMPLES)
    return True


async def _all(stories: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*stories)


async def _until(running: Running, simulator: EvolutionSimulator, sample: Sample) -> None:
    async with asyncio.timeout(PATIENCE_S):
        shown = await _wait(running, sample, "code_shown")
        if sample.fate == "waiting":
            return
        simulator.scan(shown.name, phone=sample.phone, profile_name=sample.name)
        connected = await _wait(running, sample, "connected")
        if sample.fate == "unlinked":
            simulator.unlink(connected.name)
            await _wait(running, sample, "unlinked")
        elif sample.fate == "banned":
            simulator.ban(connected.name)
            await _wait(running, sample, "banned")


async def _wait(running: Running, sample: Sample, word: str) -> Instance:
    """Wait until the sample's instance is in a state or has a reason."""
    while True:
        async with running.means.db.transaction() as conn:
            found = await fleet.page(conn, Wish(q=sample.name, word=word))
        if found:
            return found[0]
        await asyncio.sleep(0.1)
