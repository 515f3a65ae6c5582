"""Augmentation of training images, on the device, between /255 and normalisation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

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

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Without what torch.compile made, for work of another kind: it would be compiled anew for that."""
        made = self._logits, self._segmented
        self.leave_network()
        try:
            yield
        finally:
            self._logits, self._segmented = made

    def forward(
        self, planes: Tensor, mix: Mix | None = None, masks: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """uint8 (n, planes, S, S) → logits (n, classes). mix: how the augmented images of this batch are mixed.

        masks: bool (n, outlined classes, S, S), which move with their images. With them it gives the logits, the mask
        logits (n, outlined classes, h, w), and the masks, float of 0-1, as they were moved and mixed. All by this one
        road: what is called by another name than a module's own has none of Fabric's precision.
        """
        unit = self.classifier.channels.unit(planes)
        marked = None if masks is None else masks.float()
        if self.augment is not None and self.training:
            # the affine matrices would lose their precision in half floats
            with torch.no_grad(), torch.autocast(unit.device.type, enabled=False):
                unit, marked = self.augment.moving(unit, marked)
                if mix is not None:
                    unit, marked = mix.images(unit), None if marked is None else mix.images(marked)
        return self.logits(unit) if marked is None else (*self._segmented(unit), marked)

    def logits(self, unit: Tensor) -> Tensor:
        """float32 planes of 0-1, augmented perhaps → logits (n, classes), by compiled code where there is some."""
        return self._logits(unit)


class Augmenter(nn.Sequential):
    """Random changes of images, one after the other."""

    def moving(self, unit: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Images (n, planes, S, S) changed just as forward changes them, and masks (n, classes, S, S) moved with them.

        What moves in bleeds nowhere, and neither does what is erased: a mask says what can be seen.
        """
        for change in self:
            unit = change(unit)
            # another kind of change leaves every pixel of the slice itself where it is
            if masks is not None and isinstance(change, AugmentationBase2D):
                masks = change(masks, params=change._params)
        return unit, masks

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move to a device, as every module does, and go on drawing on the CPU: what kornia draws on a GPU it takes
        back in every step, and waits for it."""
        super()._apply(fn, recurse)
        for change in self:
            if isinstance(change, AugmentationBase2D):
                change.set_rng_device_and_dtype(torch.device("cpu"), torch.float32)
        return self


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
