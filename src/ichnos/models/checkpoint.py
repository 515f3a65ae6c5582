"""Checkpoints: one safetensors file of weights whose header holds, as JSON, the resolved recipe and what else is known.

No pickle: reading a checkpoint runs no code of whoever wrote it. The header's one key `ichnos` holds
{"version", "recipe", "digest", "metadata"}; weights stand under "classifier.", training keeps its state beside them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ichnos.errors import WeightsError
from ichnos.files import replacing
from ichnos.models.classifier import SliceClassifier
from ichnos.recipe import AnyRecipe, SliceRecipe, explain

VERSION = 1
"""Of the form of checkpoints; readers refuse newer ones."""

_HEADER_KEY = "ichnos"
_CLASSIFIER = "classifier."


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint as it was read: every tensor (on the CPU), the recipe, and what was written beside them."""

    tensors: dict[str, Tensor]
    recipe: SliceRecipe
    metadata: dict[str, Any]

    def classifier_tensors(self) -> dict[str, Tensor]:
        """Weights and buffers of the classifier, named as in its state_dict."""
        return part(self.tensors, _CLASSIFIER)


def save_checkpoint(
    path: Path,
    classifier: SliceClassifier,
    metadata: Mapping[str, Any],
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the classifier, `metadata` (plain JSON) and `extra` tensors: whole or not at all, in one step.

    Raises OutputError where the disk is full or the folder cannot be written.
    """
    tensors = {_CLASSIFIER + name: tensor for name, tensor in classifier.state_dict().items()} | dict(extra or {})
    write_tensors(path, tensors, classifier.recipe, metadata)


def copy_checkpoint(path: Path, to: Path, recipe: SliceRecipe) -> None:
    """The same weights under a recipe that differs in what comes after training alone, or in what it is called.

    Raises WeightsError as load_checkpoint does, OutputError as save_checkpoint does.
    """
    found = load_checkpoint(path)
    write_tensors(to, found.tensors, recipe, found.metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], recipe: AnyRecipe, metadata: Mapping[str, Any]) -> None:
    """A checkpoint of any network: whole or not at all. Raises as save_checkpoint does."""
    # a copy of each, so that tensors that share memory on the device do not on the disk
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    header = {
        "version": VERSION,
        "recipe": recipe.model_dump(mode="json"),
        "digest": _digest(tensors),
        "metadata": dict(metadata),
    }
    with replacing(path) as temporary:
        # by our own hand, as safetensors' save_file hides a full disk in its own error and ignores the umask
        temporary.write_bytes(save(tensors, metadata={_HEADER_KEY: json.dumps(header)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint whole. Raises WeightsError where it is absent, damaged, not ours, or of a newer version."""
    tensors, header = read_tensors(path)
    return Checkpoint(tensors, _recipe(path, header["recipe"]), header["metadata"])


def read_header(path: Path) -> dict[str, Any]:
    """{"recipe", "metadata"} of a checkpoint of any network, without its tensors. Raises as load_checkpoint does."""
    return _opened(path, tensors=False)[1]


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Of a checkpoint of any network every tensor, and {"recipe", "metadata"}. Raises as load_checkpoint does."""
    tensors, header = _opened(path, tensors=True)
    if header["digest"] != _digest(tensors):
        raise WeightsError(f"{path} is damaged: its tensors do not match their digest; take another copy of it")
    return tensors, header


def _opened(path: Path, *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise WeightsError(f"no such checkpoint: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_HEADER_KEY)
            names = file.keys() if tensors else ()
            found = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}); take another copy of it") from error
    if text is None:
        raise WeightsError(
            f"{path} is a safetensors file, but no checkpoint of ichnos: its header lacks '{_HEADER_KEY}'"
        )
    return found, _header(path, text)


def load_classifier(path: Path) -> tuple[SliceClassifier, SliceRecipe, dict[str, Any]]:
    """The classifier of a checkpoint, in evaluation mode on the CPU, its recipe, and what was written beside it.

    Raises WeightsError as load_checkpoint does, and where weights and recipe do not fit each other.
    """
    checkpoint = load_checkpoint(path)
    classifier = SliceClassifier.seeded(checkpoint.recipe, seed=0)
    restore(classifier, checkpoint, str(path))
    return classifier.eval(), checkpoint.recipe, checkpoint.metadata


def restore(classifier: SliceClassifier, checkpoint: Checkpoint, name: str) -> None:
    """Put a checkpoint's weights into a classifier. Raises WeightsError where any tensor is missing or left over."""
    try:
        classifier.load_state_dict(checkpoint.classifier_tensors())
    except RuntimeError as error:
        raise WeightsError(f"{name} does not hold the weights that its recipe needs: {error}") from error


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix`, by the rest of their name."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _header(path: Path, text: str) -> dict[str, Any]:
    try:
        header = json.loads(text)
        version = header["version"]
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} is damaged: its header cannot be read ({error})") from error
    if version != VERSION:
        raise WeightsError(
            f"{path} is a checkpoint of version {version}, this ichnos reads version {VERSION}; install a newer ichnos"
        )
    if not {"recipe", "digest", "metadata"} <= header.keys():
        raise WeightsError(f"{path} is damaged: its header lacks the recipe, the digest or the metadata")
    return header


def _recipe(path: Path, tree: Any) -> SliceRecipe:
    try:
        return SliceRecipe.model_validate(tree)
    except ValidationError as error:
        raise WeightsError(f"{path} holds a recipe that this ichnos does not know: {explain(error)}") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes: safetensors itself does not notice flipped bits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
