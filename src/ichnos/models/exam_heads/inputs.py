"""What a network of exams is shown of each slice: features, logits, differences to neighbours, distances."""

import torch
from torch import Tensor, nn

from ichnos.errors import TrainingError
from ichnos.models.exam_heads.head import Exams, beside
from ichnos.recipe import ExamInput, SequenceHead

UNIT_MM = 5.0
"""In which distances are shown: that of most head CT, so that they are near 1."""

_FARTHEST = 4.0
"""Units of distance beyond which a gap is a gap."""

_STILL = 1e-2
"""Of the mean deviation: what varies less over the training slices is divided by so much, or noise would be all that is
seen of it."""

_ROUNDED = 1e-3
"""Of the values' own size: what varies less than that in float32 is rounding by the time it has gone through a network,
as of one that has hardly been trained, and another runtime rounds in another way."""


class ShownInputs(nn.Module):
    """Standardises by the statistics of training slices, which it keeps, and lays side by side what the head asks for.

    With components: features less their mean times the first eigenvectors of their covariance, all in one measure, so
    that the first components stay the largest.
    """

    feature_mean: Tensor
    feature_scale: Tensor
    projection: Tensor
    logit_mean: Tensor
    logit_scale: Tensor

    def __init__(self, head: SequenceHead, features: int, classes: int) -> None:
        super().__init__()
        if head.components is not None and head.components > features:
            raise TrainingError(
                f"head.components={head.components} of {features} features: there are no more components than "
                "features; lower it, or leave it out"
            )
        self.inputs = frozenset(head.inputs)
        self.components = head.components
        seen = features if head.components is None else head.components
        width = seen * (ExamInput.FEATURES in self.inputs) + classes * (ExamInput.LOGITS in self.inputs)
        self.width = width * (3 if ExamInput.DIFFERENCES in self.inputs else 1)
        self.width += 2 * (ExamInput.DISTANCES in self.inputs)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_scale", torch.ones(seen))
        self.register_buffer("projection", torch.eye(features)[:, :seen] if head.components else torch.empty(0, 0))
        self.register_buffer("logit_mean", torch.zeros(classes))
        self.register_buffer("logit_scale", torch.ones(classes))

    def fit(self, features: Tensor, logits: Tensor) -> None:
        """Take the statistics of the training slices: features (slices, features), logits (slices, classes)."""
        features, logits = features.double(), logits.double()
        self.logit_mean.copy_(logits.mean(dim=0))
        self.logit_scale.copy_(_deviation(logits))
        self.feature_mean.copy_(features.mean(dim=0))
        if self.components is None:
            self.feature_scale.copy_(_deviation(features))
            return
        values, vectors = torch.linalg.eigh(torch.cov(features.T, correction=0))  # ascending
        self.projection.copy_(vectors.flip(1)[:, : self.components])
        common = values.flip(0)[: self.components].clamp(min=0).mean().sqrt()
        self.feature_scale.fill_(max(float(common), _rounding(features)) or 1.0)

    def forward(self, exams: Exams) -> Tensor:
        """(b, n, width)."""
        parts: list[Tensor] = []
        if ExamInput.FEATURES in self.inputs:
            features = exams.features - self.feature_mean
            if self.components is not None:
                features = features @ self.projection
            parts.append(features / self.feature_scale)
        if ExamInput.LOGITS in self.inputs:
            parts.append((exams.logits - self.logit_mean) / self.logit_scale)
        if ExamInput.DIFFERENCES in self.inputs:
            parts += beside(torch.cat(parts, dim=2), exams.valid)
        if ExamInput.DISTANCES in self.inputs:
            parts += distances(exams)
        return torch.cat(parts, dim=2)


def distances(exams: Exams) -> tuple[Tensor, Tensor]:
    """How far the slices below and above are, (b, n, 1) each, in UNIT_MM; 0 where there is none."""
    below, above = beside(exams.offsets[:, :, None] / UNIT_MM, exams.valid)
    return below.clamp(max=_FARTHEST), above.clamp(max=_FARTHEST)


def _deviation(values: Tensor) -> Tensor:
    """Of each column; never 0."""
    spread = values.std(dim=0, correction=0)
    return spread.clamp(min=max(_STILL * float(spread.mean()), _rounding(values)) or 1.0)


def _rounding(values: Tensor) -> float:
    """The least deviation that is one."""
    return _ROUNDED * float(values.square().mean().sqrt())
