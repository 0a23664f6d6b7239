"""What commands share: running a story, and printing its result for a person or a machine."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from amarre.app import log
from amarre.app.build import open_means
from amarre.flows.means import Means
from amarre.settings import Settings, load

T = TypeVar("T")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the embedded database lives (AMARRE_DATA_DIR).")
]

OPERATOR = "operator"
WIDE = 400


def settings(data_dir: Path | None = None, **given: Any) -> Settings:
    """Read the settings and set the logs up."""
    read = load(data_dir=data_dir, **given)
    log.set_up(read.log_level)
    return read


def with_means(story: Callable[[Means], Awaitable[T]], *, data_dir: Path | None = None) -> T:
    """Run a story against the installation's database, started where it is ours and does not run."""

    async def run() -> T:
        async with open_means(settings(data_dir)) as means:
            return await story(means)

    return asyncio.run(run())


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str = "nothing") -> None:
    """Print rows as a table, or as a JSON array."""
    if as_json:
        typer.echo(json.dumps([dict(row) for row in rows], default=str, ensure_ascii=False))
        return
    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(column, no_wrap=column in ("id", "at", "key"))
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    # Piped output is for other programs: nothing in it is cut to a width.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def _cell(value: Any) -> str:
    match value:
        case None:
            return "–"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return str(value)


def tell(told: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Print one result: a sentence, or a JSON object."""
    typer.echo(json.dumps(dict(told), default=str, ensure_ascii=False) if as_json else text)
