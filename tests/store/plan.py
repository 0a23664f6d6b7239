"""Every statement of the store, what it is called with, and the plan that a server makes of it.

A statement is prepared with the types that psycopg would send, and explained as the generic
plan that a connection settles on after some calls, so that 15 can tell it as well as 18.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from amarre import store
from tests.support import DAY, HOUR, MINUTE, NOON, SECOND

LARGE = {
    "profiles",
    "instances",
    "instance_secrets",
    "seen_codes",
    "provisioning_requests",
    "deliveries",
    "events",
}

_STATEMENT = re.compile(r"[\s(]*(--[^\n]*\n[\s(]*)*(select|insert|update|delete|with)\b")
_NAMED = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Statement:
    """An upper-case constant: `name` is its module's and its own."""

    name: str
    text: str

    @property
    def parameters(self) -> list[str]:
        return list(dict.fromkeys(_NAMED.findall(self.text)))

    def values(self) -> list[Any]:
        """What it is called with. A KeyError means: add a sample for a new parameter."""
        module, _, _ = self.name.partition(".")
        known = {**SAMPLES, **OF_MODULE.get(module, {}), **OF_STATEMENT.get(self.name, {})}
        return [known[name] for name in self.parameters]

    def numbered(self) -> str:
        order = {name: n for n, name in enumerate(self.parameters, 1)}
        return _NAMED.sub(lambda found: f"${order[found[1]]}", self.text).replace("%%", "%")


def statements() -> list[Statement]:
    """Find what the store says to the database, definitions left out."""
    return [Statement(name, text) for name, text in _constants() if _STATEMENT.match(text)]


def _constants() -> Iterator[tuple[str, str]]:
    for found in pkgutil.iter_modules(store.__path__):
        for name, text in vars(importlib.import_module(f"amarre.store.{found.name}")).items():
            if name.isupper() and isinstance(text, str):
                yield f"{found.name}.{name}", text


def row(letter: str, n: int = 777) -> UUID:
    """The id of one of the rows that fill.sql makes."""
    return UUID(md5(f"{letter}{n}".encode()).hexdigest())


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


SAMPLES: Mapping[str, Any] = {
    "active": True, "actor": "alice", "after": 99_000, "at": NOON, "base_url": "http://evo.example",
    "before": 2**62, "but": [99_500], "by": "alice", "by_name": False,
    "changes": Jsonb({"state": "connected", "due_at": NOON.isoformat()}), "check": b"check", "checksum": "x",
    "claim_no": 1, "class": 4279634, "code": "gateway_silent", "counts": True, "dead": [3], "dialect": None,
    "due_at": NOON, "email": "new@example.com", "expires_at": NOON, "facts": Jsonb({}), "full_name": "Léa",
    "gateway": row("g", 1), "hash": b"new", "host": "here", "id": row("i"), "idle": HOUR, "ids": [row("i")],
    "instance": row("i"), "key": 7, "kind": "evolution", "label": None, "lease": 30 * SECOND, "life": DAY,
    "like": "%lea%", "limit": 50, "local": True, "locale": "fr", "locked": True, "message": "no answer",
    "name": "i-777", "names": ["g-1", "g-2"], "now": NOON, "offset": 0, "phone": None, "pid": 4711,
    "prefix": "am_1", "q": "lea", "queue": "all", "response_ms": 12, "role": "viewer", "scope": "read",
    "sealed": b"sealed", "silence": 2 * MINUTE, "skew": SECOND, "state": "connecting",
    "subject": "a", "subjects": ["a", "b"],
    "theme": None, "token": b"token", "user": row("p"), "version": None, "within": 15 * MINUTE, "word": None,
    "worker": 3,
}  # fmt: skip
OF_MODULE: Mapping[str, Mapping[str, Any]] = {
    "access": {"id": row("u", 1), "user": row("u", 1), "hash": _digest("s1")},
    "fleet": {"gateway": None},
    "gateway": {"id": row("g", 1)},
    "link": {"id": row("l", 1)},
    "profile": {"id": row("p")},
    "request": {"id": row("r")},
}
_N = 100
OF_STATEMENT: Mapping[str, Mapping[str, Any]] = {
    "access.ADD_USER": {"hash": "argon"},
    "access.CHANGE_USER": {"hash": None},
    "access.ADD_KEY": {"hash": _digest("new")},
    "access.OPEN_SESSION": {"hash": _digest("new")},
    "database.SET_LIMITS": {"statement": "30s", "idle": "60s"},
    "delivery.APPLIED": {"ids": list(range(49_000, 49_100)), "outcomes": ["applied"] * _N},
    "delivery.POSTPONE": {"ids": list(range(49_000, 49_100))},
    "delivery.STILL_WAITING": {"ids": list(range(49_000, 49_100))},
    "delivery.PRUNE": {"limit": 5000},
    "delivery.KEEP": {
        "n": list(range(_N)),
        "name": [f"i-{n}" for n in range(1, _N + 1)],
        "secret": [_digest(f"h{n}") for n in range(1, _N + 1)],
        "event": ["connection.update"] * _N,
        "subject": ["connection"] * _N,
        "body": [Jsonb({"n": n}) for n in range(_N)],
        "hash": [_digest(f"new{n}") for n in range(_N)],
        "at": [NOON] * _N,
        "matters": [True] * _N,
    },
    "event.SINCE": {"limit": 1000},
    "instance.ADD": {"name": "new", "user": None},
    "instance.ADD_SECRETS": {"id": row("i", 20_001)},
    "link.MAKE": {"hash": _digest("new")},
    "profile.ADD": {"id": None},
    "request.ASK": {"user": row("p", 20_001)},
}


def _file(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")


# What statistics may be like: `stale` ones are of a quiet day, and then everything is due at once.
STATES = {
    "empty": [_file("no_autovacuum"), "analyze"],
    "stale": [_file("no_autovacuum"), _file("fill"), _file("quiet"), "analyze", _file("storm")],
    "full": [_file("no_autovacuum"), _file("fill"), "vacuum analyze"],
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: which large tables it reads from end to end.

    If it was run: how long that took, and how many rows it looked at in one large table.
    """

    scanned: frozenset[str]
    took: timedelta
    looked_at: int
    tree: Mapping[str, Any]


def explain(conn: Connection[Any], statement: Statement, *, run: bool = False) -> Plan:
    """Plan a statement for any values; with `run`, do what it says and take it back."""
    with conn.transaction(force_rollback=True):
        conn.execute("set local plan_cache_mode = force_generic_plan")
        prepare(conn, statement)
        given = [sql.Literal(value) for value in statement.values()]
        call = (
            sql.SQL("execute one({})").format(sql.SQL(", ").join(given)) if given else sql.SQL("execute one")
        )
        how = sql.SQL("explain (format json, analyze, buffers) " if run else "explain (format json) ")
        found = conn.execute(how + call).fetchone()
    conn.execute("deallocate one")
    assert found is not None
    (top,) = cast("list[dict[str, Any]]", found[0])
    took = timedelta(milliseconds=top.get("Execution Time", 0.0))
    scanned = {node["Relation Name"] for node in nodes(top["Plan"]) if node["Node Type"] == "Seq Scan"}
    looked_at = max(map(_looked_at, nodes(top["Plan"])), default=0)
    return Plan(frozenset(scanned & LARGE), took, looked_at, top["Plan"])


def _looked_at(node: Mapping[str, Any]) -> int:
    if node.get("Relation Name") not in LARGE or "Scan" not in node["Node Type"]:
        return 0
    rows = node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)
    return int(rows * node.get("Actual Loops", 0))


def prepare(conn: Connection[Any], statement: Statement) -> None:
    """Have the server understand it, with the types that psycopg would send."""
    types = ", ".join(_type(value) for value in statement.values())
    text = f"prepare one{f' ({types})' if types else ''} as {statement.numbered()}"
    conn.execute(text.encode())


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def _type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "int2" if abs(value) < 2**15 else "int4" if abs(value) < 2**31 else "int8"
        case list():
            many = cast("list[Any]", value)
            one = (
                "text"
                if isinstance(many[0], str)
                else _type(max(many) if isinstance(many[0], int) else many[0])
            )
            return f"{one}[]"
        case _:
            return NAMES.get(type(value), "unknown")


NAMES: Mapping[type, str] = {
    datetime: "timestamptz",
    timedelta: "interval",
    UUID: "uuid",
    bytes: "bytea",
    Jsonb: "jsonb",
}
