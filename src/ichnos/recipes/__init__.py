"""Recipes, one a file: each docstring says what it is, where it comes from, where it differs and what it costs."""

import importlib
import importlib.util
import pkgutil
from pathlib import Path

from ichnos.errors import RecipeError
from ichnos.recipe import AnyKind, RecipeFile


def names() -> list[str]:
    """The recipes of the package, sorted. Adding a file to this folder adds a recipe."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name_or_path: str) -> RecipeFile:
    """A recipe by its name, or from a Python file of the user's own. Raises RecipeError where there is none."""
    if name_or_path.endswith(".py"):
        return _from_file(Path(name_or_path))
    if name_or_path not in names():
        raise RecipeError(f"no recipe {name_or_path!r}; there are {', '.join(names())}, or give the path of a .py file")
    module = importlib.import_module(f"{__name__}.{name_or_path}")
    return _checked(module, Path(str(module.__file__)))


def _from_file(path: Path) -> RecipeFile:
    if not path.is_file():
        raise RecipeError(f"no recipe file at {path}")
    spec = importlib.util.spec_from_file_location(f"_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # somebody's own Python: whatever it trips over, here is the border
        raise RecipeError(f"{path} is not a recipe: {type(error).__name__}: {error}") from error
    return _checked(module, path)


def _checked(module: object, path: Path) -> RecipeFile:
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, AnyKind):
        raise RecipeError(
            f"{path} has no RECIPE = SliceRecipe(...), or one of the other kinds of recipe; see docs/recipes.md"
        )
    return RecipeFile(recipe=recipe, docstring=(getattr(module, "__doc__", None) or "").strip(), path=path)
