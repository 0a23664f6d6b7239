"""The OpenAPI document as a page shows it: operations in groups, what each takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

METHODS: Final = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call."""

    method: str
    path: str
    summary: str
    detail: str
    takes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """Calls that belong together."""

    name: str
    operations: tuple[Operation, ...]


def chapters(schema: Mapping[str, Any]) -> tuple[Chapter, ...]:
    """Sort the operations of an OpenAPI document by their first tag, in its order."""
    found: dict[str, list[Operation]] = {}
    for path, methods in schema.get("paths", {}).items():
        for method, told in methods.items():
            if method in METHODS:
                found.setdefault((told.get("tags") or ["api"])[0], []).append(
                    _operation(schema, method, path, told)
                )
    return tuple(Chapter(name, tuple(operations)) for name, operations in found.items())


def _operation(schema: Mapping[str, Any], method: str, path: str, told: Mapping[str, Any]) -> Operation:
    first, _, rest = str(told.get("description", "")).partition("\n\n")
    takes = [one["name"] for one in told.get("parameters", []) if one.get("in") in ("query", "path")]
    return Operation(
        method.upper(),
        path,
        first.replace("\n", " ") or str(told.get("summary", "")),
        rest.partition("\n\n")[0].replace("\n", " "),
        (*takes, *_body(schema, told)),
    )


def _body(schema: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    """Name the fields of the JSON body."""
    for content in told.get("requestBody", {}).get("content", {}).values():
        shape = content.get("schema", {})
        name = str(shape.get("$ref", "")).rpartition("/")[2]
        if name:
            shape = schema.get("components", {}).get("schemas", {}).get(name, {})
        yield from shape.get("properties", {})
