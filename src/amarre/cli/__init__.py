"""Commands: one file a noun. They read their arguments, call a story, and print.

What may not enter: anything that a page or another program would need too.
"""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from amarre.app import log
from amarre.cli import db, demo, doctor, instance, key, serve, user
from amarre.core.errors import AmarreError

app = typer.Typer(
    name="amarre",
    help="Keeps WhatsApp connections alive, and shows what only a person can mend.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
serve.add_to(app)
demo.add_to(app)
doctor.add_to(app)
app.add_typer(db.app, name="db")
app.add_typer(instance.app, name="instance")
app.add_typer(user.app, name="user")
app.add_typer(key.app, name="key")


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except AmarreError as failed:
        # On one line, whatever a library has put into its text.
        text = log.redact_text(" ".join(str(failed).split()))
        Console(stderr=True).print(
            f"[bold red]{failed.code}[/]: {escape(text)}",
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
