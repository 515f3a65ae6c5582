"""Changes of a recipe's fields: by dotted names, and from text as the command line gives it."""

import json
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, cast

from pydantic import BaseModel

from ichnos.errors import RecipeError


def changed(tree: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with fields set, nested ones named by dots (`fit.epochs`). Raises RecipeError where there is none."""
    begun: list[dict[str, Any]] = []  # optional parts that were off: what is set in them starts from their defaults
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        node = tree
        for parent in parents:
            if parent not in node or not isinstance(node[parent], dict | NoneType):
                raise _no_such_field(dotted, node, tree)
            if node[parent] is None:
                node[parent] = {}
                begun.append(node[parent])
            node = cast("dict[str, Any]", node[parent])
        if last not in node and not any(node is each for each in begun):
            raise _no_such_field(dotted, node, tree)
        node[last] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return tree


def _no_such_field(dotted: str, node: Mapping[str, Any], tree: Mapping[str, Any]) -> RecipeError:
    """node: where the name was looked for; what ends with it elsewhere in the tree may be what is meant."""
    there = f"there are {', '.join(sorted(node))}"
    meant = [path for path in _paths(tree) if path.endswith(f".{dotted}")]
    hint = f"; perhaps {' or '.join(meant)} is meant" if meant else ""
    return RecipeError(f"no such field: {dotted}; {there}{hint}")


def _paths(tree: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Of every field, by dots."""
    for name, value in tree.items():
        yield f"{before}{name}"
        if isinstance(value, dict):
            yield from _paths(cast("dict[str, Any]", value), f"{before}{name}.")


def parsed(text: str) -> Any:
    """JSON where it is JSON (numbers, true, null, lists), else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
