"""What goes wrong on purpose: faults that are switched on, aimed, counted and cleared."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from amarre.simulators.evolution_facts import Call, Json


class FaultKind(StrEnum):
    """What can go wrong. `number` and `seconds` mean what the comment says."""

    HANG = "hang"  # the call is not carried out, no answer for `seconds`, then the connection is cut
    SLOW = "slow"  # the call is carried out `seconds` late
    STATUS = "status"  # the answer is the status `number`: 401, 429, 500 or 503 (licence)
    REFUSE = "refuse"  # no connection at all, for `seconds` or until cleared
    CREATE_TIMEOUT_BUT_DONE = "create_timeout_but_done"  # carried out, then no answer for `seconds`
    DROP_WEBHOOKS = "drop_webhooks"
    DUPLICATE_WEBHOOKS = "duplicate_webhooks"
    DELAY_WEBHOOKS = "delay_webhooks"  # by `seconds`
    REORDER_WEBHOOKS = "reorder_webhooks"  # every second one overtakes the one before it
    LOSE_SENDS = "lose_sends"  # `sendText` answers 201 and nothing arrives
    COUNT0 = "count0"  # WhatsApp says nothing: no code, no reconnection, until restarted without it
    QR_LIMIT = "qr_limit"  # the limit is `number`


FOR_EVER_S = 3600.0


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, for whom, and how often.

    `route` is a `Call` (or the event, for webhooks), `instance` a name; None means any.
    `times` counts down; None means until it is cleared.
    """

    kind: FaultKind
    route: str | None = None
    instance: str | None = None
    times: int | None = None
    seconds: float | None = None
    number: int | None = None
    cleared: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def wait_s(self) -> float:
        """How long it lasts where it lasts."""
        return FOR_EVER_S if self.seconds is None else self.seconds

    def meets(self, kind: FaultKind, route: str | None, instance: str | None) -> bool:
        """Say whether it is aimed at this."""
        return (
            self.kind is kind
            and self.times != 0
            and self.route in (None, route)
            and self.instance in (None, instance)
        )

    async def last(self) -> None:
        """Wait until it is over or cleared."""
        try:
            async with asyncio.timeout(self.wait_s):
                await self.cleared.wait()
        except TimeoutError:
            return

    def show(self) -> Json:
        """Say it as JSON."""
        return {
            "kind": self.kind.value,
            "route": self.route,
            "instance": self.instance,
            "times": self.times,
            "seconds": self.seconds,
            "number": self.number,
        }


class FaultBoard:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on."""
        self._faults.append(fault)
        return fault

    def clear(self, kind: FaultKind | None = None) -> None:
        """Switch off all faults, or those of one kind. Whoever hangs in one is let go."""
        for fault in self._faults:
            if kind in (None, fault.kind):
                fault.cleared.set()
        self._faults = [fault for fault in self._faults if not fault.cleared.is_set()]

    def find(self, kind: FaultKind, route: str | None = None, instance: str | None = None) -> Fault | None:
        """Return the fault that is aimed at this, without using it up."""
        return next((fault for fault in self._faults if fault.meets(kind, route, instance)), None)

    def take(self, kind: FaultKind, route: str | None = None, instance: str | None = None) -> Fault | None:
        """Return the fault that is aimed at this, and count it as used once."""
        fault = self.find(kind, route, instance)
        if fault is not None and fault.times is not None:
            fault.times -= 1
        return fault

    def show(self) -> list[Json]:
        """List what is switched on, as JSON."""
        return [fault.show() for fault in self._faults if fault.times != 0]


def make_fault(
    kind: str,
    *,
    route: str | None = None,
    instance: str | None = None,
    times: int | None = None,
    seconds: float | None = None,
    number: int | None = None,
) -> Fault:
    """Make a fault from plain values.

    Raises:
        ValueError: the kind, the route or a missing number makes no sense.
    """
    what = FaultKind(kind)
    match what:
        case FaultKind.STATUS | FaultKind.QR_LIMIT:
            if number is None:
                raise ValueError(f"{kind} needs a number")
        case FaultKind.CREATE_TIMEOUT_BUT_DONE:
            route = route or Call.CREATE
        case FaultKind.HANG | FaultKind.SLOW | FaultKind.REFUSE | FaultKind.LOSE_SENDS | FaultKind.COUNT0:
            pass
        case (
            FaultKind.DROP_WEBHOOKS
            | FaultKind.DUPLICATE_WEBHOOKS
            | FaultKind.DELAY_WEBHOOKS
            | FaultKind.REORDER_WEBHOOKS
        ):
            return Fault(what, route=route, instance=instance, times=times, seconds=seconds, number=number)
        case _:
            assert_never(what)
    wanted = None if route is None else Call(route)
    return Fault(what, route=wanted, instance=instance, times=times, seconds=seconds, number=number)
