"""What every part of a recipe is: frozen, strict, with a fingerprint, and changed by text."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from ichnos.changes import changed, parsed
from ichnos.errors import RecipeError

EVERY_FIELD = "every_field"
"""In the context of a dump: with fields that came later and are off, so that they can be set."""


class Grammar(BaseModel):
    """Frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    added_later: ClassVar[tuple[str, ...]] = ()
    """Fields that the form did not have at first. At their defaults they are not written, so that fingerprints, caches
    and bundles from before stay what they were."""

    @property
    def later_fields(self) -> list[str]:
        """Those of `added_later` that are not at their defaults."""
        return [name for name in self.added_later if getattr(self, name) != type(self).model_fields[name].default]

    @model_serializer(mode="wrap")
    def _as_before(self, dumped: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        tree = dumped(self)
        asked = cast("Mapping[str, bool]", info.context or {})
        if not asked.get(EVERY_FIELD):
            for name in set(self.added_later) - set(self.later_fields):
                tree.pop(name, None)
        return tree


class AnyRecipe(Grammar):
    """What every kind of recipe can do."""

    in_words: ClassVar[str]
    """What a sentence calls a recipe of this kind, or a run of it: `a cascade`."""

    def derive(self, **changes: Any) -> Self:
        """A copy with changed fields, validated again. Nested fields by dots: derive(**{"fit.epochs": 6})."""
        return type(self).model_validate(changed(self.model_dump(mode="json", context={EVERY_FIELD: True}), changes))

    def override(self, assignments: Mapping[str, str]) -> Self:
        """A copy with fields set from text, as `--set fit.learning_rate=3e-4` gives them. Raises RecipeError."""
        try:
            return self.derive(**{key: parsed(value) for key, value in assignments.items()})
        except ValidationError as error:
            raise RecipeError(explain(error)) from error

    def fingerprint(self) -> str:
        """16 hex digits that change with anything the recipe says."""
        return digest(self.model_dump(mode="json"))


def explain(error: ValidationError) -> str:
    """One line of what does not fit, field by field, from pydantic's report."""
    lines: list[str] = []
    for detail in error.errors():
        where = ".".join(str(part) for part in detail["loc"] if not str(part).startswith("<"))
        if detail["type"] == "extra_forbidden":
            lines.append(f"no such field: {where}")
        else:
            said = detail["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {said}" if where else said)
    return "; ".join(lines)


def digest(tree: Any) -> str:
    """16 hex digits that name a JSON-able tree."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
