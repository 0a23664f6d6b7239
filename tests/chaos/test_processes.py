"""It is safe to leave alone: real processes, killed at the wrong moment."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from amarre.simulators.evolution import EvolutionSettings, EvolutionSimulator
from amarre.store.embedded import EmbeddedServer
from tests.chaos.processes import SECRET_KEY, SERVICE_KEY, amarre, processes_that_name
from tests.support import PGBOUNCER, QUICK, free_port, pgbouncer, place

SERVICE = {"Authorization": f"Bearer {SERVICE_KEY}"}


@pytest.fixture
async def simulator() -> AsyncGenerator[EvolutionSimulator]:
    async with EvolutionSimulator(EvolutionSettings(webhook_retry_delays=QUICK_RETRIES)) as started:
        yield started


QUICK_RETRIES = tuple(EvolutionSettings().webhook_retry_delays[0] / 10 for _ in range(9))


def settings_of(simulator: EvolutionSimulator, database_url: str, port: int) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "AMARRE_SECRET_KEY": SECRET_KEY,
        "SUPABASE_SERVICE_ROLE_KEY": SERVICE_KEY,
        "SUPABASE_URL": f"http://127.0.0.1:{port}",
        "AMARRE_PORT": str(port),
        "EVOLUTION_API_BASE_URL": simulator.base_url,
        "EVOLUTION_API_KEY": simulator.api_key,
    }


def ask(url: str, statement: str) -> list[dict[str, Any]]:
    with psycopg.Connection[DictRow].connect(
        url, autocommit=True, row_factory=dict_row, prepare_threshold=None
    ) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def until(true: Callable[[], Awaitable[bool]], within_s: float = 20) -> float:
    """Look again and again; return after how many seconds it was true."""
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while not await true():
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def reason_is(url: str, word: str) -> bool:
    query = f"select 1 from amarre.instances where '{word}' in (state, reason)"
    with contextlib.suppress(psycopg.OperationalError):
        return bool(await asyncio.to_thread(ask, url, query))
    return False


async def test_the_demo_runs_from_nothing_ends_without_a_trace_and_starts_again(tmp_path: Path):
    with place("demo") as home:
        data = home / "data"
        arguments = ("demo", "--port", str(free_port()), "--data-dir", str(data))
        async with amarre(*arguments, cwd=tmp_path) as first:
            url = await first.ready()
            told = json.loads((data / "demo.json").read_text())
            async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as answer:
                ready = answer.status
            fleet = ask(told["database_url"], "select count(*)::int as n from public.evolution_instances")
            ended = await first.interrupt()
        left = processes_that_name(str(data))
        began = time.monotonic()
        async with amarre(*arguments, cwd=tmp_path) as second:
            await second.ready()
            took = time.monotonic() - began
            again = ask(told["database_url"], "select count(*)::int as n from public.evolution_instances")

    assert ready == 200
    assert told.keys() == {
        "base_url",
        "admin",
        "service_key",
        "internal_key",
        "jwt_secret",
        "database_url",
        "simulators",
    }
    assert told["simulators"]["evolution"].keys() == {"base_url", "api_key", "control_url"}
    assert (ended, left) == (0, [])
    assert fleet == again == [{"n": 12}]
    assert took < 10, "a second start takes about two seconds; ten leave room for a busy machine"


@pytest.mark.parametrize("server_name", ["server15", "server18"])
async def test_serve_connects_a_sign_up_by_sql_on_any_postgresql(
    request: pytest.FixtureRequest, server_name: str, simulator: EvolutionSimulator, tmp_path: Path
):
    server = request.getfixturevalue(server_name)
    with server.database("template0") as url:
        async with amarre("serve", cwd=tmp_path, **settings_of(simulator, url, free_port())) as service:
            await service.ready()
            ask(url, "insert into public.profiles (full_name) values ('Café du Port')")
            shown = await until(lambda: reason_is(url, "code_shown"))
            name = simulator.instances[0].name
            simulator.scan(name, phone="33639980001")
            await until(lambda: reason_is(url, "connected"))
            ended = await service.interrupt()

    print(f"code shown {shown:.2f} s after the INSERT")  # noqa: T201  # a figure for the reader
    assert ended == 0
    assert any("First administrator" in line for line in service.lines)
    assert shown < 10


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_serve_works_behind_a_pooler_in_transaction_mode(
    empty_url: str, simulator: EvolutionSimulator, tmp_path: Path
):
    with pgbouncer(empty_url, "transaction") as pooled:
        async with amarre("serve", cwd=tmp_path, **settings_of(simulator, pooled, free_port())) as service:
            await service.ready()
            ask(empty_url, "insert into public.profiles (full_name) values ('Café du Port')")
            shown = await until(lambda: reason_is(empty_url, "code_shown"))
            simulator.scan(simulator.instances[0].name, phone="33639980001")
            connected = await until(lambda: reason_is(empty_url, "connected"))
            ended = await service.interrupt()

    print(f"behind a pooler: code {shown:.2f} s after the INSERT, connected {connected:.2f} s after the scan")  # noqa: T201
    assert ended == 0


async def test_a_worker_killed_while_creating_is_replaced_within_seconds_and_creates_once(
    database_url: str, simulator: EvolutionSimulator, tmp_path: Path
):
    simulator.fault("slow", route="create", seconds=3, times=1)
    environment = settings_of(simulator, database_url, free_port())
    async with amarre("serve", cwd=tmp_path, **environment) as killed:
        await killed.ready()
        ask(database_url, "insert into public.profiles (full_name) values ('Café du Port')")
        await simulator.until(lambda: simulator.calls("create") == 1)
        killed.kill()
        await killed.running.wait()
        async with amarre("serve", cwd=tmp_path, **environment) as other:
            await other.ready()
            took = await until(lambda: reason_is(database_url, "code_shown"), within_s=60)

    print(f"taken over {took:.2f} s after the other worker was ready")  # noqa: T201
    assert len(simulator.instances) == 1
    queue = ask(database_url, "select status from public.evolution_instance_creation_queue")
    assert queue == [{"status": "completed"}]


async def test_a_restart_of_the_database_loses_nothing(simulator: EvolutionSimulator, tmp_path: Path):
    with place("restart") as home, EmbeddedServer(home, settings=QUICK) as database:
        url, port = database.url, free_port()
        async with amarre("serve", cwd=tmp_path, **settings_of(simulator, url, port)) as service:
            base = await service.ready()
            ask(url, "insert into public.profiles (full_name) values ('Café du Port')")
            await until(lambda: reason_is(url, "code_shown"))
            await asyncio.to_thread(database.stop)
            simulator.scan(simulator.instances[0].name, phone="33639980001")
            async with aiohttp.ClientSession() as http:
                async with http.get(f"{base}/readyz") as answer:
                    while_down = answer.status
                async with http.get(f"{base}/api/v1/instances", headers=SERVICE) as answer:
                    asked = answer.status
            await simulator.until(lambda: any(one.status == 503 for one in simulator.attempts))
            await asyncio.to_thread(database.start)
            took = await until(lambda: reason_is(url, "connected"), within_s=30)
            await until(lambda: _is(base, 200))

    print(f"connected {took:.2f} s after the database was back")  # noqa: T201
    assert (while_down, asked) == (503, 503)
    statuses = {one.status for one in simulator.attempts}
    assert statuses <= {200, 503}, "no delivery was answered with an error that ends its retries"


async def test_the_embedded_database_is_brought_back_when_it_is_killed(tmp_path: Path):
    with place("brought-back") as home:
        data = home / "data"
        arguments = ("demo", "--port", str(free_port()), "--data-dir", str(data))
        async with amarre(*arguments, cwd=tmp_path) as demo:
            base = await demo.ready()
            postmaster = next((data / "database").rglob("postmaster.pid"))
            killed = _pid(postmaster)
            os.kill(killed, signal.SIGKILL)
            took = await until(lambda: _another_runs(postmaster, killed, base))
            ended = await demo.interrupt()

    print(f"back after {took:.2f} s")  # noqa: T201
    assert ended == 0


def _pid(postmaster: Path) -> int:
    return int(postmaster.read_text().splitlines()[0]) if postmaster.exists() else 0


async def _another_runs(postmaster: Path, killed: int, base: str) -> bool:
    return _pid(postmaster) not in (0, killed) and await _is(base, 200)


async def _is(base: str, status: int) -> bool:
    async with aiohttp.ClientSession() as http, http.get(f"{base}/readyz") as answer:
        return answer.status == status


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"AMARRE_JWKS": "{"}, "settings"),
        ({"AMARRE_PROT": "1"}, "settings"),
        ({"AMARRE_SECRET_KEY": "short", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "database_down"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "secret_key"),
    ],
)
async def test_what_is_set_wrongly_is_said_at_once_and_nothing_is_left(
    tmp_path: Path, wrong: dict[str, str], code: str
):
    port = {"AMARRE_PORT": str(free_port())}
    async with amarre(
        "serve", "--data-dir", str(tmp_path / "data"), cwd=tmp_path, **wrong, **port
    ) as service:
        ended = await asyncio.wait_for(service.running.wait(), 30)

    assert ended == 1
    assert (tmp_path / "stderr.log").read_text().splitlines()[-1].startswith(f"{code}:")
    assert processes_that_name(str(tmp_path / "data")) == []


async def test_an_address_that_is_taken_is_said_in_one_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ("serve", "--port", port, "--data-dir", str(tmp_path / "data"))
        async with amarre(*arguments, cwd=tmp_path) as service:
            ended = await asyncio.wait_for(service.running.wait(), 30)

    assert ended == 1
    assert "address_taken" in (tmp_path / "stderr.log").read_text().splitlines()[-1]
