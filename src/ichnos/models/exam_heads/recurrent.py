"""GRU (Cho 2014, https://arxiv.org/abs/1406.1078) and LSTM (Hochreiter 1997), in both directions along the exam."""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ichnos.models.exam_heads.head import Exams, SequenceCore, correction
from ichnos.recipe import SequenceHead


class BothWays(nn.Module):
    """A GRU or LSTM from foot to head and one from head to foot: (b, n, width) → (b, n, 2 · hidden)."""

    def __init__(self, kind: type[nn.GRU] | type[nn.LSTM], width: int, head: SequenceHead) -> None:
        super().__init__()
        between = head.dropout if head.layers > 1 else 0.0
        self.network = kind(width, head.hidden, head.layers, batch_first=True, bidirectional=True, dropout=between)

    def forward(self, shown: Tensor, exams: Exams) -> Tensor:
        """What stands behind an exam's end is not seen."""
        if exams.valid is None or exams.lengths is None:
            return self.network(shown)[0]
        # packing wants the longest exam first; where it puts them in order itself, it waits for the device
        order = exams.valid.sum(dim=1).argsort(descending=True)
        lengths = exams.lengths.sort(descending=True).values
        packed = pack_padded_sequence(shown.index_select(0, order), lengths, batch_first=True)
        said, _ = self.network(packed)
        padded, _ = pad_packed_sequence(said, batch_first=True, total_length=shown.shape[1])
        return padded.index_select(0, order.argsort())


class RecurrentHead(SequenceCore):
    """Dropout → GRU or LSTM in both directions → dropout → Dense, added to the slice stage's logits."""

    def __init__(self, head: SequenceHead, width: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(head.dropout)
        self.along = BothWays(nn.LSTM if head.kind == "lstm" else nn.GRU, width, head)
        self.output = correction(2 * head.hidden, classes)

    def forward(self, shown: Tensor, exams: Exams) -> tuple[Tensor, ...]:
        """As SequenceCore.forward; one answer."""
        said = self.along(self.dropout(shown), exams)
        return (exams.logits + self.output(self.dropout(said)),)
