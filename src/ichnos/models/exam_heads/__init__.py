"""Networks of whole exams, one architecture a file: from what a slice stage says of an exam's slices to logits anew."""

from ichnos.models.exam_heads.conv_lstm import ConvLstmHead
from ichnos.models.exam_heads.dense import DenseLayers
from ichnos.models.exam_heads.head import SequenceCore
from ichnos.models.exam_heads.recurrent import RecurrentHead
from ichnos.models.exam_heads.transformer import TransformerHead
from ichnos.models.exam_heads.two_stage import TwoStageHead
from ichnos.recipe import SequenceHead


def build_core(head: SequenceHead, width: int, classes: int, map_side: int) -> SequenceCore:
    """The network that a recipe names. width: of what it is shown of each slice; map_side: of the class maps, or 0."""
    match head.kind:
        case "gru" | "lstm":
            return RecurrentHead(head, width, classes)
        case "conv-lstm":
            return ConvLstmHead(head, width, classes, map_side)
        case "transformer":
            return TransformerHead(head, width, classes)
        case "two-stage":
            return TwoStageHead(head, width, classes)
        case "dense":
            return DenseLayers(head, width, classes)
