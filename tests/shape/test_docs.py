"""The reference names everything that there is, and no link of the documents is broken."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

import amarre.cli
from amarre.core.errors import AmarreError
from amarre.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "amarre"
REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def named(page: str) -> set[str]:
    """Give what a page of the reference names in code spans."""
    return set(re.findall(r"`([^`\n]+)`", (REFERENCE / page).read_text(encoding="utf-8")))


def missing(wanted: set[str], page: str) -> list[str]:
    """List what a page does not name; a name may be followed by arguments."""
    spans = named(page)
    return sorted(one for one in wanted if not any(re.match(rf"{re.escape(one)}(?![\w-])", s) for s in spans))


def commands(of: Any, path: tuple[str, ...] = ("amarre",)) -> Iterator[str]:
    for name, command in of.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


def options(of: Any) -> Iterator[str]:
    for command in of.commands.values():
        if hasattr(command, "commands"):
            yield from options(command)
        for parameter in command.params:
            yield from (name for name in parameter.opts if name.startswith("--"))


def routes(router: Any, prefix: str = "") -> Iterator[str]:
    for route in router.routes:
        if (inner := getattr(route, "original_router", None)) is not None:
            yield from routes(inner, prefix + route.include_context.prefix)
            continue
        for method in sorted(route.methods):
            yield f"{method} {prefix}{route.path}"


def subclasses(of: type[AmarreError]) -> Iterator[type[AmarreError]]:
    for one in of.__subclasses__():
        if one.__module__.startswith("amarre."):
            yield one
            yield from subclasses(one)


def texts(node: ast.AST | None) -> set[str]:
    return {
        one.value
        for one in (ast.walk(node) if node else ())
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def kinds_told(path: Path) -> set[str]:
    """Find the kinds of events that a story tells: as an argument, by a variable, or by a table."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="event"), attr="tell"), args=[_, kind]):
                found |= texts(kind) if not isinstance(kind, ast.JoinedStr) else set()
            case ast.Assign(targets=[ast.Name(id="kind")], value=ast.Constant() | ast.IfExp() as value):
                found |= (
                    texts(value.body) | texts(value.orelse) if isinstance(value, ast.IfExp) else texts(value)
                )
            case ast.Assign(targets=[ast.Name(id="_TELLS")], value=ast.Dict() as table):
                found |= set().union(*map(texts, table.values))
            case ast.keyword(arg="tell", value=value):
                found |= texts(value)
            case _:
                pass
    return found


def event_kinds() -> set[str]:
    told = set().union(*(kinds_told(path) for path in (SOURCE / "flows").glob("*.py")))
    states = re.search(
        r"check \(state in \('unknown', 'ok', ([^)]*)\)",
        (SOURCE / "store/migrations/0001_foundation.sql").read_text(encoding="utf-8"),
    )
    assert states is not None
    told |= {f"gateway_{state}" for state in re.findall(r"'(\w+)'", states[1])}
    for path in (SOURCE / "store/repeatable").glob("*.sql"):
        sql = path.read_text(encoding="utf-8")
        told |= set(re.findall(r"insert into amarre\.events[^;]*?values \(clock_timestamp\(\), '(\w+)'", sql))
    return told


def contract_names() -> set[str]:
    sql = "\n".join(path.read_text(encoding="utf-8") for path in (SOURCE / "store/repeatable").glob("*.sql"))
    views = set(re.findall(r"amarre\.show\('(\w+)'", sql))
    functions = {f"{name}()" for name in re.findall(r"create or replace function public\.(\w+)", sql)}
    return views | functions


def columns_of_views() -> set[str]:
    sql = (SOURCE / "store/repeatable/30_views.sql").read_text(encoding="utf-8")
    found: set[str] = set()
    for query in re.findall(r"amarre\.show\('\w+', \$\$\s*select (.*?)\n?\s*from", sql, re.DOTALL):
        plain = re.sub(r"case .*? end", "case", query, flags=re.DOTALL)
        found |= {part.split()[-1] for part in plain.split(",")}
    return found


def test_every_setting_is_in_the_reference():
    fields = Settings.model_fields.items()
    wanted = {str(field.alias) for _, field in fields} | {name for name, _ in fields}

    assert missing(wanted, "settings.md") == []


def test_every_command_and_option_is_in_the_reference():
    root = typer.main.get_command(amarre.cli.app)
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")

    assert missing(set(commands(root)), "cli.md") == []
    assert sorted(option for option in set(options(root)) if option not in page) == []


@pytest.mark.parametrize("page", ["rest", "functions"])
def test_every_route_of_machines_is_in_the_reference(page):
    from amarre.web import api, functions, hooks  # noqa: PLC0415  # the rooms of one page

    of = {"rest": [api.router], "functions": [functions.router, hooks.router]}[page]
    found = {route for router in of for route in routes(router)}

    assert len(found) >= 5
    assert missing(found, f"{page}.md") == []


def test_every_event_is_in_the_reference():
    kinds = event_kinds()

    assert {"connected", "unlinked", "instance_adopted", "webhook_set_again", "signed_up"} <= kinds
    assert missing(kinds, "events.md") == []


def test_every_error_code_is_in_the_reference():
    codes = {one.code for one in subclasses(AmarreError)} | {AmarreError.code}

    assert missing(codes, "errors.md") == []


def test_every_name_of_the_sql_contract_is_in_the_reference():
    names = contract_names()

    assert {"profiles", "evolution_instances", "handle_profile_evolution_instance()"} <= names
    assert missing(names | columns_of_views(), "sql.md") == []


def test_every_metric_is_in_the_reference():
    wanted: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        made = re.findall(r"(Counter|Gauge|Histogram)\(\s*\"(\w+)\"", path.read_text(encoding="utf-8"))
        wanted |= {f"{name}_total" if kind == "Counter" else name for kind, name in made}

    assert len(wanted) >= 10
    assert missing(wanted, "metrics.md") == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    broken = [link for link in LINK.findall(text) if not leads_somewhere(path, link)]

    assert broken == []


def leads_somewhere(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True
    target, _, anchor = link.partition("#")
    file = (page.parent / unquote(target)).resolve() if target else page
    return file.exists() and (not anchor or anchor in anchors(file))


def anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
