"""What is running in a data directory: what its postmaster.pid says, checked against the system.

The file alone proves nothing: after a kill it stays, and in a container its number is soon
another process's. Only a process that is a `postgres` and works in that directory is ours.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from amarre.store.embedded_errors import EmbeddedError

LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The first eight lines of postmaster.pid, as far as they matter.

    Source:
        PostgreSQL 18, src/include/utils/pidfile.h.
    """

    pid: int
    port: int
    sockets: Path
    ready: bool

    def runs_in(self, pgdata: Path) -> bool:
        """Say whether that process lives, and is the server of this directory."""
        proc = Path(f"/proc/{self.pid}")
        if not Path("/proc/self").exists():
            return _is_postgres_by_ps(self.pid)
        try:
            command = (proc / "comm").read_text(encoding="utf-8").strip()
            return command == "postgres" and (proc / "cwd").resolve() == pgdata.resolve()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # Gone, a zombie, or somebody else's: the server of our data would be open to us.
            return False

    def stop(self, pgdata: Path, *, patience: timedelta) -> None:
        """Stop it: without waiting for clients, then without writing back, at last by force.

        The data survive each of these; the later ones cost a recovery at the next start.

        Raises:
            EmbeddedError: it is still there.
        """
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if not self.runs_in(pgdata):
                return
            os.kill(self.pid, number)
            if self._gone_within(pgdata, patience):
                return
        raise EmbeddedError(f"The embedded server (process {self.pid}) cannot be stopped.", pid=self.pid)

    def _gone_within(self, pgdata: Path, patience: timedelta) -> bool:
        give_up_at = time.monotonic() + patience.total_seconds()
        while self.runs_in(pgdata):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(LOOK_EVERY_S)
        return True


def read_postmaster(pgdata: Path) -> Postmaster | None:
    """Read postmaster.pid; None if there is none, or it is still being written."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, port, sockets = int(lines[0]), int(lines[3]), Path(lines[4])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    ready = len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004  # the eighth line is the status
    return Postmaster(pid, port, sockets, ready)


def running(pgdata: Path) -> Postmaster | None:
    """Give the server that runs in this directory, ready or not."""
    found = read_postmaster(pgdata)
    return found if found and found.runs_in(pgdata) else None


def _is_postgres_by_ps(pid: int) -> bool:
    told = subprocess.run(  # noqa: S603  # a number, not text
        ["/bin/ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return Path(told.stdout.strip()).name == "postgres"
