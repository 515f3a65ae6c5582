"""bundle.json: everything about a bundle that is not the network itself."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ichnos.networks import Architecture, Weights
from ichnos.readout import Bound, Readout
from ichnos.recipe import CascadeRecipe, EnsembleRecipe, ExamRecipe, Recipe
from ichnos.subtypes import Subtype

BUNDLE_VERSION = 6
"""Of the form. Readers refuse newer ones.

1: `readout.smoothing` was the weight of each adjacent slice, fitted on slices 5 mm apart.
2: it is the weight of what lies 5 mm away. At 5 mm both are one: version 1 is read as version 2.
3: of a cascade. What is of one model is still written as version 2, which older readers take.
4: of another network than EfficientNet-B0 with a hidden layer. `map_side` says how large its class maps are. What has
no other network in it is still written as version 2 or 3.
5: of an ensemble: several networks side by side, each behind an input road of its own, in the one graph; or with a
network of exams (exam.onnx), which takes the slices' answers and gives them anew, and of an ensemble with such members
joins them; or of a recipe with views at test
time, whose mean the graph gives, with raw HU beside the windows, with masks in training, or with a network that was not
there before; or whose readout holds any between two bounds.
6: whose weights are stored in 16 bits (`weights`).

Of all versions an exam's score counts slices thinner than 5 mm by their share of the height, whatever they were fitted
on.
"""

_FIRST_SHRINKAGE = 32
"""Pixels to a cell of a class map, each way, in bundles up to version 3."""

_OF_THE_FIFTH = (Architecture.JOINT_3D_RNN,)
"""Networks that readers of version 4 do not know, and that were not there yet."""

ONE_LINE = r"^[^\x00-\x1f\x7f]{1,120}$"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    """Frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataOrigin(_Part):
    """The data that a bundle was made of."""

    source: str
    """As prepared sets name it: rsna, ct-ich, cq500, folder, phantom; of several sets joined by +, each once."""
    fingerprint: str
    """Of the prepared set; of several joined by +."""
    licence: str
    attribution: str


class Numbers(_Part):
    """What the readout was fitted on, and how it fits."""

    origin: str
    """Where the patients come from, in words."""
    patients: int
    exams: int
    slices: int
    positives: Mapping[Subtype, tuple[int, int]]
    """Slices and exams with each reported class."""
    report: Mapping[str, Any]
    """Calibration before and after, reliability, every aggregator that was tried."""


class Manifest(_Part):
    """bundle.json."""

    form: Literal["ichnos-bundle"] = "ichnos-bundle"
    version: Literal[1, 2, 3, 4, 5, 6] = 2
    """What `version_of` says; 1 where 2 would do."""
    title: Annotated[str, Field(pattern=ONE_LINE)]
    """One line."""
    made_with: Mapping[str, str]
    """Versions of what changes a result."""
    recipe: Recipe
    """As it was resolved: the input road, the population, the classes, the training."""
    networks: Annotated[int, Field(ge=1)] = 1
    """How many trained networks the graph averages; of a recipe of several models 1, as none of its stages is an
    average."""
    map_side: Annotated[int, Field(ge=0)] | None = None
    """Rows and columns of the class maps; 0: the network has none. None up to version 3: size / 32."""
    weights: Weights = Weights.FLOAT32
    readout: Readout
    population: str
    """Which slices the network has seen, in a sentence."""
    data: DataOrigin | None
    """None where the export was told of no data."""
    fitted_on: Numbers | None
    """None where the readout is not calibrated."""
    scorecard: Mapping[str, Any] | None
    """As `ichnos evaluate` wrote it."""
    scorecard_is_of: Literal["this model", "the procedure"] | None = None
    """`the procedure`: models trained alike, on other folds; this file itself was not measured."""
    agreement: float | None = None
    """The largest difference in probability between the trained network and this file's, on real input, at export."""
    licence: str
    """Of the bundle itself."""
    demonstration: Annotated[str, Field(pattern=ONE_LINE)] | None = None
    """Why the bundle is a demonstration and no more: a doubt in everything that is read with it."""
    digests: Mapping[str, Digest]
    """SHA-256 of every other member of the file."""

    @model_validator(mode="after")
    def _version_is_the_kinds(self) -> Self:
        wanted = version_of(self.recipe, self.readout.bound, self.weights)
        if max(self.version, 2) != wanted:
            raise ValueError(
                f"a bundle of {self.recipe.in_words} with these networks is of version {wanted}, not {self.version}"
            )
        if (self.version >= 4) != (self.map_side is not None):
            raise ValueError("a bundle says how large its class maps are (map_side) from version 4 on")
        if "maps" in self.exam_inputs and not self.has_maps:
            raise ValueError("its network of exams looks at class maps, and the slices' network has none")
        return self

    @property
    def map_cells(self) -> int:
        """Rows and columns of the class maps; 0 where the network has none."""
        if self.map_side is not None:
            return self.map_side
        return [*self.recipe.stages.values()][-1].input.size // _FIRST_SHRINKAGE

    @property
    def reads_exams_whole(self) -> bool:
        """Whether the bundle has a network of exams, exam.onnx."""
        return any(isinstance(each, ExamRecipe) for each in self.recipe.composites.values())

    @property
    def exam_inputs(self) -> tuple[str, ...]:
        """What its network of exams takes, by the names of the graph's inputs; nothing where there is none."""
        if not self.reads_exams_whole:
            return ()
        sees_maps = isinstance(self.recipe, ExamRecipe) and self.recipe.head.sees_maps
        return ("features", "logits", "offsets", *(("maps",) if sees_maps else ()))

    @property
    def slice_logits(self) -> int:
        """How many logits of a slice the graph gives: one an output; of an ensemble with networks of exams each
        member's, side by side, which exam.onnx joins."""
        apart = isinstance(self.recipe, EnsembleRecipe) and self.reads_exams_whole
        return len(self.readout.classes) * (len(self.recipe.parts) if apart else 1)

    @property
    def has_maps(self) -> bool:
        """Whether the network gives class maps."""
        return self.map_cells > 0

    def text(self) -> str:
        """bundle.json, with a digest of itself."""
        tree = self.model_dump(mode="json")
        if self.map_side is None:
            del tree["map_side"]  # older readers know no such field
        if self.weights is Weights.FLOAT32:
            del tree["weights"]  # the same
        return json.dumps(tree | {"digest": content_digest(tree)}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def version_of(recipe: Recipe, bound: Bound, weights: Weights = Weights.FLOAT32) -> Literal[2, 3, 4, 5, 6]:
    """The oldest form in which a bundle of the recipe, with such a readout and such weights, can be written."""
    if weights is Weights.INT16:
        return 6
    stages = recipe.stages.values()
    joined = any(not isinstance(each, CascadeRecipe) for each in recipe.composites.values())
    later = any(stage.later_fields or stage.input.later_fields for stage in stages)
    if joined or later or bound is Bound.BETWEEN or any(s.network.backbone in _OF_THE_FIFTH for s in stages):
        return 5
    networks = [stage.network for stage in stages]
    if any(each.architecture is not Architecture.EFFICIENTNET_B0 or each.head.hidden is None for each in networks):
        return 4
    return 3 if isinstance(recipe, CascadeRecipe) else 2


def content_digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 of bundle.json's content, whatever its spacing, without the field `digest`. It names the bundle."""
    content = {key: value for key, value in tree.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
