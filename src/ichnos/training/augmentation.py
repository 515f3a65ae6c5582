"""Augmentation of training images, on the device, between /255 and normalisation."""

import torch
from kornia.augmentation import RandomAffine, RandomHorizontalFlip
from torch import Tensor, nn

from ichnos.models.classifier import SliceClassifier
from ichnos.recipe import Augmentation


class AugmentedClassifier(nn.Module):
    """What training calls: the classifier, whose planes are augmented first while it is in training mode."""

    def __init__(self, classifier: SliceClassifier, augmentation: Augmentation | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.augment = None if augmentation is None else augmenter(augmentation)

    def forward(self, planes: Tensor) -> Tensor:
        """uint8 (n, planes, S, S) → logits (n, classes)."""
        unit = self.classifier.channels.unit(planes)
        if self.augment is not None and self.training:
            # the affine matrices would lose their precision in half floats
            with torch.no_grad(), torch.autocast(unit.device.type, enabled=False):
                unit = self.augment(unit)
        return self.classifier.logits(unit)


def augmenter(augmentation: Augmentation) -> nn.Module:
    """A module from float planes of 0-1 (n, planes, S, S) to the same, changed at random; what moves in is black.

    A flip for each image with probability p; and, drawn apart from it, one affine change (rotation, shift and zoom at
    once, so that an image is resampled at most once) for each image with probability p. Draws from torch's global
    generator.
    """
    changes: list[nn.Module] = []
    if augmentation.horizontal_flip:
        changes.append(RandomHorizontalFlip(p=augmentation.p))
    changes.append(
        RandomAffine(
            degrees=augmentation.rotation,
            translate=(augmentation.shift, augmentation.shift),
            scale=(1 - augmentation.zoom, 1 + augmentation.zoom),
            p=augmentation.p,
        )
    )
    return nn.Sequential(*changes)
