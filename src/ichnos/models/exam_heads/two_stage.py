"""Two sequence models, one on features, one on probabilities: after RSNA 2019's first place (Wang 2021)."""

import torch
from torch import Tensor, nn

from ichnos.models.exam_heads.head import Exams, SequenceCore, beside, correction
from ichnos.models.exam_heads.inputs import distances
from ichnos.models.exam_heads.recurrent import BothWays
from ichnos.recipe import SequenceHead


class TwoStageHead(SequenceCore):
    """A GRU on what is shown of each slice; then one on probabilities alone, which no longer knows the pictures.

    The second is shown σ of the slice stage's logits, σ of the first's, their mean, the differences of the mean to the
    slices below and above, and how far those are. Both learn at once, each from a loss of its own: no gradient passes
    from the second to the first, as if they had been trained one after the other. Each adds to what it was given.
    """

    def __init__(self, head: SequenceHead, width: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(head.dropout)
        self.on_features = BothWays(nn.GRU, width, head)
        self.first = correction(2 * head.hidden, classes)
        self.on_probabilities = BothWays(nn.GRU, 5 * classes + 2, head)
        self.second = correction(2 * head.hidden, classes)

    def forward(self, shown: Tensor, exams: Exams) -> tuple[Tensor, ...]:
        """As SequenceCore.forward; the first model's answer, then the second's."""
        first = exams.logits + self.first(self.dropout(self.on_features(self.dropout(shown), exams)))
        before = first.detach()
        each = [exams.logits.sigmoid(), before.sigmoid()]
        mean = (each[0] + each[1]) / 2
        given = torch.cat([*each, mean, *beside(mean, exams.valid), *distances(exams)], dim=2)
        return first, before + self.second(self.dropout(self.on_probabilities(given, exams)))
