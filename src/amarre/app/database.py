"""What the `db` commands do: they work on the database as a whole, beside all stories."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

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
    return _tool("psql"), _environment(url_of(settings))


# What libpq reads from the environment, by the name that a URL has for it.
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
    "service": "PGSERVICE",
}


def _environment(url: str) -> dict[str, str]:
    given = conninfo_to_dict(url)
    return {_VARIABLES[key]: str(value) for key, value in given.items() if key in _VARIABLES}


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
            "add triggers amarre_profile_created and amarre_profile_deleted to public.profiles",
            "take over the profiles that are there: each of them gets an instance",
            "run again with --yes to do it",
        ]
    elif theirs.profiles:
        steps.append("public.profiles has no column id of type uuid: call the REST API at sign-up instead")
    if theirs.rival:
        steps.append(
            "your own trigger on public.profiles stays: disable it, or each sign-up gets two instances"
        )
    others = [name for name in theirs.obstacles if name != "profiles"]
    if others:
        steps.append(f"rename {', '.join(others)} and run amarre db migrate to get our views of these names")
    return steps


async def backup(settings: Settings, file: Path) -> None:
    """Write schema `amarre` into a file of pg_dump's custom format (mode 0600).

    Raises:
        ToolFailedError: pg_dump did not succeed; the file is removed.
    """
    async with open_database(settings) as url:
        try:
            await _run("pg_dump", ["--format=custom", "--no-owner", "--schema=amarre", f"--file={file}"], url)
        except ToolFailedError:
            file.unlink(missing_ok=True)
            raise
    file.chmod(0o600)


async def restore(settings: Settings, file: Path) -> None:
    """Replace schema `amarre` by a backup's, in one transaction; functions and views are made anew.

    Stop the service first. A `profiles` of your own has to be adopted again.

    Raises:
        ToolFailedError: pg_restore or psql did not succeed; nothing was changed.
    """
    if not file.is_file():
        raise ToolFailedError(f"there is no file {file}")
    async with open_database(settings) as url:
        script = await _run("pg_restore", ["--no-owner", "--file=-", str(file)], None)
        whole = b"drop schema if exists amarre cascade;\n" + script
        strict = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"]
        await _run("psql", strict, url, whole)
        await migrate(url, now=read_now(), repeat=True)


async def _run(name: str, arguments: list[str], url: str | None, told: bytes | None = None) -> bytes:
    """Run a program of PostgreSQL and return what it prints."""
    running = await asyncio.create_subprocess_exec(
        _tool(name),
        *arguments,
        env=os.environ | (_environment(url) if url else {}),
        stdin=asyncio.subprocess.PIPE if told is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complained = await running.communicate(told)
    if running.returncode != 0:
        lines = complained.decode(errors="replace").strip().splitlines()
        raise ToolFailedError(f"{name}: {lines[0] if lines else 'failed'}")
    return printed
