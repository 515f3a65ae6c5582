"""Recipes of whole exams: a network over what a slice stage says of each slice."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import Discriminator, Field, Tag, model_validator

from ichnos.recipe.cascade import CascadeRecipe
from ichnos.recipe.composite import CompositeRecipe
from ichnos.recipe.ensemble import EnsembleRecipe
from ichnos.recipe.grammar import Grammar
from ichnos.recipe.slices import SliceRecipe
from ichnos.recipe.training import Loss, Population
from ichnos.recipe.trees import TreesHead
from ichnos.subtypes import Subtype

SLICES = "slices"
"""The field of an ExamRecipe that is its slice stage, and the folder of a run that holds it."""

EXAM = "exam"
"""The folder of a run that holds the network of exams."""


class ExamInput(StrEnum):
    """What of each slice a network of exams is shown."""

    FEATURES = "features"
    """The slice stage's features, each less its mean over the training slices and divided by its deviation."""
    LOGITS = "logits"
    """The slice stage's logits, in the same measure."""
    DIFFERENCES = "differences"
    """What of the two above is shown, less the same of the slice below, and that of the slice above less its own; 0
    where there is no such slice."""
    DISTANCES = "distances"
    """Δz: how far the slices below and above are, in units of 5 mm; 0 where there is none."""


class SequenceHead(Grammar):
    """A network over the slices of an exam in their order."""

    kind: Literal["gru", "lstm", "conv-lstm", "transformer", "two-stage", "dense"] = "gru"
    """`gru`, `lstm`: recurrent, from foot to head and from head to foot; `conv-lstm`: the same by convolutions over the
    slices' class maps (Shi 2015), the inputs beside it; `transformer`: every slice looks at every other one, by places
    in mm (Vaswani 2017); `two-stage`: after RSNA 2019's first place, one GRU on the inputs, a second one on
    probabilities; `dense`: each slice by itself, for the features of several networks side by side."""
    hidden: Annotated[int, Field(ge=2, le=1024)] = 64
    """Units of each direction; of `transformer` and `dense` a layer's; of `conv-lstm` the planes of each direction."""
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    attention_heads: Annotated[int, Field(ge=1, le=16)] = 4
    """Of `transformer`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Of the inputs, between layers, and before the output."""
    inputs: Annotated[tuple[ExamInput, ...], Field(min_length=1)] = (ExamInput.FEATURES, ExamInput.LOGITS)
    components: Annotated[int, Field(ge=1)] | None = None
    """Features are first reduced to so many principal components of the training slices' (at most as many as there are
    slices and features); None: not."""

    @model_validator(mode="after")
    def _inputs_make_sense(self) -> Self:
        if len(set(self.inputs)) != len(self.inputs):
            raise ValueError("an input is named twice")
        if not {ExamInput.FEATURES, ExamInput.LOGITS} & set(self.inputs):
            raise ValueError("the inputs need features, logits or both: without them nothing is said of any slice")
        if self.kind == "dense" and {ExamInput.DIFFERENCES, ExamInput.DISTANCES} & set(self.inputs):
            raise ValueError("a dense head sees each slice by itself: leave differences and distances out")
        if self.components is not None and ExamInput.FEATURES not in self.inputs:
            raise ValueError("components are of features, and the inputs have none: leave components out")
        if self.kind == "transformer" and self.hidden % (2 * self.attention_heads):
            raise ValueError(
                f"a transformer's hidden must be a multiple of twice attention_heads, got {self.hidden} for "
                f"{self.attention_heads} heads"
            )
        return self

    @property
    def sees_maps(self) -> bool:
        """Whether it looks at the slices' class maps."""
        return self.kind == "conv-lstm"


def _kind_of_head(head: Any) -> str:
    """Of a head or its JSON, where `kind` may be left out. In angle brackets, as no field is (see grammar.explain)."""
    kind = cast("dict[str, object]", head).get("kind") if isinstance(head, dict) else getattr(head, "kind", None)
    return "<trees>" if kind == "trees" else "<sequence>"


ExamHead = Annotated[
    Annotated[SequenceHead, Tag("<sequence>")] | Annotated[TreesHead, Tag("<trees>")], Discriminator(_kind_of_head)
]
"""Whatever answers for the slices of an exam together: a network, or boosted trees."""


class ExamFit(Grammar):
    """How long and how fast a network of exams is trained."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """As `Fit.schedule`."""
    restarts: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Adam's L2 penalty."""
    loss: Loss = Loss()
    """Of every slice, averaged over the slices of a batch."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Exams."""
    epochs: Annotated[int, Field(ge=1)] = 30
    """At most so many."""
    stop_after: Annotated[int, Field(ge=1)] | None = None
    """As `Fit.stop_after`."""
    best: Literal["loss", "auc"] = "loss"
    """As `Fit.best`: of the validation patients' slices."""
    patience: Annotated[int, Field(ge=1)] | None = 8
    """Epochs without a better one after which training stops; None: never early."""
    reversal: Annotated[float, Field(ge=0, le=1)] = 0.5
    """With this probability an exam is shown from head to foot."""
    subsampling: Annotated[float, Field(ge=0, le=1)] = 0.5
    """With this probability every second slice of an exam is shown, from the first or the second on: thick slices."""
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def last_epoch(self) -> int:
        """The epoch after which training ends at the latest."""
        return self.epochs if self.stop_after is None else min(self.stop_after, self.epochs)


class ExamRecipe(CompositeRecipe):
    """A slice stage, and a network over what it says of an exam's slices, which answers for each of them anew.

    The slice stage is trained first and then stays as it is. Its features and logits of training and validation slices
    are made once; many heads can be trained on them in seconds. It has seen the training patients, so what it says of
    them is surer than what it says of others, and a head can come to trust it too much: validation patients, on whom it
    is honest, choose the epoch. Boosted trees (TreesHead) learn from the validation patients alone.
    """

    in_words: ClassVar[str] = "an exam network"

    kind: Literal["exam"] = "exam"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    slices: Annotated[SliceRecipe | CascadeRecipe | EnsembleRecipe, Field(discriminator="kind")]
    """Of all slices: an exam is read whole. An ensemble's members here are no networks of exams themselves."""
    head: ExamHead = SequenceHead()
    fit: ExamFit = ExamFit()
    """Of a network; boosted trees have all that they are grown by in `head`, and look at nothing here."""

    @model_validator(mode="after")
    def _exams_are_whole(self) -> Self:
        if self.population.slices != "all" or self.population.without:
            raise ValueError(
                "the slice stage of an exam's network is of all slices, as exams are read whole; set "
                "population.slices=all and leave population.without out"
            )
        if isinstance(self.slices, EnsembleRecipe) and self.slices.reads_exams_whole:
            raise ValueError(
                "the slice stage of an exam's network judges slice by slice, and among the members of this one are "
                "networks of exams: give it members without, or make this network a member of an ensemble beside them"
            )
        strangers = set(self.fit.loss.weights) - set(self.classes)
        if strangers:
            raise ValueError(f"fit.loss.weights names what is no class of this recipe: {sorted(strangers)}")
        return self

    @property
    def parts(self) -> dict[str, SliceRecipe | CascadeRecipe | EnsembleRecipe]:
        """The slice stage, by its folder."""
        return {SLICES: self.slices}

    @property
    def classes(self) -> tuple[Subtype, ...]:
        """The slice stage's."""
        return self.slices.classes

    @property
    def population(self) -> Population:
        """The slice stage's: all slices."""
        return self.slices.population


EnsembleRecipe.model_rebuild(_types_namespace={"ExamRecipe": ExamRecipe})
