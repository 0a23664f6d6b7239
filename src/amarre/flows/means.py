"""What the stories are carried out with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from amarre.core.errors import UnavailableError
from amarre.gateways import GATEWAYS
from amarre.gateways.base import Gateway, Webhook
from amarre.store.database import Database
from amarre.store.vault import Vault
from amarre.store.worker import Presence

# A create that was not answered may still be carried out so long after its time.
SETTLE_MARGIN = timedelta(seconds=10)
HOOK_PATH = "/functions/v1/evolution-webhook-handler"
HOOK_HEADER = "X-Amarre-Secret"


class GatewayUnknownError(UnavailableError):
    """The instance's gateway is not configured in this process."""

    code = "gateway_unknown"


@dataclass(frozen=True, slots=True)
class Policy:
    """What an installation may set. `window` None means: as long as the gateway's own limit."""

    base_url: str  # where gateways deliver
    public_url: str  # where browsers come
    lease: timedelta = timedelta(seconds=30)
    window: timedelta | None = None
    watch: timedelta = timedelta(seconds=60)
    link_life: timedelta = timedelta(days=7)
    list_every: timedelta = timedelta(minutes=1)
    webhook_every: timedelta = timedelta(minutes=30)
    batch: int = 20


@dataclass(frozen=True, slots=True)
class Means:
    """The database, the gateways, the secrets and the clock, for one process.

    `presence` carries the number that claims are made with. `clock` is read where time passes inside a
    story (after a gateway has answered); where a story begins, `now` is handed in.
    """

    db: Database
    vault: Vault
    policy: Policy
    clock: Callable[[], datetime]
    gateways: Mapping[UUID, Gateway] = field(default_factory=dict[UUID, Gateway])
    presence: Presence = field(default_factory=Presence)

    @property
    def worker(self) -> int:
        """The number that this process's claims carry."""
        return self.presence.number

    def gateway(self, gateway: UUID | None) -> Gateway:
        """Give the client of a gateway.

        Raises:
            GatewayUnknownError: this process has none for it.
        """
        if gateway is None or gateway not in self.gateways:
            raise GatewayUnknownError("the gateway of this instance is not configured")
        return self.gateways[gateway]

    def window(self, kind: str) -> timedelta:
        """Say how long codes are kept live for somebody who does not look."""
        return self.policy.window or GATEWAYS[kind].facts.pairing_window

    def webhook(self, gateway: Gateway, secret: str) -> Webhook:
        """Say where the gateway is to deliver, and what it must send along."""
        return Webhook(
            url=self.policy.base_url.rstrip("/") + HOOK_PATH,
            headers={HOOK_HEADER: secret},
            events=gateway.facts.events,
        )
