"""Mixup and cutmix: each image of a batch mixed with another one, and its labels with the other's."""

import torch
from torch import Tensor

from ichnos.recipe import Augmentation
from ichnos.training.batches import onto


class Mix:
    """How one batch is mixed. Every image keeps at least half of itself.

    No dataclass and no tuple: Fabric looks into those that a module is called with, and makes their numbers half as
    precise.
    """

    def __init__(self, partner: Tensor, share: Tensor, rectangle: Tensor | None) -> None:
        """partner: (n,) which image of the batch each is mixed with. share: (n,) float, 0.5 to 1: what each has of
        itself. rectangle: (n, 1, S, S) bool, True where the other one is laid in; None where images are blended.
        """
        self.partner, self.share, self.rectangle = partner, share, rectangle

    def images(self, unit: Tensor) -> Tensor:
        """(n, planes, S, S) → the same, mixed."""
        other = unit[self.partner]
        if self.rectangle is not None:
            return torch.where(self.rectangle, other, unit)
        share = self.share.view(-1, 1, 1, 1)
        return share * unit + (1 - share) * other

    def labels(self, targets: Tensor) -> Tensor:
        """(n, classes) of 0 or 1 → between."""
        share = self.share.view(-1, 1)
        return share * targets + (1 - share) * targets[self.partner]


def draw_mix(augmentation: Augmentation | None, n: int, size: int, device: torch.device) -> Mix | None:
    """A mix of n images of size × size pixels; None where the recipe mixes nothing. From torch's global generator
    of the CPU, so that the device is asked for nothing.

    Zhang 2018, https://arxiv.org/abs/1710.09412; Yun 2019, https://arxiv.org/abs/1905.04899. Theirs draw one share a
    batch; a share an image is what many batches give on average, with less noise a step.
    """
    if augmentation is None or not (augmentation.mixup or augmentation.cutmix):
        return None
    partner = torch.randperm(n)
    cut = augmentation.cutmix > 0 and (augmentation.mixup == 0 or bool(torch.rand(()) < 0.5))
    alpha = augmentation.cutmix if cut else augmentation.mixup
    drawn = torch.distributions.Beta(alpha, alpha).sample((n,))
    share = onto(device, torch.maximum(drawn, 1 - drawn))
    if not cut:
        return Mix(onto(device, partner), share, None)
    rectangle = _rectangles(share, onto(device, torch.stack([torch.rand(n, 1) for _ in range(2)])), size)
    left = 1 - rectangle.flatten(1).float().mean(dim=1)  # what the picture's edge has cut off is not the other's
    return Mix(onto(device, partner), left, rectangle.unsqueeze(1))


def _rectangles(share: Tensor, centres: Tensor, size: int) -> Tensor:
    """(n,) → (n, S, S): a square of at most 1 − share of the picture's area around a place, as it lies in 0-1.

    centres: (2, n, 1).
    """
    side = (size * (1 - share).sqrt()).floor().view(-1, 1)
    at = torch.arange(size, device=share.device) + 0.5
    rows, columns = ((at - size * centre).abs() < side / 2 for centre in centres)
    return rows.unsqueeze(2) & columns.unsqueeze(1)
