"""A PostgreSQL of our own in the data directory, for whoever has none.

`EmbeddedServer` starts, watches and stops the server that is installed with Amarre. Whatever
was killed before, the next start recovers: a server that outlived its supervisor is stopped
first, and a left-over postmaster.pid deceives nobody. The server is not stopped when the
supervisor is killed: PostgreSQL goes on until the next start.

In the data directory: `postgres` (the data), `postgres.log`, `postgres.password` and
`postgres.port`, `socket`, `lock`; or `postgres.location`, where root's server lives elsewhere
(`binaries.find_home`). The server listens on 127.0.0.1 and on a private socket, and asks for
the password on both.
"""

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psycopg
import structlog

from amarre.store.binaries import SHARED, Programs, find_home, find_programs, installed
from amarre.store.embedded_errors import (
    EmbeddedBusyError,
    EmbeddedStartError,
    EmbeddedVersionError,
    explain_log,
    explain_os_error,
    no_room,
)
from amarre.store.postmaster import LOOK_EVERY_S, read_postmaster, running

log = structlog.get_logger()

NAME = "amarre"
# Its tools (psql, pg_dump), as we may run them ourselves.
BINARIES = installed() / "bin"
# A fresh directory takes 40 MB, and the first write-ahead logs as much again.
ROOM_NEEDED = 200_000_000
# A path in a socket's address ends after 103 bytes on some systems.
LONGEST_SOCKET = 100
SHORT = Path("/tmp")  # noqa: S108  # mkdtemp makes a private one there
SHORT_PREFIX = "amarre-pg-"
LOG_KEPT = 10_000_000
# Recovery after a crash replays up to max_wal_size, which takes minutes on a slow disk.
START = timedelta(minutes=5)
STOP = timedelta(seconds=30)
ATTEMPTS = 50


class EmbeddedServer:
    """The server of one data directory, supervised by this process alone.

    As a context manager it runs inside the block. `start` and `stop` block for up to some
    seconds: call them in a thread from async code. `settings` are PostgreSQL's own, and
    stronger than those in the directory's postgresql.conf, where an operator sets his.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        shared: Path = SHARED,
        patience: timedelta = START,
    ) -> None:
        """Name the directory; nothing happens before `start`."""
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / "postgres.log"
        self._settings = dict(settings or {})
        self._shared = shared
        self._patience = patience
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._home = self.data_dir
        self._port = 0

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    @property
    def pgdata(self) -> Path:
        """Where PostgreSQL keeps its data; known once the server has been started."""
        return self._home / "postgres"

    @property
    def url(self) -> str:
        """The address for any tool on this machine; the same after every start if its port is free."""
        return _url(self.data_dir, self._port)

    @property
    def socket_url(self) -> str:
        """The same database through the private socket, a little faster."""
        found = read_postmaster(self.pgdata)
        sockets = found.sockets if found else self._home / "socket"
        return _url(self.data_dir, self._port, sockets=sockets)

    @property
    def alive(self) -> bool:
        """Whether the server runs. If not, `start` brings it back."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the server, make its data the first time, and say its URL.

        Does nothing if it runs already. After a crash it recovers first, and waits for that.

        Raises:
            EmbeddedBusyError: another process supervises this directory.
            EmbeddedVersionError: the data belong to another major version.
            EmbeddedDirectoryError, EmbeddedDiskFullError, EmbeddedUserError: as they say.
            EmbeddedStartError: it ended, or was not ready in time; its log says why.
        """
        if self.alive:
            return self.url
        try:
            self._take_lock()
            programs = self._find_home()
            self._make_data(programs)
            self._end_predecessor()
            self._launch(programs)
            self._make_database()
        except OSError as error:
            self.stop()
            raise explain_os_error(error, self.data_dir) from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop the server and wait until it has written everything; then free the directory."""
        if self._lock is None:
            return
        self._end_predecessor()
        if self._process:
            if self._process.poll() is None:
                # It has not even written its postmaster.pid.
                self._process.terminate()
            self._process.wait()
            self._process = None
        self._lock.close()
        self._lock = None

    # ------------------------------------------------------------ the directory

    def _take_lock(self) -> None:
        """Make sure that we are the only supervisor. The lock dies with us, however we die."""
        if self._lock:
            return
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.data_dir / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = int(lock.read() or 0)
            lock.close()
            raise EmbeddedBusyError(
                f"Process {holder} already runs the database in {self.data_dir}: stop it, or use its server.",
                pid=holder,
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _find_home(self) -> Programs:
        self._home = find_home(self.data_dir, None)
        owner = self.pgdata.stat().st_uid if self.pgdata.exists() else None
        programs = find_programs(owner=owner, shared=self._shared)
        self._home = find_home(self.data_dir, programs.runner, shared=self._shared)
        return programs

    def _make_data(self, programs: Programs) -> None:
        """Run initdb once; a half-made directory never takes the place of a whole one."""
        if self.pgdata.exists():
            self._check_version(programs)
            return
        if shutil.disk_usage(self._home).free < ROOM_NEEDED:
            raise no_room(self._home)
        fresh = self._home / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        programs.give(fresh)
        password = self._home / "postgres.new.password"
        password.unlink(missing_ok=True)
        _write_private(password, _password(self.data_dir))
        programs.give(password)
        with self.log.open("ab") as output:
            said_from = output.tell()
            made = programs.launch(
                "initdb", *_initdb_arguments(fresh, password, self._settings), output=output
            )
            failed = made.wait() != 0
        password.unlink()
        if failed:
            raise explain_log(self._said(said_from), directory=self._home, log=self.log)
        fresh.rename(self.pgdata)

    def _check_version(self, programs: Programs) -> None:
        found = (self.pgdata / "PG_VERSION").read_text(encoding="utf-8").strip()
        if found != programs.major:
            old = f"{self.pgdata} was made by PostgreSQL {found}; this Amarre brings {programs.major}."
            raise EmbeddedVersionError(
                f"{old} Back it up with the version that made it, and restore that into a new directory.",
                found=found,
                expected=programs.major,
            )

    # ------------------------------------------------------------ the process

    def _end_predecessor(self) -> None:
        """Stop what runs in our directory: ours now, or the server of a supervisor that was killed."""
        left = read_postmaster(self.pgdata)
        if left is None:
            return
        if left.runs_in(self.pgdata):
            log.info("embedded_server_stopping", pid=left.pid)
            left.stop(self.pgdata, patience=STOP)
        if left.sockets.parent == SHORT and left.sockets.name.startswith(SHORT_PREFIX):
            shutil.rmtree(left.sockets, ignore_errors=True)

    def _launch(self, programs: Programs) -> None:
        """Start the server and wait until it takes connections."""
        if self.log.exists() and self.log.stat().st_size > LOG_KEPT:
            self.log.replace(self.log.with_suffix(".log.1"))
        sockets = self._sockets(programs)
        self._port = _free_port(self.data_dir)
        for _ in range(ATTEMPTS):
            said = self._attempt(programs, sockets)
            if said is None:
                return
            if "Address already in use" in said:
                self._port = _free_port()
            elif "is still in use" not in said:
                # The last of a killed server's processes are leaving; anything else is final.
                raise explain_log(said, directory=self._home, log=self.log)
            time.sleep(10 * LOOK_EVERY_S)
        raise EmbeddedStartError("Processes of a killed server do not leave its data.", log=str(self.log))

    def _attempt(self, programs: Programs, sockets: Path) -> str | None:
        """Try once; None if it is ready, else what it said before it ended."""
        left = read_postmaster(self.pgdata)
        with self.log.open("ab") as output:
            said_from = output.tell()
            self._process = programs.launch(
                "postgres",
                *_postgres_arguments(self.pgdata, self._port, sockets, self._settings),
                output=output,
                grandparent=left.pid if left else 0,
            )
        if self._wait_until_ready(self._process):
            _write_private(self.data_dir / "postgres.port", str(self._port))
            return None
        return self._said(said_from)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        give_up_at = time.monotonic() + self._patience.total_seconds()
        while process.poll() is None:
            found = read_postmaster(self.pgdata)
            if found and found.ready and found.pid == process.pid:
                return True
            if time.monotonic() > give_up_at:
                raise EmbeddedStartError("The embedded server was not ready in time.", log=str(self.log))
            time.sleep(LOOK_EVERY_S)
        return False

    def _make_database(self) -> None:
        """Create our database, unless an earlier start came that far."""
        url = _url(self.data_dir, self._port, database="postgres")
        try:
            with psycopg.connect(url, autocommit=True) as conn:
                if not conn.execute("select from pg_database where datname = 'amarre'").rowcount:
                    # Else `"$user"` would find our tables where people mean the views in public.
                    conn.execute("alter role amarre set search_path = public")
                    conn.execute("create database amarre")
        except psycopg.Error as error:
            # Its password file was lost or exchanged, most likely.
            raise EmbeddedStartError(f"The embedded server refuses us: {error}", log=str(self.log)) from error

    def _sockets(self, programs: Programs) -> Path:
        """Make the private directory of the socket: ours, or a short one if its path is too long."""
        place = self._home / "socket"
        if len(os.fsencode(place / ".s.PGSQL.65535")) >= LONGEST_SOCKET:
            place = Path(mkdtemp(prefix=SHORT_PREFIX, dir=SHORT))
        place.mkdir(mode=0o700, exist_ok=True)
        programs.give(place)
        return place

    def _said(self, start: int) -> str:
        with self.log.open("rb") as text:
            text.seek(start)
            return text.read().decode(errors="replace")


def running_url(data_dir: Path) -> str | None:
    """Give the URL of the server that runs in this data directory, for another process of its owner.

    None if there is none, or it is not ready.
    """
    found = running(find_home(data_dir, None) / "postgres")
    if found is None or not found.ready:
        return None
    return _url(data_dir, found.port)


def _url(data_dir: Path, port: int, *, sockets: Path | None = None, database: str = NAME) -> str:
    secret = _password(data_dir)
    if sockets:
        return f"postgresql://{NAME}:{secret}@/{database}?host={quote(str(sockets), safe='')}&port={port}"
    return f"postgresql://{NAME}:{secret}@127.0.0.1:{port}/{database}"


def _password(data_dir: Path) -> str:
    """Read the superuser's password, made up the first time."""
    kept = data_dir / "postgres.password"
    if not kept.exists():
        _write_private(kept, secrets.token_hex(24))
    return kept.read_text(encoding="utf-8").strip()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as kept:
        kept.write(f"{text}\n")
    fresh.replace(path)


def _free_port(data_dir: Path | None = None) -> int:
    """Choose a port: the last one if it is free, so that addresses given out stay good."""
    kept = data_dir / "postgres.port" if data_dir else None
    last = int(kept.read_text(encoding="utf-8")) if kept and kept.exists() else 0
    with socket.socket() as trial:
        # As PostgreSQL does: connections in TIME_WAIT are no reason to move.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", last))
        except OSError:
            trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _initdb_arguments(pgdata: Path, password: Path, settings: Mapping[str, str]) -> list[str]:
    quick = ["--no-sync"] if settings.get("fsync") == "off" else []
    return [
        f"--pgdata={pgdata}",
        f"--username={NAME}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # Sorts and matches the same on every machine, whatever its C library.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
        *quick,
    ]


def _postgres_arguments(pgdata: Path, port: int, sockets: Path, settings: Mapping[str, str]) -> list[str]:
    ours = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "cluster_name": NAME,
    }
    return ["-D", str(pgdata), *(f"--{key}={value}" for key, value in {**ours, **settings}.items())]
