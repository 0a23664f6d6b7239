"""An instance that is not wanted any more: logged out and deleted upstream, then here.

Each step looks at what the gateway has and does the next thing; deleting is asynchronous
there, so the row goes only when the gateway says that there is nothing left.
"""

from datetime import datetime, timedelta
from uuid import UUID

from amarre.core.errors import NotFoundError
from amarre.core.instance import Heard
from amarre.flows.means import SETTLE_MARGIN, Means
from amarre.gateways.base import Gateway
from amarre.store import claim, event, instance, profile
from amarre.store.instance import Instance

CONFIRM_WAIT = timedelta(seconds=1)


async def step(means: Means, claimed: Instance) -> None:
    """Take the next step of a removal: log out and delete, or confirm and forget."""
    if claimed.create_sent_at is None and claimed.created_remotely_at is None:
        # Nothing was ever asked of a gateway, which may not even be configured any more.
        await _forget(means, claimed)
        return
    client = means.gateway(claimed.gateway_id)
    heard = await client.state(claimed.name)
    if heard is Heard.MISSING:
        if (settled_at := _settled_at(client, claimed)) > means.clock():
            # A create may still be on its way: what it makes would be nobody's.
            async with means.db.transaction() as conn:
                await claim.release(conn, claimed, due_at=settled_at)
            return
        await _forget(means, claimed)
        return
    if heard in (Heard.OPEN, Heard.CONNECTING):
        await client.logout(claimed.name)
    await client.delete(claimed.name)
    async with means.db.transaction() as conn:
        await claim.release(conn, claimed, due_at=means.clock() + CONFIRM_WAIT)


def _settled_at(client: Gateway, claimed: Instance) -> datetime:
    """Say from when on the gateway knows of no create that was sent and not answered."""
    if claimed.create_sent_at is None or claimed.created_remotely_at is not None:
        return claimed.created_at
    return claimed.create_sent_at + client.facts.create_timeout + SETTLE_MARGIN


async def _forget(means: Means, claimed: Instance) -> None:
    async with means.db.transaction() as conn:
        if await instance.remove(conn, claimed):
            facts = {"label": claimed.label}
            await event.tell(conn, "removed", now=means.clock(), of=claimed, facts=facts)


async def customer(means: Means, profile_id: UUID) -> None:
    """Delete a customer. His instance follows as soon as a worker is free.

    Raises:
        NotFoundError: there is no such customer.
    """
    async with means.db.transaction() as conn:
        if not await profile.delete(conn, profile_id):
            raise NotFoundError("no such profile")
