"""EfficientNet-B0's weights from synthetic heads: they come with the package, for where ImageNet's cannot be had.

How they were made stands in the file's header and in docs/recipes.md; tools/ship_phantom_weights.py writes the file.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ichnos.errors import WeightsError
from ichnos.files import write_bytes
from ichnos.models.checkpoint import Checkpoint, part

FILE = Path(__file__).with_name("phantom_weights.safetensors")
"""The backbone alone, in 16-bit floats: 8 MB."""

_KEY = "ichnos_phantom_weights"


def phantom_backbone(path: Path = FILE) -> dict[str, Tensor]:
    """The backbone's tensors by name, in 32-bit floats. Raises WeightsError where the file is not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is absent or damaged ({error}); install ichnos again") from error
    return {name: _as(tensor, torch.float32) for name, tensor in tensors.items()}


def phantom_card(path: Path = FILE) -> dict[str, Any]:
    """How the weights were made: recipe, set, commands, what they reached on validation."""
    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})[_KEY])


def write_phantom_weights(checkpoint: Checkpoint, card: dict[str, Any], path: Path = FILE) -> None:
    """Write a checkpoint's backbone, rounded to 16 bits but for BatchNorm's statistics, with its card."""
    backbone = part(checkpoint.classifier_tensors(), "backbone.")
    rounded = {name: tensor if "running_" in name else _as(tensor, torch.float16) for name, tensor in backbone.items()}
    write_bytes(path, save(rounded, metadata={_KEY: json.dumps(card)}))


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
