"""The loss, and the watch over it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from ichnos.errors import TrainingError
from ichnos.recipe import Loss
from ichnos.subtypes import Subtype

_STEPS_BETWEEN_CHECKS = 50
"""Steps on a GPU between two looks at the loss: each look waits for the device."""


_NEARLY_ONE = 1 - 1e-7
"""Where the logarithm of what is left of a probability is cut off."""

_HARDLY_WRONG = 1e-7
"""How wrong a focal loss takes a slice for at least: at 0 a power below 1 is infinitely steep, its gradient NaN."""

_HEAVIEST_POSITIVE = 100.0
"""With `positives=balanced`: a class with a handful of positives would else be learnt by heart from them."""


class MultilabelLoss(nn.Module):
    """A recipe's loss: of each output by itself, in nats, summed over the outputs and averaged over the batch.

    With the defaults it is the study's binary cross-entropy (3.3).
    """

    output_weights: Tensor
    positive_weights: Tensor | None

    def __init__(self, loss: Loss, classes: Sequence[Subtype], labels: NDArray[np.bool_]) -> None:
        """labels: (n, classes) of training slices as often as they are shown: how rare each class's positives are."""
        super().__init__()
        self._loss = loss
        positives = labels.sum(axis=0)
        ratio = np.clip((len(labels) - positives) / np.maximum(positives, 1), None, _HEAVIEST_POSITIVE)
        self.register_buffer("output_weights", torch.tensor([loss.weights.get(c, 1.0) for c in classes]))
        heavier = torch.as_tensor(ratio, dtype=torch.float32) if loss.positives == "balanced" else None
        self.register_buffer("positive_weights", heavier)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """logits, targets: (n, classes); targets 0 or 1, or between where images were mixed. A scalar."""
        logits = logits.float()
        targets = targets + self._loss.smoothing * (0.5 - targets)
        match self._loss.kind:
            case "bce":
                each = self._cross_entropy(logits, targets)
            case "focal":
                probability = logits.sigmoid()
                wrong = targets * (1 - probability) + (1 - targets) * probability
                each = wrong.clamp(min=_HARDLY_WRONG) ** self._loss.gamma * self._cross_entropy(logits, targets)
            case "asymmetric":
                shifted = (logits.sigmoid() - self._loss.margin).clamp(min=0)
                negative = -(shifted**self._loss.gamma) * torch.log1p(-shifted.clamp(max=_NEARLY_ONE))
                positive = -logsigmoid(logits) * (1.0 if self.positive_weights is None else self.positive_weights)
                each = targets * positive + (1 - targets) * negative
        return (self.output_weights * each).sum(dim=1).mean()

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=self.positive_weights)


class LossWatch:
    """Stops training where the loss is no longer finite, and says on which slices."""

    def __init__(self, device: torch.device) -> None:
        self._interval = 1 if device.type == "cpu" else _STEPS_BETWEEN_CHECKS
        self._pending: list[tuple[Tensor, NDArray, int]] = []
        self.broken = False
        """Whether some loss was not finite: what has been learnt since is worth nothing."""

    def add(self, loss: Tensor, rows: NDArray, step: int) -> None:
        """Note the loss of a batch, or of a process's share of it; look at once on a CPU, every 50 steps elsewhere."""
        self._pending.append((loss.detach(), rows, step))
        if step - self._pending[0][2] + 1 >= self._interval:
            self.check()

    def check(self) -> None:
        """Look at all losses noted since the last look. Raises TrainingError at the first that is not finite."""
        if not self._pending:
            return
        finite = torch.stack([loss for loss, _, _ in self._pending]).isfinite().tolist()
        pending, self._pending = self._pending, []
        for (loss, rows, step), fine in zip(pending, finite, strict=True):
            if not fine:
                self.broken = True
                raise TrainingError(
                    f"the loss of step {step} is {loss.item()}, not finite; its slices are rows {rows.tolist()} of the "
                    "images; lower fit.learning_rate, or look at those slices"
                )
