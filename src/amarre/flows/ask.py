"""Asking a gateway what is true now."""

from dataclasses import dataclass

from amarre.core.instance import Heard, Reason, State
from amarre.gateways.base import Gateway
from amarre.store.instance import Instance


@dataclass(frozen=True, slots=True)
class Said:
    """The present state; `reason` is the gateway's number for why a connection has ended."""

    heard: Heard
    reason: int | None = None


async def present(client: Gateway, known: Instance) -> Said:
    """Ask for the present state of an instance.

    While WhatsApp is out of its reach, a gateway's memory says `close` of a session that
    lives; its list still says `open`. So a paired instance is given up only when both agree.

    Raises:
        GatewayError: it did not say.
    """
    heard = await client.state(known.name)
    held = known.state == State.CONNECTED or known.reason == Reason.RECONNECTING
    if heard is not Heard.CLOSED or not held:
        return Said(heard)
    listed = await client.find(known.name)
    if listed is None:
        return Said(Heard.MISSING)
    if listed.heard is Heard.OPEN:
        return Said(Heard.CONNECTING)
    return Said(Heard.CLOSED, listed.disconnection_code)
