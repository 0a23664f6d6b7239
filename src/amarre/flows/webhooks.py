"""The webhook of an instance: where its gateway delivers, set and read back."""

from amarre.core.errors import AmarreError
from amarre.flows.means import Means
from amarre.gateways.base import Gateway, Webhook
from amarre.store import instance
from amarre.store.instance import Instance


class WebhookNotKeptError(AmarreError):
    """The gateway did not keep the webhook that it was given."""

    code = "webhook_missing"
    status = 502


async def wanted(means: Means, client: Gateway, claimed: Instance) -> Webhook:
    """Say what the webhook has to be.

    Raises:
        WebhookNotKeptError: the instance has no secret.
    """
    async with means.db.transaction() as conn:
        sealed = await instance.hook_secret(conn, claimed.id)
    if sealed is None:
        raise WebhookNotKeptError("the instance has no webhook secret")
    return means.webhook(client, means.vault.open(sealed, owner=claimed.id))


async def verify(means: Means, client: Gateway, claimed: Instance) -> bool:
    """Read the webhook back, and set it again where it is not as wanted; True when it had to be.

    Raises:
        WebhookNotKeptError: the gateway does not keep it.
    """
    right = await wanted(means, client, claimed)
    if same(await client.webhook(claimed.name), right):
        return False
    await client.set_webhook(claimed.name, right)
    if not same(await client.webhook(claimed.name), right):
        raise WebhookNotKeptError("the gateway does not keep the webhook")
    return True


def same(found: Webhook | None, wanted: Webhook) -> bool:
    """Say whether a webhook is as wanted: address, events, and our header among its headers."""
    return (
        found is not None
        and found.enabled
        and found.url == wanted.url
        and set(found.events) == set(wanted.events)
        and all(found.headers.get(name) == value for name, value in wanted.headers.items())
    )
