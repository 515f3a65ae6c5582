"""Recipes of one model of single slices."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Never, Self

from pydantic import Field, model_validator

from ichnos.networks import Network
from ichnos.recipe.grammar import AnyRecipe
from ichnos.recipe.inputs import InputSpec
from ichnos.recipe.training import Augmentation, Fit, Population, Sampling, Segmentation, Synthetic, TestTime
from ichnos.subtypes import SUBTYPES, Subtype


class SliceRecipe(AnyRecipe):
    """Everything that makes one model of single slices: input, population, classes, network, sampling, training."""

    in_words: ClassVar[str] = "one model"
    added_later: ClassVar[tuple[str, ...]] = ("segmentation", "test_time")

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
    segmentation: Segmentation | None = None
    augmentation: Augmentation | None = None
    fit: Fit = Fit()
    test_time: TestTime | None = None
    """Views that are averaged once the model is trained; None: the slice as it is."""

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
        named = {*self.classes, *self.population.without}
        if self.population.slices == "all" and not {Subtype.ANY} <= named and not set(SUBTYPES) <= named:
            raise ValueError(
                "of all slices any hemorrhage is told too, which is more than the subtypes named: name `any` as well, "
                "or every subtype that population.without leaves"
            )
        strangers = set(self.fit.loss.weights) - set(self.classes)
        if strangers:
            raise ValueError(f"fit.loss.weights names what is no class of this recipe: {sorted(strangers)}")
        if self.augmentation and self.augmentation.reversal and not self.input.neighbours:
            raise ValueError("augmentation.reversal turns slices with their neighbours round: set input.neighbours too")
        both = set(self.classes) & set(self.population.without)
        if both:
            raise ValueError(f"classes that the population leaves out cannot be learnt: {sorted(both)}")
        drawn = set(self.synthetic.subtypes if self.synthetic else ()) & set(self.population.without)
        if drawn:
            raise ValueError(
                f"synthetic.subtypes draws lesions that the population leaves out: {', '.join(sorted(drawn))}; give it "
                "others, or synthetic=null"
            )
        if self.input.raw_hu and self.network.frozen:
            raise ValueError(
                "the stem of raw HU begins at zero and a frozen backbone cannot learn it: set raw_hu=false"
            )
        if self.network.facts is not None and self.network.facts.volume and not self.input.neighbours:
            raise ValueError(f"{self.network.backbone} sees a slice among its neighbours: set input.neighbours too")
        self.network.check_size(self.input.size)
        return self

    @property
    def as_trained(self) -> "SliceRecipe":
        """Without what only comes after training: recipes that are equal in this have the same weights."""
        return self.model_copy(update={"test_time": None})

    @property
    def views(self) -> int:
        """How often a trained network is asked of each slice."""
        return 1 if self.test_time is None else self.test_time.views

    @property
    def segmented(self) -> tuple[Subtype, ...]:
        """What the auxiliary head outlines, in its order; nothing where there is none."""
        return () if self.segmentation is None else self.segmentation.classes or self.classes

    @property
    def stages(self) -> dict[str, "SliceRecipe"]:
        """Itself, by the name of no folder and no field: a run of one stage has no folders within."""
        return {"": self}

    @property
    def parts(self) -> Mapping[str, Never]:
        """None."""
        return {}

    @property
    def composites(self) -> Mapping[str, Never]:
        """None: nothing within it is joined."""
        return {}

    @property
    def widest(self) -> InputSpec:
        """The input road that shows the most neighbours: its own."""
        return self.input
