"""What can be done to a simulated server from outside its API.

Play the phone, play WhatsApp, switch faults on, look behind the curtain. The control API and
its page do the same through these methods.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from amarre.simulators.evolution_create import Fleet
from amarre.simulators.evolution_delivery import Attempt, DeliveryDesk
from amarre.simulators.evolution_facts import EvolutionSettings
from amarre.simulators.evolution_faults import Fault, FaultBoard, FaultKind, make_fault
from amarre.simulators.evolution_instance import DeadCodeError, Instance, Phone, World, banned, unlinked
from amarre.simulators.evolution_message import receive_text
from amarre.simulators.evolution_routes import EvolutionRoutes
from amarre.simulators.evolution_tasks import Pulse, Tasks

PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Seed:
    """An instance that is paired from the beginning. `phone` is digits only."""

    name: str
    phone: str
    profile_name: str = "Amarre"
    token: str | None = None


class EvolutionPlay:
    """The simulated world. The methods must be called in the event loop of the simulator."""

    def __init__(self, settings: EvolutionSettings, *, now: Callable[[], datetime]) -> None:
        self.settings = settings
        self.faults = FaultBoard()
        self._tasks = Tasks()
        self._pulse = Pulse()
        self._desk = DeliveryDesk(settings, faults=self.faults, tasks=self._tasks, pulse=self._pulse, now=now)
        self._world = World(
            settings,
            faults=self.faults,
            tasks=self._tasks,
            pulse=self._pulse,
            desk=self._desk,
            now=now,
        )
        self._fleet = Fleet(self._world)
        self._routes = EvolutionRoutes(self._world, self._fleet)

    @property
    def api_key(self) -> str:
        """The global key."""
        return self.settings.api_key

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The last attempts to deliver webhooks, oldest first."""
        return tuple(self._desk.attempts)

    @property
    def names_taken(self) -> frozenset[str]:
        """The names that cannot be created: of instances, and of those still being deleted."""
        return frozenset(self._fleet.instances)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All instances that exist, oldest first."""
        return tuple(instance for instance in self._fleet.instances.values() if instance.loaded)

    def instance(self, name: str) -> Instance:
        """Return one instance.

        Raises:
            KeyError: there is none of this name.
        """
        return self._fleet.instances[name]

    def calls(self, call: str | None = None, name: str | None = None) -> int:
        """Count the calls since the start: all, of one kind (`create`, ...), of one instance."""
        return sum(
            count
            for (made, instance), count in self._routes.calls.items()
            if call in (None, made) and name in (None, instance)
        )

    def count_calls(self) -> dict[str, dict[str, int]]:
        """Count the calls by kind and instance; `-` stands for those without an instance."""
        counted: dict[str, dict[str, int]] = {}
        for (call, instance), count in sorted(self._routes.calls.items(), key=str):
            counted.setdefault(call, {})["-" if instance is None else instance] = count
        return counted

    def live_code(self, name: str) -> str | None:
        """Return the text of the code that a phone could scan now."""
        return self.instance(name).live_code()

    def scan(self, name: str, *, phone: str, profile_name: str = "Amarre") -> None:
        """Scan the code that an instance shows now.

        Raises:
            NoLiveCodeError: it shows none.
        """
        self.instance(name).scan(Phone(phone, profile_name))

    def scan_code(self, code: str, *, phone: str, profile_name: str = "Amarre") -> str:
        """Scan exactly this code and return whose it was.

        Raises:
            DeadCodeError: it has expired or was used, or never was.
        """
        owner = next((each for each in self.instances if any(s.code == code for s in each.sockets)), None)
        if owner is None:
            raise DeadCodeError(code)
        owner.scan(Phone(phone, profile_name), code=code)
        return owner.name

    def unlink(self, name: str) -> None:
        """Remove the device on the phone (401 device_removed)."""
        self.instance(name).require_open()
        self.instance(name).end(401, details=unlinked())

    def ban(self, name: str) -> None:
        """Have WhatsApp refuse the number (403)."""
        self.instance(name).require_open()
        self.instance(name).end(403, details=banned())

    def kick(self, name: str) -> None:
        """Cut the session (428, 440, 515: the webhook never says which); Evolution reconnects."""
        self.instance(name).kick()

    def receive(self, name: str, *, text: str, sender: str = "33639980099", push_name: str = "Alice") -> str:
        """Receive a text from somebody, and return its id."""
        return receive_text(self.instance(name), sender=sender, push_name=push_name, text=text)

    def storm(self, name: str, *, times: int, seconds: float) -> None:
        """Fail to reach WhatsApp `times` times within `seconds`, then reach it."""
        self.instance(name).storm(times=times, seconds=seconds)

    def drop_instance(self, name: str) -> None:
        """Lose an instance, as if somebody had deleted it behind everybody's back."""
        self._fleet.drop(self.instance(name))

    def wipe_webhook(self, name: str) -> None:
        """Forget where events are delivered."""
        self.instance(name).hook = None
        self._pulse.beat()

    def seed(self, seeds: Iterable[Seed]) -> None:
        """Have these instances, paired already, without telling anybody."""
        for seed in seeds:
            instance = self._fleet.seed(seed.name, seed.token)
            instance.open_quietly(Phone(seed.phone, seed.profile_name))
        self._pulse.beat()

    def fault(
        self,
        kind: str,
        *,
        route: str | None = None,
        instance: str | None = None,
        times: int | None = None,
        seconds: float | None = None,
        number: int | None = None,
    ) -> Fault:
        """Switch a fault on; see `FaultKind` for what `seconds` and `number` mean.

        Raises:
            ValueError: the kind or the route is unknown, or a number is missing.
        """
        fault = make_fault(kind, route=route, instance=instance, times=times, seconds=seconds, number=number)
        self.faults.add(fault)
        if fault.kind is FaultKind.REFUSE:
            self._tasks.start(self._end_refusal(fault))
        self._mind_door()
        self._pulse.beat()
        return fault

    def clear_faults(self, kind: str | None = None) -> None:
        """Switch all faults off, or those of one kind."""
        self.faults.clear(None if kind is None else FaultKind(kind))
        self._mind_door()
        self._pulse.beat()

    async def until(self, claim: Callable[[], bool], *, within: timedelta = PATIENCE) -> None:
        """Wait until something is true of this simulator: it looks again at every change.

        Raises:
            TimeoutError: it was not true in time.
        """
        await self._pulse.until(claim, within=within)

    async def _end_refusal(self, fault: Fault) -> None:
        await fault.last()
        fault.times = 0
        self._mind_door()
        self._pulse.beat()

    def _mind_door(self) -> None:
        """Open or close the listening socket, as the faults want it."""
        raise NotImplementedError
