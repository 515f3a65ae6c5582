"""A run's folder: what lies where, and to whom it belongs."""

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from pydantic import ValidationError

from ichnos.errors import TrainingError
from ichnos.files import explained, locked, remove_torn, write_json
from ichnos.models.checkpoint import read_header
from ichnos.recipe import AnyRecipe

_PACKAGES = ("ichnos", "torch", "monai", "kornia", "lightning-fabric", "numpy", "safetensors")
"""Whose versions can change a result."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.json"

    @property
    def journal(self) -> Path:
        """A line of JSON an epoch."""
        return self.path / "journal.jsonl"

    @property
    def events(self) -> Path:
        """The folder of TensorBoard events."""
        return self.path / "tensorboard"

    @property
    def environment(self) -> Path:
        """Versions, device, machine and time."""
        return self.path / "environment.json"

    @property
    def last(self) -> Path:
        """The newest weights, with all that a resumed run needs."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights with the lowest validation loss."""
        return self.path / "best.safetensors"

    def best_until(self, epochs: int) -> Path:
        """The best weights of the first so many epochs."""
        return self.path / f"best_until_{epochs}.safetensors"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and hold it: no two processes train into one. Raises OutputError."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path):
            yield

    def check(self, recipe: AnyRecipe) -> None:
        """See that the run that is here, if any, has the same recipe. Raises TrainingError where it has not.

        Name and title may differ: what a recipe is called changes nothing of what it trains.
        Leavings of a killed run's unfinished writes are removed. A recipe without weights is such a leaving too: the
        run ended before its first save.
        """
        if self.path.exists():
            remove_torn(self.path)
        if self.best.exists() and not self.last.exists():
            metadata = read_header(self.best)["metadata"]
            if "adapted" in metadata or metadata.get("epoch", 0) > 1:  # a killed run has no more than its first epoch
                raise TrainingError(
                    f"{self.path} holds weights that were not trained there, or are all that is left of a run; give "
                    "another folder, or remove this one"
                )
        if not self.recipe.exists() or not self.last.exists():
            return
        theirs, mine = _with_defaults(_read(self.recipe), type(recipe)), recipe.model_dump(mode="json")
        if _uncalled(theirs) != _uncalled(mine):
            raise TrainingError(
                f"{self.path} holds a run of another recipe ({_differences(theirs, mine)}); "
                "give another folder, or remove this one"
            )

    def claim(self, recipe: AnyRecipe) -> None:
        """Write the recipe: the run begins here."""
        write_json(self.recipe, recipe.model_dump(mode="json"))

    def started(self) -> str:
        """When the run began, ISO 8601 in UTC: as environment.json says where there is one, else now."""
        if self.environment.exists():
            return str(_read(self.environment)["started"])
        return datetime.now(UTC).isoformat(timespec="seconds")


def describe(
    fabric: Fabric, started: str, seconds: float, *, accumulate: int = 1, compiled: bool = False
) -> dict[str, Any]:
    """What environment.json holds: on what the run was made, when (UTC), and how many seconds it trained."""
    device = fabric.device
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": fabric.strategy.precision.precision,
        "processes": fabric.world_size,
        "accumulate": accumulate,
        "compiled": compiled,
        "threads": torch.get_num_threads(),
        "machine": {"processor": _processor(), "architecture": platform.machine(), "system": platform.system()},
        "started": started,
        "seconds": round(seconds, 3),
    }


def _processor() -> str:
    """The processor's name as Linux gives it, else as Python does."""
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _uncalled(tree: Any) -> Any:
    """A recipe without what it is called."""
    return (
        {key: value for key, value in tree.items() if key not in ("name", "title")} if isinstance(tree, dict) else tree
    )


def _with_defaults(tree: Any, kind: type[AnyRecipe]) -> Any:
    """A recipe that was written before a field was added is the same recipe with that field's default."""
    try:
        return kind.model_validate(tree).model_dump(mode="json")
    except ValidationError:
        return tree


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} is damaged ({error}); give another folder, or remove this one") from error


def _differences(theirs: Any, mine: Any, name: str = "") -> str:
    """Which fields differ, as `fit.epochs: 10 there, 6 here`."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        keys = [key for key in (*mine, *(theirs.keys() - mine.keys())) if theirs.get(key) != mine.get(key)]
        return ", ".join(_differences(theirs.get(key), mine.get(key), f"{name}.{key}".lstrip(".")) for key in keys)
    return f"{name}: {json.dumps(theirs)} there, {json.dumps(mine)} here"
