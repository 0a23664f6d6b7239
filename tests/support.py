"""Times that tests speak of, and the servers that they run against."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from amarre.store.binaries import Runner, find_runner
from amarre.store.migrate import migrate

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

# What makes a test server quick; nothing of it is worth keeping.
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}

T = TypeVar("T")


def runner() -> Runner | None:
    """Say whom servers run as: PostgreSQL and pgbouncer refuse root."""
    return find_runner(None) if os.geteuid() == 0 else None


def as_runner() -> dict[str, Any]:
    one = runner()
    return {"user": one.uid, "group": one.gid, "extra_groups": []} if one else {}


@contextmanager
def place(prefix: str) -> Generator[Path]:
    """A directory of the runner's own that he can reach: pytest's are root's alone."""
    made = Path(mkdtemp(prefix=f"amarre-{prefix}-", dir="/tmp"))
    if one := runner():
        os.chown(made, one.uid, one.gid)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run async work from a fixture without touching the loop of the test."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work()).result()


class Server:
    """A running PostgreSQL that tests get databases from."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._admin = psycopg.connect(url, autocommit=True)
        self._template: str | None = None

    def close(self) -> None:
        self._admin.close()

    @property
    def template(self) -> str:
        """A migrated database, made the first time that a test wants one."""
        if self._template is None:
            name = self.create("template0")
            run(lambda: migrate(self.url_of(name), now=NOON))
            self._template = name
        return self._template

    def url_of(self, name: str) -> str:
        return make_conninfo(self.url, dbname=name)

    def create(self, template: str) -> str:
        name = f"t_{secrets.token_hex(6)}"
        self._admin.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return name

    def drop(self, name: str) -> None:
        self._admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    @contextmanager
    def database(self, template: str) -> Generator[str]:
        name = self.create(template)
        try:
            yield self.url_of(name)
        finally:
            self.drop(name)


@contextmanager
def postgres_15(tls: Path | None = None) -> Generator[str]:
    """Debian's PostgreSQL 15 in a directory of its own; `tls` holds its certificate."""
    with place("pg15") as home:
        call = [str(POSTGRES_15 / "initdb"), "-D", str(home / "data"), "-U", "harbour", "--auth=trust", "-N"]
        subprocess.run(
            [*call, "--encoding=UTF8", "--locale=C.UTF-8"],
            check=True,
            capture_output=True,
            cwd="/",
            **as_runner(),
        )
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(home)}
        if tls:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(tls / "server.crt"),
                "ssl_key_file": str(tls / "server.key"),
            }
        options = " ".join(f"--{key}={value}" for key, value in {**settings, **QUICK}.items())
        control = [str(POSTGRES_15 / "pg_ctl"), "-D", str(home / "data"), "-l", str(home / "log"), "-w"]
        subprocess.run(
            [*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd="/", **as_runner()
        )
        try:
            yield f"postgresql://harbour@127.0.0.1:{port}/postgres?sslmode=disable"
        finally:
            subprocess.run(
                [*control, "-m", "fast", "stop"],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd="/",
                **as_runner(),
            )


@contextmanager
def pgbouncer(url: str, mode: str) -> Generator[str]:
    """Run pgbouncer before a database, and give the URL through it."""
    parts = conninfo_to_dict(url)
    behind = " ".join(f"{key}={parts[key]}" for key in ("port", "dbname", "user", "password"))
    port = free_port()
    settings = f"""
        [databases]
        pooled = host=127.0.0.1 {behind}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = {mode}
        default_pool_size = 5
    """
    with place("pooler") as home:
        config = home / "pgbouncer.ini"
        config.write_text("\n".join(line.strip() for line in settings.splitlines()))
        config.chmod(0o644)
        process = subprocess.Popen(
            [Path(PGBOUNCER or ""), config], stderr=subprocess.PIPE, text=True, cwd="/", **as_runner()
        )
        try:
            assert process.stderr
            for line in process.stderr:
                if "process up" in line:
                    break
            yield make_conninfo(host="127.0.0.1", port=port, dbname="pooled", user="anyone")
        finally:
            process.kill()
            process.communicate()
