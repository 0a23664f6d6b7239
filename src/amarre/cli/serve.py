"""serve, web, worker: the service itself."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from amarre.app import Running
from amarre.app import serve as run
from amarre.cli.common import DataDir, settings

Host = Annotated[str | None, typer.Option(help="Address to listen on (AMARRE_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on (AMARRE_PORT).")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(serve)
    app.command()(web)
    app.command()(worker)


def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run everything in one process: pages, API, webhook door, workers."""
    _run(host, port, data_dir, web=True, work=True)


def web(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run pages, API and webhook door only; workers run elsewhere."""
    _run(host, port, data_dir, web=True, work=False)


def worker(data_dir: DataDir = None) -> None:
    """Run a worker only. Any number of them, on any machines, share one database."""
    _run(None, None, data_dir, web=False, work=True)


def _run(host: str | None, port: int | None, data_dir: Path | None, *, web: bool, work: bool) -> None:
    read = settings(data_dir, host=host, port=port)

    async def ready(running: Running) -> None:
        typer.echo(f"ready {running.settings.url}" if web else "ready")

    asyncio.run(run(read, web=web, work=work, say=typer.echo, ready=ready))
