"""What the `db` commands do: they work on the database as a whole, beside all stories."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from amarre.app.build import open_database
from amarre.app.clock import read as read_now
from amarre.core.errors import AmarreError, ConflictError
from amarre.settings import Settings
from amarre.store import adopt as adoption
from amarre.store.binaries import client_program
from amarre.store.database import Database
from amarre.store.embedded import running_url
from amarre.store.migrate import migrate


class NotRunningError(ConflictError):
    """The embedded database does not run."""

    code = "database_not_running"


class ToolFailedError(AmarreError):
    """A program of PostgreSQL ended with an error."""

    code = "tool_failed"


def url_of(settings: Settings) -> str:
    """Give the URL of the database that runs.

    Raises:
        NotRunningError: it is the embedded one, and it does not run.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    found = running_url(settings.data_dir / "database")
    if found is None:
        raise NotRunningError("the embedded database does not run: start amarre serve (or demo) first")
    return found


def psql(settings: Settings) -> tuple[str, Mapping[str, str]]:
    """Say which psql to run and with which environment; the password is not on its command line."""
    return _tool("psql"), {"PGDATABASE": url_of(settings)}


def _tool(name: str) -> str:
    ours = client_program(name)
    found = str(ours) if ours.is_file() else shutil.which(name)
    if found is None:
        raise ToolFailedError(f"{name} was not found")
    return found


async def migrate_now(settings: Settings) -> list[str]:
    """Apply what is missing, and restore functions that were replaced."""
    async with open_database(settings) as url:
        return await migrate(url, now=read_now(), repeat=True)


async def adopt(settings: Settings, *, really: bool) -> list[str]:
    """Connect a `public.profiles` that is not ours; return what was, or would be, done."""
    async with open_database(settings) as url:
        await migrate(url, now=read_now())
        db = await Database.open(url, application_name="amarre db adopt", max_size=2)
        try:
            async with db.transaction() as conn:
                theirs = await adoption.look(conn)
                steps = _steps(theirs)
                if really and theirs.profiles and theirs.fits and not theirs.adopted:
                    taken = await adoption.adopt(conn)
                    steps.append(f"done: {taken} profiles taken over")
                return steps
        finally:
            await db.close()


def _steps(theirs: adoption.Theirs) -> list[str]:
    if not theirs.obstacles:
        return ["nothing to adopt: every name of the contract is ours"]
    steps = [f"public.{name} is yours and stays as it is" for name in theirs.obstacles]
    if theirs.adopted:
        steps.append("public.profiles is adopted already")
    elif theirs.profiles and theirs.fits:
        steps += [
            "add trigger on_profile_created_create_evolution_instance to public.profiles",
            "add trigger on_profile_deleted_remove_evolution_instance to public.profiles",
            "take over the profiles that are there; each gets an instance",
            "run again with --yes to do it",
        ]
    elif theirs.profiles:
        steps.append("public.profiles has no column id of type uuid: call the REST API at sign-up instead")
    others = [name for name in theirs.obstacles if name != "profiles"]
    if others:
        steps.append(f"rename {', '.join(others)} and run amarre db migrate to get our views of these names")
    return steps


def backup(settings: Settings, file: Path) -> None:
    """Write schema `amarre` and our objects in `public` into a file of pg_dump's custom format.

    Raises:
        ToolFailedError: pg_dump did not succeed; the file is removed.
    """
    command = ["--format=custom", "--no-owner", "--schema=amarre", f"--file={file}"]
    try:
        _run("pg_dump", [*command, f"--dbname={url_of(settings)}"])
    except ToolFailedError:
        file.unlink(missing_ok=True)
        raise
    file.chmod(0o600)


def restore(settings: Settings, file: Path) -> None:
    """Replace schema `amarre` by a backup's, in one transaction.

    Raises:
        ToolFailedError: pg_restore did not succeed; nothing was changed.
    """
    if not file.is_file():
        raise ToolFailedError(f"there is no file {file}")
    command = ["--clean", "--if-exists", "--no-owner", "--single-transaction"]
    _run("pg_restore", [*command, f"--dbname={url_of(settings)}", str(file)])


def _run(name: str, arguments: list[str]) -> None:
    ran = subprocess.run(  # noqa: S603  # a program of ours, no shell
        [_tool(name), *arguments], check=False, capture_output=True, text=True
    )
    if ran.returncode != 0:
        raise ToolFailedError(
            f"{name}: {ran.stderr.strip().splitlines()[0] if ran.stderr.strip() else 'failed'}"
        )
