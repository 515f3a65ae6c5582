"""The typed grammar of recipes: what a recipe may say, and that what it says makes sense."""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ichnos.changes import changed, parsed
from ichnos.ct import Window
from ichnos.errors import RecipeError
from ichnos.networks import Head as Head
from ichnos.networks import Network as Network
from ichnos.subtypes import SUBTYPES, Subtype


class _Grammar(BaseModel):
    """Frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowMerge(StrEnum):
    """How the windows of one slice become planes."""

    MEAN = "mean"
    """One plane: the mean of all windows (the study's "single combined window")."""
    STACK = "stack"
    """One plane a window."""


class Normalisation(StrEnum):
    """What happens to values in [0, 1] before the network sees them."""

    UNIT = "unit"
    """Nothing more."""
    IMAGENET = "imagenet"
    """Less ImageNet's mean, divided by its deviation, channel by channel: what ImageNet weights were trained on."""


class InputSpec(_Grammar):
    """The one road from HU to what a network sees, in the order in which it is walked (ichnos.inputs walks it).

    HU 512×512 → each window → merge → resize (separable antialiased triangle) → round to uint8 → [the cache holds
    this] → stack with the neighbours' planes → /255 → copy a single plane to three channels → normalise.
    """

    windows: tuple[Window, ...] = Field(min_length=1)
    merge: WindowMerge = WindowMerge.MEAN
    size: Annotated[int, Field(ge=32, le=512)] = 224
    """Rows and columns of what the network sees."""
    normalisation: Normalisation = Normalisation.IMAGENET
    neighbours: Annotated[int, Field(ge=0, le=8)] = 0
    """2.5D: so many slices below and as many above are shown with each slice, in order from foot to head."""
    neighbour_spacing: Annotated[float, Field(gt=0, le=50)] = 5.0
    """mm along the slice normal from one neighbour to the next. The slice nearest to each place is taken, so thin
    slices are seen as far apart as thick ones, and beyond the exam's ends the last slice stands for what is missing."""

    @property
    def planes(self) -> int:
        """Planes a slice has in the cache."""
        return 1 if self.merge is WindowMerge.MEAN else len(self.windows)

    @property
    def stacked(self) -> int:
        """Planes of a slice and its neighbours together."""
        return self.planes * (2 * self.neighbours + 1)

    @property
    def channels(self) -> int:
        """Channels that the network sees: a single plane is copied to three, as ImageNet's stem wants."""
        return 3 if self.stacked == 1 else self.stacked

    def cached(self) -> dict[str, Any]:
        """What decides the bytes of a cache: all but what comes after it."""
        return self.model_dump(mode="json", exclude={"normalisation", "neighbours", "neighbour_spacing"})

    def fingerprint(self) -> str:
        """16 hex digits that name what the cache holds."""
        return _digest(self.cached())


class Population(_Grammar):
    """Which slices of a set a model is trained and measured on."""

    slices: Literal["positives", "all"] = "positives"
    """`positives`: slices with at least one subtype, as in the study; `all`: every slice."""
    without: tuple[Subtype, ...] = ()
    """Slices with any of these are left out altogether (Model 3: epidural)."""


class Augmentation(_Grammar):
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


class Synthetic(_Grammar):
    """The phantom's lesions drawn into the training part's exams without hemorrhage, inside their own skulls."""

    share: Annotated[float, Field(gt=0, le=0.9)] = 0.25
    """Of each batch; the rest is drawn as `sampling` says."""
    copies: Annotated[int, Field(ge=1)] = 8
    """Synthetic exams made of each real one, each with lesions of its own."""
    subtypes: Annotated[tuple[Subtype, ...], Field(min_length=1)] = SUBTYPES
    """Each copy has one of these, and now and then a second one."""
    seed: Annotated[int, Field(ge=0)] = 0


class Sampling(StrEnum):
    """In what shares the training slices are drawn."""

    NATURAL = "natural"
    """Each slice once an epoch."""
    BALANCED = "balanced"
    """The classes take turns in each batch: rare ones are drawn more often (the study, 3.3)."""
    EXAM = "exam"
    """One slice of each exam in turn, three times as likely at mid-volume as at the ends: long exams count no more than
    short ones (after RSNA 2019's first place)."""


class Loss(_Grammar):
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


class Averaging(_Grammar):
    """Weights averaged along training: they are what is evaluated and kept; training itself goes on with its own."""

    kind: Literal["ema", "swa"] = "ema"
    """`ema`: an exponential moving average over steps, BatchNorm's statistics with it; `swa`: the plain mean of the
    weights at the ends of epochs, BatchNorm's statistics measured afresh (Izmailov 2018)."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Of `ema`; over the first steps less, (1 + n) / (10 + n), so that first weights are soon forgotten."""
    start: Annotated[int, Field(ge=1)] = 1
    """Of `swa`: the first epoch whose end counts. Before it, the weights of training themselves are evaluated."""


class Fit(_Grammar):
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


class _Recipe(_Grammar):
    """What every kind of recipe can do."""

    def derive(self, **changes: Any) -> Self:
        """A copy with changed fields, validated again. Nested fields by dots: derive(**{"fit.epochs": 6})."""
        return type(self).model_validate(changed(self.model_dump(mode="json"), changes))

    def override(self, assignments: Mapping[str, str]) -> Self:
        """A copy with fields set from text, as `--set fit.learning_rate=3e-4` gives them. Raises RecipeError."""
        try:
            return self.derive(**{key: parsed(value) for key, value in assignments.items()})
        except ValidationError as error:
            raise RecipeError(explain(error)) from error

    def fingerprint(self) -> str:
        """16 hex digits that change with anything the recipe says."""
        return _digest(self.model_dump(mode="json"))


class SliceRecipe(_Recipe):
    """Everything that makes one model of single slices: input, population, classes, network, sampling, training."""

    kind: Literal["slice"] = "slice"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    input: InputSpec
    population: Population = Population()
    classes: tuple[Subtype, ...] = SUBTYPES
    """What the network names, in its order. `any` may be one of them: whether a slice has any of the five."""
    network: Network = Network()
    sampling: Sampling = Sampling.NATURAL
    synthetic: Synthetic | None = None
    augmentation: Augmentation | None = None
    fit: Fit = Fit()

    @model_validator(mode="after")
    def _classes_make_sense(self) -> Self:
        if not self.classes:
            raise ValueError("a recipe names at least one class")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if Subtype.ANY in self.population.without:
            raise ValueError("a population cannot leave out `any`: that would leave slices without hemorrhage only")
        if Subtype.ANY in self.classes and self.population.slices == "positives":
            raise ValueError("`any` cannot be learnt from positives alone: set population.slices=all")
        strangers = set(self.fit.loss.weights) - set(self.classes)
        if strangers:
            raise ValueError(f"fit.loss.weights names what is no class of this recipe: {sorted(strangers)}")
        if self.augmentation and self.augmentation.reversal and not self.input.neighbours:
            raise ValueError("augmentation.reversal turns slices with their neighbours round: set input.neighbours too")
        both = set(self.classes) & set(self.population.without)
        if both:
            raise ValueError(f"classes that the population leaves out cannot be learnt: {sorted(both)}")
        self.network.check_size(self.input.size)
        return self

    @property
    def stages(self) -> dict[str, "SliceRecipe"]:
        """Itself, by the name of no folder and no field: a run of one stage has no folders within."""
        return {"": self}

    @property
    def widest(self) -> InputSpec:
        """The input road that shows the most neighbours: its own."""
        return self.input


CASCADE_STAGES = ("gate", "subtypes")
"""The fields of a CascadeRecipe that are recipes, in the order in which they are asked."""


class CascadeRecipe(_Recipe):
    """Two models, one after the other: a gate says whether a slice has any hemorrhage, a second stage says which.

    P(any) is the gate's; P(subtype) = P(any) · P(subtype | positive slice), so it is never above P(any). Each stage has
    an input road of its own.
    """

    kind: Literal["cascade"] = "cascade"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    gate: SliceRecipe
    """Of all slices, with `any` among its classes; the others are not looked at."""
    subtypes: SliceRecipe
    """Of positives: what it says holds where there is a hemorrhage."""

    @model_validator(mode="after")
    def _stages_go_together(self) -> Self:
        gate, subtypes = self.gate, self.subtypes
        if gate.population.slices != "all":
            raise ValueError(
                "the gate is of positives: it has never seen a slice without hemorrhage, so it cannot say whether "
                "there is one; give it population.slices=all and `any` among its classes"
            )
        if Subtype.ANY not in gate.classes:
            raise ValueError(f"the gate must name `any`, it names {', '.join(gate.classes)}")
        if subtypes.population.slices != "positives":
            raise ValueError(
                f"the second stage ({', '.join(subtypes.classes)}) is of all slices, and the gate answers for those "
                "without hemorrhage; give it population.slices=positives and subtypes as its classes"
            )
        if set(gate.population.without) != set(subtypes.population.without):
            raise ValueError("the two stages leave out different subtypes: make population.without the same")
        spacings = {stage.input.neighbour_spacing for stage in (gate, subtypes) if stage.input.neighbours}
        if len(spacings) > 1:
            raise ValueError(
                f"both stages show neighbours, the gate every {gate.input.neighbour_spacing:g} mm, the second stage "
                f"every {subtypes.input.neighbour_spacing:g} mm: make input.neighbour_spacing the same"
            )
        return self

    @property
    def stages(self) -> dict[str, SliceRecipe]:
        """Both, by the names of their fields, which are those of their folders in a run too."""
        return dict(zip(CASCADE_STAGES, (self.gate, self.subtypes), strict=True))

    @property
    def widest(self) -> InputSpec:
        """The input road that shows the most neighbours: what is laid beside a slice for it serves both stages."""
        return max((self.gate.input, self.subtypes.input), key=lambda road: road.neighbours)

    @property
    def classes(self) -> tuple[Subtype, ...]:
        """What the cascade names: the second stage's classes, then `any`."""
        return (*self.subtypes.classes, Subtype.ANY)

    @property
    def population(self) -> Population:
        """Which slices the cascade is for and is measured on: the gate's."""
        return self.gate.population


Recipe = Annotated[SliceRecipe | CascadeRecipe, Field(discriminator="kind")]
"""Any kind."""


class RecipeFile(_Grammar):
    """A recipe as it was found: the object, its docstring and where it stands."""

    recipe: Recipe
    docstring: str
    path: Path

    @property
    def of_one_model(self) -> SliceRecipe:
        """The recipe where one model is wanted. Raises RecipeError for a cascade."""
        if not isinstance(self.recipe, SliceRecipe):
            raise RecipeError(f"{self.recipe.name} is a {self.recipe.kind}; a recipe of one model is wanted here")
        return self.recipe


def explain(error: ValidationError) -> str:
    """One line of what does not fit, field by field, from pydantic's report."""
    lines: list[str] = []
    for detail in error.errors():
        where = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            lines.append(f"no such field: {where}")
        else:
            said = detail["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {said}" if where else said)
    return "; ".join(lines)


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
