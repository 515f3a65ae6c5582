"""An ensemble with networks of exams among its members: from what slice networks say of an exam to one answer."""

from collections.abc import Sequence

from torch import Tensor, nn

from ichnos.evaluation.combination import Linear, Ranks
from ichnos.models.ensemble import combination_layer
from ichnos.models.exam_export import ExamGraph, exported_exams
from ichnos.models.exam_network import ExamNetwork


class ExamEnsembleGraph(nn.Module):
    """What the members' slice networks say of an exam, side by side (EnsembleGraph without a combination) → what the
    members say, joined: those with a network of exams by what it makes of their own part, the others as they are."""

    def __init__(
        self, networks: Sequence[ExamNetwork | None], features: Sequence[int], combination: Linear | Ranks
    ) -> None:
        """networks: a member's network of exams, None where it has none; features: of each member, by number. Takes
        copies, on the CPU, in evaluation mode."""
        super().__init__()
        self.networks = nn.ModuleList(nn.Identity() if each is None else ExamGraph(each) for each in networks)
        self.widths = list(features)
        self.combination = combination_layer(combination)
        self.eval()

    def forward(self, features: Tensor, logits: Tensor, offsets: Tensor) -> Tensor:
        """(n, members' features), (n, members · classes), (n,) mm → logits (n, classes)."""
        own_features = features.split(self.widths, dim=1)
        own_logits = logits.chunk(len(self.networks), dim=1)
        return self.combination(
            [
                network(shown, said, offsets) if isinstance(network, ExamGraph) else said
                for network, shown, said in zip(self.networks, own_features, own_logits, strict=True)
            ]
        )


def export_exam_ensemble(
    networks: Sequence[ExamNetwork | None], features: Sequence[int], combination: Linear | Ranks, classes: int
) -> bytes:
    """The ONNX file: as export_exam_network's, of `features` (n, all members'), `logits` (n, members · classes) and
    `offsets` (n,); gives `answers` (n, classes)."""
    graph = ExamEnsembleGraph(networks, features, combination)
    return exported_exams(graph, features=sum(features), logits=len(networks) * classes)
