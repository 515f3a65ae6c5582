"""EfficientNet-B0's weights from synthetic heads: they come with the package, for where ImageNet's cannot be had.

How they were made stands in each file's header and in docs/recipes.md; tools/ship_phantom_weights.py writes the files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ichnos.errors import WeightsError
from ichnos.files import write_bytes
from ichnos.models.checkpoint import Checkpoint, part
from ichnos.recipe import SliceRecipe

FILES: Mapping[str, Path] = {
    "phantom": Path(__file__).with_name("phantom_weights.safetensors"),
    "phantom-2.5d": Path(__file__).with_name("phantom_weights_25d.safetensors"),
    "phantom-160": Path(__file__).with_name("phantom_weights_160.safetensors"),
}
"""By what `network.init` calls them, 8 MB each, in 16-bit floats: `phantom` saw single slices with a hemorrhage,
`phantom-2.5d` all slices with their neighbours, `phantom-160` all slices, single ones, at 160 px and with their masks.
The latter two keep their heads (`any` and five subtypes)."""

_KEY = "ichnos_phantom_weights"
_HEAD = "head."


@dataclass(frozen=True, eq=False)
class PhantomWeights:
    """One file's weights, in 32-bit floats, named as in a classifier's own parts."""

    backbone: dict[str, Tensor]
    head: dict[str, Tensor]
    """Empty where the file has none."""
    recipe: SliceRecipe
    """Of the training that made them."""


def phantom_weights(path: Path) -> PhantomWeights:
    """Read one of FILES. Raises WeightsError where it is not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: _as(file.get_tensor(name), torch.float32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is absent or damaged ({error}); install ichnos again") from error
    backbone = {name: tensor for name, tensor in tensors.items() if not name.startswith(_HEAD)}
    return PhantomWeights(backbone, part(tensors, _HEAD), SliceRecipe.model_validate(phantom_card(path)["recipe"]))


def phantom_card(path: Path = FILES["phantom"]) -> dict[str, Any]:
    """How the weights were made: recipe, set, commands, what they reached on validation."""
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})[_KEY])


def write_phantom_weights(checkpoint: Checkpoint, card: dict[str, Any], path: Path, *, with_head: bool) -> None:
    """Write a checkpoint's backbone (and head), rounded to 16 bits but for BatchNorm's statistics, with its card."""
    tensors = checkpoint.classifier_tensors()
    kept = part(tensors, "backbone.")
    if with_head:
        kept |= {name: tensor for name, tensor in tensors.items() if name.startswith(_HEAD)}
    rounded = {name: tensor if "running_" in name else _as(tensor, torch.float16) for name, tensor in kept.items()}
    write_bytes(path, save(rounded, metadata={_KEY: json.dumps(card)}))


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
