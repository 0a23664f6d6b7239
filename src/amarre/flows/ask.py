"""Asking a gateway what is true now."""

from dataclasses import dataclass, replace

from amarre.core.instance import NOTHING_TOLD, Heard, Reason, State, Told
from amarre.gateways.base import Gateway
from amarre.store.instance import Instance


@dataclass(frozen=True, slots=True)
class Said:
    """The present state, and what the list adds to it where it was asked.

    `reason` is the gateway's number for why a connection has ended.
    """

    heard: Heard
    reason: int | None = None
    phone: str | None = None
    profile_name: str | None = None

    def told(self, told: Told = NOTHING_TOLD) -> Told:
        """Complete what deliveries have told."""
        return replace(
            told,
            reason=told.reason or self.reason,
            phone=told.phone or self.phone,
            profile_name=told.profile_name or self.profile_name,
        )


async def present(client: Gateway, known: Instance) -> Said:
    """Ask for the present state of an instance.

    While WhatsApp is out of its reach, a gateway's memory says `close` of a session that
    lives; its list still says `open`. So a paired instance is given up only when both agree.

    Raises:
        GatewayError: it did not say.
    """
    heard = await client.state(known.name)
    if heard is Heard.OPEN and known.state != State.CONNECTED:
        # Whose number it is stands in the list only, where no delivery tells it.
        found = await client.find(known.name)
        return Said(heard, phone=found.owner, profile_name=found.profile_name) if found else Said(heard)
    held = known.state == State.CONNECTED or known.reason == Reason.RECONNECTING
    if heard is not Heard.CLOSED or not held:
        return Said(heard)
    listed = await client.find(known.name)
    if listed is None:
        return Said(Heard.MISSING)
    if listed.heard is Heard.OPEN:
        return Said(Heard.CONNECTING)
    return Said(Heard.CLOSED, listed.disconnection_code)
