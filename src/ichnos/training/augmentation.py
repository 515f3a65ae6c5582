"""Augmentation of training images, on the device, between /255 and normalisation."""

import torch
from kornia.augmentation import RandomAffine, RandomErasing, RandomHorizontalFlip, RandomResizedCrop
from kornia.augmentation._2d.base import AugmentationBase2D
from torch import Tensor, nn

from ichnos.models.classifier import SliceClassifier
from ichnos.recipe import Augmentation, InputSpec
from ichnos.training.mixing import Mix

_ERASED = (0.02, 0.4)
"""Smallest and largest share of the picture that is erased: those of RSNA 2019's first place."""


class AugmentedClassifier(nn.Module):
    """What training calls: the classifier, whose planes are augmented first while it is in training mode."""

    def __init__(self, classifier: SliceClassifier, augmentation: Augmentation | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.augment = None if augmentation is None else augmenter(augmentation, classifier.recipe.input)
        self.leave_network()

    def compile_network(self) -> None:
        """Let torch.compile make the classifier's machine code at its first use, but not augmentation's, which is drawn
        anew for every batch."""
        self._logits = torch.compile(self.classifier.logits)
        self._segmented = torch.compile(self.classifier.segmented)

    def leave_network(self) -> None:
        """Take that back."""
        self._logits, self._segmented = self.classifier.logits, self.classifier.segmented

    def forward(self, planes: Tensor, mix: Mix | None = None) -> Tensor:
        """uint8 (n, planes, S, S) → logits (n, classes). mix: how the augmented images of this batch are mixed."""
        unit = self.classifier.channels.unit(planes)
        if self.augment is not None and self.training:
            # the affine matrices would lose their precision in half floats
            with torch.no_grad(), torch.autocast(unit.device.type, enabled=False):
                unit = self.augment(unit)
                unit = unit if mix is None else mix.images(unit)
        return self._logits(unit)

    def segmented(self, planes: Tensor, masks: Tensor, mix: Mix | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The same with masks, float (n, outlined classes, S, S) of 0-1, which move with their images.

        Gives the logits, the mask logits (n, outlined classes, h, w), and the masks as they were moved and mixed.
        """
        unit = self.classifier.channels.unit(planes)
        if self.augment is not None and self.training:
            with torch.no_grad(), torch.autocast(unit.device.type, enabled=False):
                unit, masks = self.augment.moving(unit, masks)
                unit, masks = (unit, masks) if mix is None else (mix.images(unit), mix.images(masks))
        return *self._segmented(unit), masks


class Augmenter(nn.Sequential):
    """Random changes of images, one after the other."""

    def moving(self, unit: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, planes, S, S) changed just as forward changes them, and masks (n, classes, S, S) moved with them.

        What moves in bleeds nowhere, and neither does what is erased: a mask says what can be seen.
        """
        for change in self:
            unit = change(unit)
            if isinstance(change, AugmentationBase2D):  # else it leaves every pixel of the slice itself where it is
                masks = change(masks, params=change._params)
        return unit, masks


def augmenter(augmentation: Augmentation, road: InputSpec) -> Augmenter:
    """A module from float planes of 0-1 (n, planes, S, S) to the same, changed at random; what moves in is black.

    A flip for each image with probability p; and, drawn apart from it, one affine change (rotation, shift and zoom at
    once, so that an image is resampled at most once) for each image with probability p; the rest where it is asked for.
    Draws from torch's global generator.
    """
    p, zoom = augmentation.p, (1 - augmentation.zoom, 1 + augmentation.zoom)
    changes: list[nn.Module] = []
    if augmentation.reversal:
        changes.append(Reversal(augmentation.reversal, road.pictures))
    if augmentation.horizontal_flip:
        changes.append(RandomHorizontalFlip(p=p))
    changes.append(
        RandomAffine(
            degrees=augmentation.rotation,
            translate=(augmentation.shift, augmentation.shift),
            scale=zoom + zoom if augmentation.stretch else zoom,
            p=p,
        )
    )
    if augmentation.crop is not None:
        size = (road.size, road.size)
        scale = (augmentation.crop, 1.0)
        changes.append(RandomResizedCrop(size, scale=scale, ratio=(1.0, 1.0), p=p, cropping_mode="resample"))
    if augmentation.erasing:
        changes.append(RandomErasing(scale=_ERASED, p=augmentation.erasing))
    return Augmenter(*changes)


class Reversal(nn.Module):
    """Slices with their neighbours, from head to foot instead of from foot to head; the planes of a slice stay."""

    def __init__(self, p: float, planes: int) -> None:
        """p: probability an image. planes: of one slice, its two bytes of raw HU joined to one."""
        super().__init__()
        self._p, self._planes = p, planes

    def forward(self, unit: Tensor) -> Tensor:
        """(n, slices · planes, S, S) → the same shape."""
        slices = unit.unflatten(1, (-1, self._planes))
        chosen = torch.rand(len(unit), device=unit.device) < self._p
        return torch.where(chosen.view(-1, 1, 1, 1, 1), slices.flip(1), slices).flatten(1, 2)
