"""Changes of a recipe's fields: by dotted names, and from text as the command line gives it."""

import json
from collections.abc import Mapping
from types import NoneType
from typing import Any, cast

from pydantic import BaseModel

from ichnos.errors import RecipeError


def changed(tree: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with fields set, nested ones named by dots (`fit.epochs`). Raises RecipeError where there is none."""
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        node = tree
        opened = False  # an optional part that was off: what is set in it starts from its defaults
        for parent in parents:
            if parent not in node or not isinstance(node[parent], dict | NoneType):
                raise RecipeError(f"no such field: {dotted}; there are {', '.join(sorted(node))}")
            opened = node[parent] is None
            child = cast("dict[str, Any]", node[parent] or {})
            node[parent] = child
            node = child
        if last not in node and not opened:
            raise RecipeError(f"no such field: {dotted}; there are {', '.join(sorted(node))}")
        node[last] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return tree


def parsed(text: str) -> Any:
    """JSON where it is JSON (numbers, true, null, lists), else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
