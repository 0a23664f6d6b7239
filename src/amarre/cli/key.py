"""Keys of machines."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from amarre.cli.common import OPERATOR, DataDir, JsonFlag, show, tell, with_means
from amarre.flows import people
from amarre.flows.means import Means
from amarre.store import access

app = typer.Typer(help="API keys of machines.", no_args_is_help=True)


@app.command("list")
def list_them(as_json: JsonFlag = False, data_dir: DataDir = None) -> None:
    """List keys. Their texts are not kept: each was shown once."""

    async def story(means: Means) -> list[dict[str, Any]]:
        async with means.db.transaction() as conn:
            return [
                {
                    "key": f"{one.prefix}…",
                    "name": one.name,
                    "scope": one.scope,
                    "created_at": one.created_at,
                    "last_used_at": one.last_used_at,
                    "expires_at": one.expires_at,
                    "revoked_at": one.revoked_at,
                }
                for one in await access.keys(conn)
            ]

    show(with_means(story, data_dir=data_dir), as_json=as_json, empty="no keys")


@app.command()
def add(
    name: str,
    scope: Annotated[str, typer.Option(help="read, write or admin.")] = "read",
    days: Annotated[int | None, typer.Option(min=1, help="Days until it ends.")] = None,
    as_json: JsonFlag = False,
    data_dir: DataDir = None,
) -> None:
    """Make a key; prints it once."""

    async def story(means: Means) -> str:
        life = timedelta(days=days) if days else None
        made = await people.add_key(
            means, name=name, scope=scope, actor=OPERATOR, life=life, now=means.clock()
        )
        return made[1]

    text = with_means(story, data_dir=data_dir)
    tell({"name": name, "scope": scope, "key": text}, as_json=as_json, text=text)


@app.command()
def revoke(prefix: str, data_dir: DataDir = None) -> None:
    """Revoke a key by its visible beginning (see `amarre key list`)."""

    async def story(means: Means) -> None:
        await people.revoke_key(means, prefix.rstrip("…"), actor=OPERATOR, now=means.clock())

    with_means(story, data_dir=data_dir)
    typer.echo("revoked")
