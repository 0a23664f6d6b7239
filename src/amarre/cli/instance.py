"""Instances, for operators."""

from typing import Annotated, Any
from uuid import UUID

import typer

from amarre.cli.common import OPERATOR, DataDir, JsonFlag, show, tell, with_means
from amarre.core.errors import NotFoundError
from amarre.flows import pairing, provision, remove
from amarre.flows.means import Means
from amarre.store import event, fleet, instance
from amarre.store.fleet import Wish
from amarre.store.instance import Instance

app = typer.Typer(help="WhatsApp connections: list, show, add, pair, rest, remove.", no_args_is_help=True)

Which = Annotated[str, typer.Argument(help="Its id, or its name at the gateway.")]


@app.command("list")
def list_them(
    q: Annotated[str | None, typer.Option(help="A part of a name, number or address.")] = None,
    state: Annotated[
        str | None, typer.Option(help="A state, a reason, attention, moving or resting.")
    ] = None,
    as_json: JsonFlag = False,
    data_dir: DataDir = None,
) -> None:
    """List instances, those that need a person first."""

    async def story(means: Means) -> list[dict[str, Any]]:
        async with means.db.transaction() as conn:
            return [_row(one) for one in await fleet.page(conn, Wish(q=q, word=state, limit=10_000))]

    show(with_means(story, data_dir=data_dir), as_json=as_json, empty="no instances")


def _row(one: Instance) -> dict[str, Any]:
    return {
        "id": one.id,
        "label": one.label,
        "state": one.state,
        "reason": one.reason,
        "phone": one.phone,
        "gateway": one.gateway,
        "since": one.state_since,
    }


async def _find(means: Means, which: str) -> Instance:
    async with means.db.transaction() as conn:
        try:
            found = await instance.get(conn, UUID(which))
        except ValueError:
            found = await instance.by_name(conn, which)
    if found is None:
        raise NotFoundError(f"no instance {which}: see amarre instance list")
    return found


@app.command("show")
def show_one(which: Which, as_json: JsonFlag = False, data_dir: DataDir = None) -> None:
    """Show one instance and its story."""

    async def story(means: Means) -> tuple[Instance, list[dict[str, Any]]]:
        found = await _find(means, which)
        async with means.db.transaction() as conn:
            told = await event.of_instance(conn, found.id, limit=30)
        return found, [{"at": one.at, "kind": one.kind, "facts": dict(one.facts)} for one in told]

    found, told = with_means(story, data_dir=data_dir)
    if as_json:
        tell({**_row(found), "events": told}, as_json=True, text="")
        return
    show([_row(found)], as_json=False)
    show(told, as_json=False)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The customer's name.")],
    email: Annotated[str | None, typer.Option(help="The customer's e-mail address.")] = None,
    as_json: JsonFlag = False,
    data_dir: DataDir = None,
) -> None:
    """Add a customer; the instance is created by the running service."""

    async def story(means: Means) -> UUID:
        return (await provision.sign_up(means, email=email, full_name=name, actor=OPERATOR)).id

    made = with_means(story, data_dir=data_dir)
    tell({"profile_id": made}, as_json=as_json, text=f"added; profile {made}")


@app.command()
def pair(which: Which, as_json: JsonFlag = False, data_dir: DataDir = None) -> None:
    """Wake an instance and print a one-time link that shows its code."""

    async def story(means: Means) -> str:
        found = await _find(means, which)
        await pairing.begin(means, found.id, actor=OPERATOR, now=means.clock())
        return await pairing.make_link(means, found.id, actor=OPERATOR, now=means.clock())

    url = with_means(story, data_dir=data_dir)
    tell({"url": url}, as_json=as_json, text=url)


@app.command()
def rest(which: Which, data_dir: DataDir = None) -> None:
    """Stop showing codes for an instance until somebody looks or asks."""

    async def story(means: Means) -> None:
        found = await _find(means, which)
        await pairing.rest(means, found.id, actor=OPERATOR, now=means.clock())

    with_means(story, data_dir=data_dir)
    typer.echo("at rest")


@app.command("remove")
def remove_one(
    which: Which,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a customer and the instance, here and at the gateway. Cannot be undone."""
    if not yes:
        typer.confirm(f"Delete {which} here and at the gateway?", abort=True)

    async def story(means: Means) -> None:
        found = await _find(means, which)
        if found.user_id is None:
            raise NotFoundError("this instance has no customer any more; it is being removed")
        await remove.customer(means, found.user_id)

    with_means(story, data_dir=data_dir)
    typer.echo("removed here; the running service deletes it at the gateway")
