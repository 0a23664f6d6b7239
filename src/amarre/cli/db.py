"""The database: where it is, its migrations, its backups."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from amarre.app import database
from amarre.cli.common import DataDir, JsonFlag, settings, tell

app = typer.Typer(help="The database: url, psql, migrate, adopt, backup, restore.", no_args_is_help=True)


@app.command()
def url(as_json: JsonFlag = False, data_dir: DataDir = None) -> None:
    """Print the URL of the database that runs (it contains the password)."""
    found = database.url_of(settings(data_dir))
    tell({"database_url": found}, as_json=as_json, text=found)


@app.command()
def psql(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to psql, after --.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Open psql on the database that runs."""
    program, environment = database.psql(settings(data_dir))
    os.execve(program, [program, *(arguments or [])], os.environ | environment)  # noqa: S606  # no shell


@app.command()
def migrate(as_json: JsonFlag = False, data_dir: DataDir = None) -> None:
    """Bring the database to this version. Safe to repeat, and beside running processes."""
    done = asyncio.run(database.migrate_now(settings(data_dir)))
    tell({"applied": done}, as_json=as_json, text="\n".join(done) or "nothing to do")


@app.command()
def adopt(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")] = False,
    as_json: JsonFlag = False,
    data_dir: DataDir = None,
) -> None:
    """Connect a `public.profiles` of your own: its sign-ups get an instance."""
    told = asyncio.run(database.adopt(settings(data_dir), really=yes))
    tell({"steps": told, "done": yes}, as_json=as_json, text="\n".join(told))


@app.command()
def backup(file: Path, data_dir: DataDir = None) -> None:
    """Write everything into a file. AMARRE_SECRET_KEY belongs to it: without that key tokens stay sealed."""
    asyncio.run(database.backup(settings(data_dir), file))
    typer.echo(
        f"written to {file}. Keep AMARRE_SECRET_KEY (or the keys folder of the data directory) with it."
    )


@app.command()
def restore(
    file: Path,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Replace everything by a backup. Stop the service first."""
    if not yes:
        typer.confirm("Replace everything in the database?", abort=True)
    asyncio.run(database.restore(settings(data_dir), file))
    typer.echo("restored")
