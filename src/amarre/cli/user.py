"""People of the team."""

from typing import Annotated, Any

import typer

from amarre.cli.common import DataDir, JsonFlag, show, tell, with_means
from amarre.flows import people
from amarre.flows.means import Means
from amarre.store import access

app = typer.Typer(help="People of the team: who may log in, and as what.", no_args_is_help=True)

Role = Annotated[str, typer.Option(help="admin, support or viewer.")]
Password = Annotated[
    str | None,
    typer.Option(help="Prompted for with an empty value; generated when absent.", show_default=False),
]


@app.command("list")
def list_them(as_json: JsonFlag = False, data_dir: DataDir = None) -> None:
    """List people."""

    async def story(means: Means) -> list[dict[str, Any]]:
        async with means.db.transaction() as conn:
            return [
                {
                    "email": one.email,
                    "name": one.name,
                    "role": one.role,
                    "active": one.active,
                    "last_login_at": one.last_login_at,
                }
                for one in await access.users(conn)
            ]

    show(with_means(story, data_dir=data_dir), as_json=as_json, empty="nobody yet: amarre user add")


@app.command()
def add(
    email: str,
    name: Annotated[str, typer.Option(help="The name that pages show.")] = "",
    role: Role = "support",
    password: Password = None,
    as_json: JsonFlag = False,
    data_dir: DataDir = None,
) -> None:
    """Add a person; prints the password, once, when it was generated."""
    chosen = _asked(password)

    async def story(means: Means) -> str:
        return (await people.add(means, email=email, name=name or email, role=role, password=chosen))[1]

    made = with_means(story, data_dir=data_dir)
    shown = {} if chosen else {"password": made}
    text = f"added {email} as {role}" + ("" if chosen else f"; password: {made}")
    tell({"email": email, "role": role} | shown, as_json=as_json, text=text)


@app.command()
def password(
    email: str, password: Password = None, as_json: JsonFlag = False, data_dir: DataDir = None
) -> None:
    """Give a person a new password. All sessions of that person end."""
    chosen = _asked(password)

    async def story(means: Means) -> str:
        return await people.set_password(means, email, password=chosen, now=means.clock())

    made = with_means(story, data_dir=data_dir)
    text = "password changed" if chosen else f"password: {made}"
    tell({"email": email} | ({} if chosen else {"password": made}), as_json=as_json, text=text)


@app.command()
def change(
    email: str,
    role: Annotated[str | None, typer.Option(help="admin, support or viewer.")] = None,
    active: Annotated[bool | None, typer.Option(help="Whether the person may log in.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Change what a person may do, or lock the person out. All sessions of that person end."""

    async def story(means: Means) -> None:
        await people.change_by_email(means, email, role=role, active=active, now=means.clock())

    with_means(story, data_dir=data_dir)
    typer.echo(f"changed {email}")


def _asked(given: str | None) -> str | None:
    if given == "":
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return given
