"""The loss, and the watch over it."""

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ichnos.errors import TrainingError

_STEPS_BETWEEN_CHECKS = 50
"""Steps on a GPU between two looks at the loss: each look waits for the device."""


def summed_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy in nats, summed over the outputs and averaged over the batch (the study, 3.3)."""
    return binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").sum(dim=1).mean()


class LossWatch:
    """Stops training where the loss is no longer finite, and says on which slices."""

    def __init__(self, device: torch.device) -> None:
        self._interval = 1 if device.type == "cpu" else _STEPS_BETWEEN_CHECKS
        self._pending: list[tuple[Tensor, NDArray, int]] = []

    def add(self, loss: Tensor, rows: NDArray, step: int) -> None:
        """Note the loss of a batch; look at once on a CPU, every 50 steps elsewhere."""
        self._pending.append((loss.detach(), rows, step))
        if len(self._pending) >= self._interval:
            self.check()

    def check(self) -> None:
        """Look at all losses noted since the last look. Raises TrainingError at the first that is not finite."""
        if not self._pending:
            return
        finite = torch.stack([loss for loss, _, _ in self._pending]).isfinite().tolist()
        pending, self._pending = self._pending, []
        for (loss, rows, step), fine in zip(pending, finite, strict=True):
            if not fine:
                raise TrainingError(
                    f"the loss of step {step} is {loss.item()}, not finite; its slices are rows {rows.tolist()} of the "
                    "images; lower fit.learning_rate, or look at those slices"
                )
