"""The network of exams: what it is shown of each slice, and a sequence model over it."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from ichnos.models.exam_heads import build_core
from ichnos.models.exam_heads.conv_lstm import ConvLstmHead
from ichnos.models.exam_heads.head import Exams
from ichnos.models.exam_heads.inputs import ShownInputs
from ichnos.recipe import ExamRecipe, SequenceHead


@dataclass(frozen=True)
class SliceSizes:
    """Of what a slice stage says of each slice."""

    features: int
    map_side: int
    """Rows and columns of class maps; 0: there are none."""


class ExamNetwork(nn.Module):
    """Features, logits and places of exams' slices → logits of every slice anew.

    Untrained it gives the slice stage's logits back.
    """

    def __init__(self, recipe: ExamRecipe, sizes: SliceSizes) -> None:
        """Raises TrainingError where the head wants what the slice stage does not give."""
        super().__init__()
        self.recipe = recipe
        self.sizes = sizes
        assert isinstance(recipe.head, SequenceHead)  # boosted trees are no network
        self.inputs = ShownInputs(recipe.head, sizes.features, len(recipe.classes))
        self.core = build_core(recipe.head, self.inputs.width, len(recipe.classes), sizes.map_side)

    @classmethod
    def seeded(cls, recipe: ExamRecipe, sizes: SliceSizes, seed: int) -> Self:
        """A network whose random first weights depend on the seed alone; torch's global generator is left as is."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return cls(recipe, sizes)

    def fit(self, features: Tensor, logits: Tensor, maps: Tensor | None) -> None:
        """Take the training slices' statistics: of (slices, features), (slices, classes), (slices, classes, h, w)."""
        self.inputs.fit(features, logits)
        if isinstance(self.core, ConvLstmHead):
            assert maps is not None
            self.core.fit(maps)

    def forward(self, exams: Exams) -> tuple[Tensor, ...]:
        """Logits (b, n, classes), the answer last; those before it are of stages that learn too."""
        return self.core(self.inputs(exams), exams)

    def answer(self, features: Tensor, logits: Tensor, offsets: Tensor, maps: Tensor | None = None) -> Tensor:
        """Of one exam: (n, features), (n, classes), (n,) mm, (n, classes, h, w) → logits (n, classes)."""
        exams = Exams(features[None], logits[None], offsets[None], None if maps is None else maps[None])
        return self(exams)[-1][0]
