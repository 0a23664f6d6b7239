"""doctor: what is not as it should be, and what to do about it."""

import asyncio
import json

import typer
from rich.console import Console

from amarre.app import doctor as examination
from amarre.cli.common import DataDir, JsonFlag, settings

MARKS = {"ok": "[green]ok[/]  ", "warn": "[yellow]look[/]", "bad": "[bold red]bad[/] "}


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(doctor)


def doctor(as_json: JsonFlag = False, data_dir: DataDir = None) -> None:
    """Check database, gateway, webhook address, clocks and secrets; say what to do. Exit 1 when bad."""
    findings = asyncio.run(examination.examine(settings(data_dir)))
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in findings], ensure_ascii=False))
    else:
        console = Console()
        for one in findings:
            console.print(f"{MARKS[one.verdict]} {one.what}: {one.found}", highlight=False)
            if one.do:
                console.print(f"       → {one.do}", highlight=False)
    if any(one.verdict == "bad" for one in findings):
        raise typer.Exit(1)
