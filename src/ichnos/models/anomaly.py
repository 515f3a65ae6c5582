"""An anomaly detector as one network: logits of what was learnt, and how unusual the features are as one more."""

import torch
from torch import Tensor, nn

from ichnos.evaluation.density import USUAL, Density
from ichnos.models.classifier import SliceClassifier
from ichnos.models.export import Graph, SliceGraph
from ichnos.models.heads import pooled


class Unusual(nn.Module):
    """Pooled features (n, features) → the logit of the class that was never seen, (n, 1). See Density."""

    means: Tensor
    whitening: Tensor

    def __init__(self, density: Density) -> None:
        super().__init__()
        self.register_buffer("means", torch.from_numpy(density.means.copy()), persistent=False)
        self.register_buffer("whitening", torch.from_numpy(density.whitening.copy()), persistent=False)
        self.centre, self.spread = density.centre, density.spread

    def forward(self, features: Tensor) -> Tensor:
        """The distances are of differences, whitened: a difference of whitened ones would lose digits."""
        far = [((features - mean) @ self.whitening).square().sum(dim=1) for mean in self.means]
        nearest = torch.stack(far, dim=1).amin(dim=1, keepdim=True)
        return (nearest.clamp(min=torch.finfo(torch.float32).tiny).log() - self.centre) / self.spread + USUAL


class AnomalyClassifier(nn.Module):
    """Cached planes → logits of the network's classes with the unseen one at its place."""

    def __init__(self, classifier: SliceClassifier, density: Density, place: int) -> None:
        """place: among the classes that come out."""
        super().__init__()
        self.classifier = classifier
        self.unusual = Unusual(density)
        self.place = place

    def forward(self, planes: Tensor) -> Tensor:
        """uint8 (n, planes, S, S) → logits (n, classes + 1)."""
        features = features_of(self.classifier, planes)
        return inserted(self.classifier.head(features), self.unusual(features), self.place)


class AnomalyGraph(Graph):
    """Raw HU → the same logits, and the features. No class maps: a distance of pooled features lies nowhere."""

    def __init__(self, classifier: SliceClassifier, density: Density, place: int) -> None:
        super().__init__()
        self.slices = SliceGraph([classifier])
        self.neighbours, self.map_side, self.place = self.slices.neighbours, 0, place
        self.features = self.slices.features
        self.unusual = Unusual(density)
        self.eval()

    def forward(self, hu: Tensor, stacks: Tensor | None = None) -> tuple[Tensor, ...]:
        """As SliceGraph.forward."""
        logits, features, *_ = self.slices(hu, stacks)
        return inserted(logits, self.unusual(features), self.place), features


def features_of(classifier: SliceClassifier, planes: Tensor) -> Tensor:
    """uint8 (n, planes, S, S) → pooled features (n, features)."""
    channels = classifier.channels.normalised(classifier.channels.unit(planes))
    return pooled(classifier.backbone(channels))


def inserted(logits: Tensor, one: Tensor, place: int) -> Tensor:
    """(n, classes) with (n, 1) as one more column."""
    return torch.cat([logits[:, :place], one, logits[:, place:]], dim=1)
