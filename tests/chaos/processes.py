"""Real processes of the product: started, watched, killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

SECRET_KEY = "a-key-of-the-tests-0123456789-abcdefgh"
SERVICE_KEY = "service-key-of-the-tests-0123456789-abc"
PATIENCE_S = 40


@dataclass
class Process:
    """A command that runs, and the lines that it has printed."""

    running: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def ready(self) -> str:
        """Wait for its `ready` line."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                assert self.running.stdout is not None
                line = (await self.running.stdout.readline()).decode()
                assert line, f"it ended: {self.lines}"
                self.lines.append(line.strip())
                if line.startswith("ready"):
                    return line.removeprefix("ready").strip()

    def kill(self) -> None:
        """Kill it as the kernel would: nothing of it runs any more."""
        self.running.kill()

    async def interrupt(self) -> int:
        """Press Ctrl-C, and wait until it has ended."""
        self.running.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self.running.wait(), PATIENCE_S)


@contextlib.asynccontextmanager
async def amarre(*arguments: str, cwd: Path, **environment: str) -> AsyncGenerator[Process]:
    """Run a command of the product with nothing set but what is given."""
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONUNBUFFERED": "1"}
    errors = (cwd / "stderr.log").open("ab")
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "amarre",
        *arguments,
        cwd=cwd,
        env=bare | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
    )
    errors.close()
    try:
        yield Process(running)
    finally:
        if running.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                running.terminate()
            try:
                await asyncio.wait_for(running.wait(), PATIENCE_S)
            except TimeoutError:
                running.kill()
                await running.wait()
        assert running.stdout is not None
        running.stdout.feed_eof()


def processes_that_name(text: str) -> list[str]:
    """List the command lines of processes that name a path."""
    found: list[str] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if text in line:
                    found.append(line)
    return found
