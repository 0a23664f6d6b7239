"""Evolution API 2.3.7 without WhatsApp: start it, play the phone, switch faults on.

    async with EvolutionSimulator() as gateway:
        ...  # create an instance through gateway.base_url with gateway.api_key
        gateway.scan("resto-1", phone="33639980001")

What it does over HTTP is recorded in `tests/data/evolution`, from the real server.
"""

import socket
from asyncio import AbstractServer, get_running_loop
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from aiohttp import web

from amarre.simulators.evolution_control import control_application
from amarre.simulators.evolution_facts import FAST, EvolutionSettings
from amarre.simulators.evolution_faults import FaultKind
from amarre.simulators.evolution_memory import keep, remember
from amarre.simulators.evolution_play import EvolutionPlay, Seed

__all__ = ["FAST", "EvolutionSettings", "EvolutionSimulator", "Seed"]

LOOPBACK = "127.0.0.1"
GRACE_S = 0.05


def wall_clock() -> datetime:
    """Read the clock of the machine that the simulated server would run on."""
    return datetime.now(UTC)  # noqa: TID251  # another server has a clock of its own


class EvolutionSimulator(EvolutionPlay):
    """A simulated server, and all that can be done to it."""

    def __init__(
        self, settings: EvolutionSettings | None = None, *, now: Callable[[], datetime] = wall_clock
    ) -> None:
        super().__init__(settings or EvolutionSettings(), now=now)
        self._runners: list[web.AppRunner] = []
        self._protocol: web.Server | None = None
        self._listening: socket.socket | None = None
        self._door: AbstractServer | None = None
        self._stopping = False
        self._address = ("", 0)
        self._control_address = ("", 0)

    async def __aenter__(self) -> Self:
        """Start on free ports of the loopback."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def start(self, host: str = LOOPBACK, port: int = 0, *, control_port: int = 0) -> None:
        """Start the server, and its control on a port of its own; 0 takes any free port."""
        control = await self._runner(control_application(self))
        await web.TCPSite(control, host, control_port).start()
        self._control_address = control.addresses[0][:2]
        self._protocol = (await self._runner(self._routes.application())).server
        self._address = (host, port)
        await self._serve(self._bind())
        await self._desk.open(self.base_url)

    async def stop(self) -> None:
        """Stop everything. What it had not delivered yet is lost.

        Raises:
            BaseException: some of its work crashed since the start.
        """
        self._stopping = True
        self._close_door()
        self.faults.clear()
        for runner in self._runners:
            await runner.cleanup()
        try:
            await self._tasks.stop()
        finally:
            await self._desk.close()

    def keep(self, path: Path) -> None:
        """Write all instances into a file, so that the next start remembers them."""
        keep(self._fleet, path)

    def remember(self, path: Path) -> int:
        """Bring back what `keep` wrote; return how many instances that were."""
        return remember(self._fleet, path)

    @property
    def base_url(self) -> str:
        """Where Evolution's API is."""
        return "http://{}:{}".format(*self._address)

    @property
    def control_url(self) -> str:
        """Where the control API and its page are, also while connections are refused."""
        return "http://{}:{}/_sim".format(*self._control_address)

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_S)
        await runner.setup()
        self._runners.append(runner)
        return runner

    def _mind_door(self) -> None:
        if self._stopping:
            return
        refusing = self.faults.find(FaultKind.REFUSE) is not None
        if refusing:
            self._close_door()
        elif self._listening is None and self._protocol is not None:
            self._tasks.start(self._serve(self._bind()))

    def _bind(self) -> socket.socket:
        # It listens from here on, before any loop is asked: whoever calls next is not refused.
        self._listening = socket.create_server(self._address, backlog=1024)
        self._address = self._listening.getsockname()[:2]
        return self._listening

    async def _serve(self, listening: socket.socket) -> None:
        if self._protocol is None:
            raise RuntimeError("the simulator was not started")
        self._door = await get_running_loop().create_server(self._protocol, sock=listening)

    def _close_door(self) -> None:
        if self._door is not None:
            self._door.close()
        elif self._listening is not None:
            self._listening.close()
        self._door = self._listening = None
