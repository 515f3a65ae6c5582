"""Checkpoints of networks of exams: the same form as those of slices, under "network."."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ichnos.errors import WeightsError
from ichnos.models.checkpoint import part, read_tensors, write_tensors
from ichnos.models.exam_network import ExamNetwork, SliceSizes
from ichnos.recipe import ExamRecipe, explain

_NETWORK = "network."


@dataclass(frozen=True, eq=False)
class ExamCheckpoint:
    """A checkpoint as it was read: every tensor, the recipe, and what was written beside them."""

    tensors: dict[str, Tensor]
    recipe: ExamRecipe
    metadata: dict[str, Any]


def save_exam_network(
    path: Path, network: ExamNetwork, metadata: Mapping[str, Any], extra: Mapping[str, Tensor] | None = None
) -> None:
    """Write the network, `metadata` (plain JSON) and `extra` tensors: whole or not at all. Raises OutputError."""
    tensors = {_NETWORK + name: tensor for name, tensor in network.state_dict().items()} | dict(extra or {})
    write_tensors(path, tensors, network.recipe, {**metadata, "sizes": asdict(network.sizes)})


def load_exam_checkpoint(path: Path) -> ExamCheckpoint:
    """Read it whole. Raises WeightsError where it is absent, damaged, of a newer version or of no network of exams."""
    tensors, header = read_tensors(path)
    try:
        recipe = ExamRecipe.model_validate(header["recipe"])
    except ValidationError as error:
        raise WeightsError(f"{path} holds a recipe that is of no network of exams: {explain(error)}") from error
    return ExamCheckpoint(tensors, recipe, header["metadata"])


def load_exam_network(path: Path) -> tuple[ExamNetwork, dict[str, Any]]:
    """The network, in evaluation mode on the CPU, and what was written beside it. Raises as load_exam_checkpoint does,
    and where weights and recipe do not fit each other."""
    checkpoint = load_exam_checkpoint(path)
    network = ExamNetwork.seeded(checkpoint.recipe, SliceSizes(**checkpoint.metadata["sizes"]), seed=0)
    restore_exam_network(network, checkpoint, str(path))
    return network.eval(), checkpoint.metadata


def restore_exam_network(network: ExamNetwork, checkpoint: ExamCheckpoint, name: str) -> None:
    """Put a checkpoint's weights into a network. Raises WeightsError where any tensor is missing or left over."""
    try:
        network.load_state_dict(part(checkpoint.tensors, _NETWORK))
    except RuntimeError as error:
        raise WeightsError(f"{name} does not hold the weights that its recipe needs: {error}") from error
