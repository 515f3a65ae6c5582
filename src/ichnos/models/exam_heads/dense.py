"""Dense layers on what is known of each slice by itself: what several networks say of it is brought together."""

from itertools import pairwise

from torch import Tensor, nn

from ichnos.models.exam_heads.head import Exams, SequenceCore, correction
from ichnos.recipe import SequenceHead


class DenseLayers(SequenceCore):
    """Dropout → layers of Dense, ReLU and dropout → Dense, added to the slice stage's logits; no slice sees another."""

    def __init__(self, head: SequenceHead, width: int, classes: int) -> None:
        super().__init__()
        widths = [width, *[head.hidden] * head.layers]
        layers: list[nn.Module] = [nn.Dropout(head.dropout)]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(head.dropout)]
        self.fusion = nn.Sequential(*layers)
        self.output = correction(head.hidden, classes)

    def forward(self, shown: Tensor, exams: Exams) -> tuple[Tensor, ...]:
        """As SequenceCore.forward; one answer."""
        return (exams.logits + self.output(self.fusion(shown)),)
