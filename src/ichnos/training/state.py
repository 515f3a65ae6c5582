"""What a run must know to go on as if it had never stopped, and its way into last.safetensors and back."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ichnos.models.checkpoint import part

_OPTIMIZER = "optimizer."
_PREDICTIONS = "training.predictions"


@dataclass
class RunState:
    """Where a run stands. Weights are in the classifier, moments in the optimiser; the rest is here."""

    epoch: int = 0
    """Epochs done; the one under way, counted from 0."""
    step: int = 0
    """Optimiser steps done in the epoch under way."""
    best_epoch: int | None = None
    """Counted from 1."""
    best_loss: float | None = None
    """The validation loss of the best epoch so far, mean over the outputs."""
    best_rank: float | None = None
    """What the recipe ranks epochs by, of the best so far; lower is better."""
    finished: bool = False
    seconds: float = 0.0
    """Spent in the whole run."""
    epoch_seconds: float = 0.0
    """Spent in the epoch under way."""
    predictions: list[Tensor] = field(default_factory=list)
    """Probabilities of the epoch under way as training saw them, float32 (batch, classes), on the device."""

    def __post_init__(self) -> None:
        if self.best_rank is None:
            self.best_rank = self.best_loss  # of a run from before there was a choice: its epochs were ranked by loss

    def to_json(self) -> dict[str, Any]:
        """All but the predictions."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "predictions"}

    def tensors(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """Adam's moments and the predictions, by name."""
        moments = {
            f"{_OPTIMIZER}{index}.{name}": value
            for index, values in optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        return moments | ({_PREDICTIONS: torch.cat(self.predictions)} if self.predictions else {})


def restore_state(tree: dict[str, Any], tensors: dict[str, Tensor], optimizer: Optimizer) -> RunState:
    """The state that to_json and tensors gave, the moments put back into the optimiser."""
    (group,) = optimizer.param_groups
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in part(tensors, _OPTIMIZER).items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = _laid_out_as(group["params"][int(index)], value)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    device = group["params"][0].device
    predictions = [tensors[_PREDICTIONS].to(device)] if _PREDICTIONS in tensors else []
    return RunState(**tree, predictions=predictions)


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment with the strides of its parameter: fused Adam pairs numbers by their place in memory, unchecked."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
