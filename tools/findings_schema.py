"""Write docs/findings.schema.json, the JSON Schema of findings.json, or check that it is up to date (--check)."""

import ast
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ichnos.findings
from ichnos.findings import ExamFindings

SCHEMA = Path(__file__).parents[1] / "docs" / "findings.schema.json"


def schema() -> dict[str, Any]:
    """The JSON Schema, each field described by the docstring under it.

    pydantic can do that itself (use_attribute_docstrings), but then it parses the source at every start of the program:
    25 ms of the 31 that importing ichnos.findings took.
    """
    tree = ExamFindings.model_json_schema(mode="serialization")
    described = _docstrings(inspect.getsource(ichnos.findings))
    for name, part in {ExamFindings.__name__: tree, **tree["$defs"]}.items():
        for field, text in described.get(name, {}).items():
            said = part["properties"][field] | {"description": text}
            part["properties"][field] = dict(sorted(said.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | tree


def _docstrings(source: str) -> Mapping[str, Mapping[str, str]]:
    """For each class its fields' docstrings."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            for field, below in zip(node.body, node.body[1:], strict=False):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found.setdefault(node.name, {})[name] = inspect.cleandoc(text)
                    case _:
                        pass
    return found


def main() -> int:
    """Write or check; 1 where the file is not up to date."""
    tree = schema()
    text = json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        return int(not SCHEMA.exists() or SCHEMA.read_text() != text)
    SCHEMA.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
