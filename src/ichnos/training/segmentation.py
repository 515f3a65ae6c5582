"""Training by masks beside labels: the loss of the auxiliary head, and how well it outlines blood."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits, interpolate

from ichnos.ct import UNSAID
from ichnos.data.masks import Masks
from ichnos.recipe import Segmentation
from ichnos.subtypes import SUBTYPES, Subtype
from ichnos.training.batches import in_batches, onto, read_ahead
from ichnos.training.mixing import Mix
from ichnos.training.slices import TrainingSlices

_SMOOTHING = 1e-3
"""Added to both sides of Dice's fraction, in cells: far below one, so that it only keeps 0 / 0 away."""


@dataclass(frozen=True, eq=False)
class MaskTraining:
    """What training does with masks. module: an AugmentedClassifier, as Fabric wrapped it."""

    segmentation: Segmentation
    classes: tuple[Subtype, ...]
    """What is outlined, in the order of the head's outputs."""
    fabric: Fabric
    module: Any

    def step(
        self, part: TrainingSlices, positions: NDArray[np.int64], planes: Tensor, mix: Mix | None
    ) -> tuple[Tensor, Tensor]:
        """A training batch → its slices' logits (n, classes), and the weighted loss of its masks."""
        assert part.masks is not None  # training without any is refused before it begins
        masks, known = self._masks(part.masks, part.rows[positions])
        logits, outlines, moved = self.module(planes, mix, masks)
        if mix is not None:
            known = known & known[mix.partner]
        return logits, self.segmentation.weight * mask_loss(self.segmentation, outlines, moved, known)

    def overlaps(self, part: TrainingSlices, batch_size: int, tick: Callable[[int], None]) -> dict[str, Any]:
        """Of the slices that a class's mask marks: their number (`marked`), the mean Dice and IoU of that class.

        By pixels of the network's input, where the head gives a probability of at least one half. None where no slice
        is marked. The module is left in evaluation mode.
        """
        marked = part.rows[part.masks.places[part.rows] >= 0] if part.masks is not None else part.rows[:0]
        self.module.eval()
        batches = in_batches(marked, batch_size)
        counts: list[Tensor] = []
        with torch.inference_mode(), read_ahead(part.images, batches, self.fabric.device) as ready:
            for rows, planes in zip(batches, ready, strict=True):
                assert part.masks is not None
                masks, known = self._masks(part.masks, rows)
                _, outlines, _ = self.module(planes, None, masks)
                counts.append(_counts(outlines.float(), (masks & known[:, :, None, None]).float()))
                tick(len(planes))
        counted = torch.cat(counts).double().cpu().numpy() if counts else np.zeros((0, len(self.classes), 3))
        return _means(counted, self.classes)

    def _masks(self, masks: Masks, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Bool (n, classes, S, S), and bool (n, classes): of which classes that is all that bleeds."""
        device = self.fabric.device
        bits = onto(device, torch.from_numpy(masks[rows]))
        known = onto(device, torch.from_numpy(masks.known(rows)))
        told = known & ~(bits >> UNSAID & 1).flatten(1).any(dim=1)
        planes = [bits if c is Subtype.ANY else bits >> SUBTYPES.index(c) & 1 for c in self.classes]
        return (
            torch.stack([plane != 0 for plane in planes], dim=1),
            torch.stack([known if c is Subtype.ANY else told for c in self.classes], dim=1),
        )


def mask_loss(segmentation: Segmentation, logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """The loss of outlines, a scalar: 0, with gradients of 0, where nothing is known.

    logits: (n, classes, h, w). masks: float (n, classes, S, S), 0-1; a cell's target is the share of it that bleeds.
    known: bool (n, classes); what is not known counts for nothing, whatever stands in its mask.

    Cross-entropy is the mean over cells, then over what is known. Dice (Milletari 2016, equation 2: squares in the
    denominator, so that a share is best met by itself) is taken of each class over the whole batch, as most masks are
    empty, and averaged over the classes with any blood in it.
    """
    logits, known = logits.float(), known.float()[:, :, None, None]
    targets = adaptive_avg_pool2d(masks, (logits.shape[2], logits.shape[3])) * known
    total = logits.new_zeros(())
    if segmentation.loss in ("bce", "bce+dice"):
        cells = binary_cross_entropy_with_logits(logits, targets, reduction="none") * known
        total = total + cells.mean(dim=(2, 3)).sum() / known.sum().clamp(min=1)
    if segmentation.loss in ("dice", "bce+dice"):
        said = logits.sigmoid() * known
        both, each = (terms.sum(dim=(0, 2, 3)) for terms in (said * targets, said**2 + targets**2))
        bleeding = (targets.sum(dim=(0, 2, 3)) > 0).float()
        dice = (2 * both + _SMOOTHING) / (each + _SMOOTHING)
        total = total + ((1 - dice) * bleeding).sum() / bleeding.sum().clamp(min=1)
    return total


def _counts(logits: Tensor, masks: Tensor) -> Tensor:
    """(n, classes, 3): pixels that are marked, outlined, and both."""
    outlined = (interpolate(logits, size=masks.shape[2:], mode="bilinear", align_corners=False) >= 0).float()
    return torch.stack([each.sum(dim=(2, 3)) for each in (masks, outlined, masks * outlined)], dim=2)


def _means(counts: NDArray[np.float64], classes: Sequence[Subtype]) -> dict[str, Any]:
    """counts: (n, classes, 3) as _counts gives them → {"marked", "dice", "iou"}, each by class."""
    tree: dict[str, dict[str, Any]] = {"marked": {}, "dice": {}, "iou": {}}
    for k, c in enumerate(classes):
        marked, outlined, both = counts[counts[:, k, 0] > 0, k].T
        tree["marked"][c.value] = len(marked)
        tree["dice"][c.value] = float((2 * both / (marked + outlined)).mean()) if len(marked) else None
        tree["iou"][c.value] = float((both / (marked + outlined - both)).mean()) if len(marked) else None
    return tree
