"""Whom and how a model is trained on: population, sampling, synthetic lesions, masks, augmentation, loss, schedule."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ichnos.recipe.grammar import Grammar
from ichnos.subtypes import SUBTYPES, Subtype


def _each_once(classes: tuple[Subtype, ...]) -> tuple[Subtype, ...]:
    if len(set(classes)) != len(classes):
        raise ValueError("a class is named twice")
    return classes


class Population(Grammar):
    """Which slices of a set a model is trained and measured on."""

    slices: Literal["positives", "all"] = "positives"
    """`positives`: slices with at least one subtype, as in the study; `all`: every slice."""
    without: tuple[Subtype, ...] = ()
    """Slices with any of these are left out altogether (Model 3: epidural)."""


class Augmentation(Grammar):
    """Random changes of the training images: flip, affine change and crop of each image with probability `p`.

    The defaults are the study's; the others are off until a recipe asks for them.
    """

    p: Annotated[float, Field(ge=0, le=1)] = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Up to so many degrees either way."""
    horizontal_flip: bool = True
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Up to so large a share of the width and height either way."""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Scaled by 1 ± at most this."""
    stretch: bool = False
    """Zoom width and height apart, so that the aspect changes too."""
    crop: Annotated[float, Field(gt=0, le=1)] | None = None
    """Cut out at least so large a share of the picture's area, and bring it back to size."""
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With this probability, blacken a rectangle of 2 to 40 % of the picture (random erasing, Zhong 2020)."""
    reversal: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With this probability, show a slice with its neighbours in the order from head to foot."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Mix each image and its labels with another one's of the batch, by shares from Beta(mixup, mixup) (Zhang 2018);
    the image itself has at least half. 0: never."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """The same with a rectangle of another image laid in (Yun 2019). Where both are set, they take turns at random."""


class Synthetic(Grammar):
    """The phantom's lesions drawn into the training part's exams without hemorrhage, inside their own skulls."""

    share: Annotated[float, Field(gt=0, le=0.9)] = 0.25
    """Of each batch; the rest is drawn as `sampling` says."""
    copies: Annotated[int, Field(ge=1)] = 8
    """Synthetic exams made of each real one, each with lesions of its own."""
    subtypes: Annotated[tuple[Subtype, ...], Field(min_length=1)] = SUBTYPES
    """Each copy has one of these, and now and then a second one."""
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _lesions_are_of_subtypes(self) -> Self:
        if Subtype.ANY in self.subtypes:
            raise ValueError("a lesion that is drawn is of one subtype: name subtypes, not `any`")
        return self


class Segmentation(Grammar):
    """An auxiliary head that outlines the blood, trained with the classifier on the slices that have masks.

    Those are real slices where the set has masks, and synthetic lesions anywhere; the rest of a batch teaches by its
    labels alone (strong and weak labels mixed, after Kang 2023). Reading does without this head.
    """

    weight: Annotated[float, Field(gt=0)] = 1.0
    """Of its loss, beside the classifier's."""
    loss: Literal["bce", "dice", "bce+dice"] = "bce+dice"
    """`bce`: of each cell by the share of it that bleeds; `dice`: of each class over the batch (Milletari 2016)."""
    classes: Annotated[tuple[Subtype, ...], Field(min_length=1), AfterValidator(_each_once)] | None = None
    """What is outlined; None: the recipe's classes. `any` is known too where a mask does not tell the subtype."""
    skip: bool = True
    """Cells of an eighth of the input's side, with the help of an earlier feature map, where the network gives one;
    else those of the last feature map."""


class Sampling(StrEnum):
    """In what shares the training slices are drawn."""

    NATURAL = "natural"
    """Each slice once an epoch."""
    BALANCED = "balanced"
    """The classes take turns in each batch: rare ones are drawn more often (the study, 3.3)."""
    EXAM = "exam"
    """One slice of each exam in turn, three times as likely at mid-volume as at the ends: long exams count no more than
    short ones (after RSNA 2019's first place)."""


class Loss(Grammar):
    """What is made small: summed over the outputs, averaged over the batch."""

    kind: Literal["bce", "focal", "asymmetric"] = "bce"
    """`bce`: binary cross-entropy (the study); `focal`: times (1 − p of what is so)^gamma (Lin 2017); `asymmetric`:
    negatives shifted by `margin` and focused by `gamma`, positives not (Ridnik 2021)."""
    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    """Of `focal`; of `asymmetric`'s negatives. 0 focuses nothing."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Of `asymmetric`: negatives below this probability cost nothing."""
    weights: Mapping[Subtype, Annotated[float, Field(gt=0)]] = {}
    """Of outputs; 1 where not named. RSNA's challenge weighs `any` by 2."""
    positives: Literal["alike", "balanced"] = "alike"
    """`balanced`: a class's positives weigh as much together as its negatives do, at most 100 times each."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing: targets are moved by half of this towards 0.5 (1 becomes 1 − smoothing / 2)."""


class Averaging(Grammar):
    """Weights averaged along training: they are what is evaluated and kept; training itself goes on with its own."""

    kind: Literal["ema", "swa"] = "ema"
    """`ema`: an exponential moving average over steps, BatchNorm's statistics with it; `swa`: the plain mean of the
    weights at the ends of epochs, BatchNorm's statistics measured afresh (Izmailov 2018)."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Of `ema`; over the first steps less, (1 + n) / (10 + n), so that first weights are soon forgotten."""
    start: Annotated[int, Field(ge=1)] = 1
    """Of `swa`: the first epoch whose end counts. Before it, the weights of training themselves are evaluated."""


class TestTime(Grammar):
    """Views of a slice whose logits are averaged where a trained model is measured and read with.

    Training's own validation has none. The plain view is always one; each change is a view by itself, and with
    `horizontal_flip` its mirror image another.
    """

    __test__: ClassVar[bool] = False  # pytest takes it for a test by its name

    horizontal_flip: bool = True
    zooms: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = ()
    """Each so many times as large, 1.1 say."""
    rotations: tuple[Annotated[float, Field(ge=-180, le=180)], ...] = ()
    """Each turned by so many degrees."""

    @model_validator(mode="after")
    def _shows_something(self) -> Self:
        if not (self.horizontal_flip or self.zooms or self.rotations):
            raise ValueError("no view but the plain one: leave test_time out, or set one of its fields")
        if 1.0 in self.zooms or 0.0 in self.rotations:
            raise ValueError("the plain view is among the views already: leave out a zoom of 1 and a rotation of 0")
        return self

    @property
    def views(self) -> int:
        """How often a network is asked of each slice."""
        return (1 + len(self.zooms) + len(self.rotations)) * (2 if self.horizontal_flip else 1)


class Fit(Grammar):
    """How long and how fast a model is trained."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Adam's."""
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine`: a linear rise over the first twentieth of all steps, then half a cosine down to 0."""
    restarts: Annotated[int, Field(ge=0)] = 0
    """Of `cosine`: so many times it begins anew, at equal distances, without another rise (Loshchilov 2017)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Adam's L2 penalty."""
    loss: Loss = Loss()
    batch_size: Annotated[int, Field(ge=2)] = 32
    epochs: Annotated[int, Field(ge=1)] = 10
    """At most so many."""
    stop_after: Annotated[int, Field(ge=1)] | None = None
    """End after so many epochs with the learning rate where `epochs` has it then: for a model that goes the way of
    others, up to the epoch that was best for them. None: go on to the end."""
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps an epoch; None: as many as there are training slices for."""
    best: Literal["loss", "auc"] = "loss"
    """Which epoch is the best: of the lowest validation loss (the study), or of the highest mean AUC over the classes
    that validation defines: overconfidence, which calibration mends, raises the loss long before AUC falls."""
    patience: Annotated[int, Field(ge=1)] | None = 3
    """Epochs without a better one after which training stops; None: never early."""
    milestones: tuple[int, ...] = ()
    """For each n here, the best checkpoint of the first n epochs is kept too."""
    reestimate_batchnorm: bool = False
    """Measure BatchNorm's statistics afresh on training images before every evaluation (short runs from scratch)."""
    averaging: Averaging | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def last_epoch(self) -> int:
        """The epoch after which training ends at the latest."""
        return self.epochs if self.stop_after is None else min(self.stop_after, self.epochs)
