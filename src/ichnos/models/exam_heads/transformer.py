"""A transformer over the slices of an exam (Vaswani 2017, https://arxiv.org/abs/1706.03762), by places in mm."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ichnos.models.exam_heads.head import Exams, SequenceCore, correction
from ichnos.recipe import SequenceHead

_SHORTEST_MM, _LONGEST_MM = 10.0, 1000.0
"""Wavelengths of the places: from two slices to well beyond a head."""


class TransformerHead(SequenceCore):
    """Dense → sines and cosines of the place in mm → layers of attention → dropout → Dense, added to the logits.

    Layers normalise first (Xiong 2020, https://arxiv.org/abs/2002.04745), which needs no slow start of training.
    """

    wavelengths: Tensor

    def __init__(self, head: SequenceHead, width: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(head.dropout)
        self.embed = nn.Linear(width, head.hidden)
        self.layers = nn.ModuleList(_Layer(head) for _ in range(head.layers))
        self.norm = nn.LayerNorm(head.hidden)
        self.output = correction(head.hidden, classes)
        steps = torch.linspace(math.log(_SHORTEST_MM), math.log(_LONGEST_MM), head.hidden // 2)
        self.register_buffer("wavelengths", steps.exp(), persistent=False)

    def forward(self, shown: Tensor, exams: Exams) -> tuple[Tensor, ...]:
        """As SequenceCore.forward; one answer."""
        angles = 2 * math.pi * exams.offsets[:, :, None] / self.wavelengths
        said = self.embed(self.dropout(shown)) + torch.cat([angles.sin(), angles.cos()], dim=2)
        for layer in self.layers:
            said = layer(said, exams.valid)
        return (exams.logits + self.output(self.dropout(self.norm(said))),)


class _Layer(nn.Module):
    """Every slice looks at every slice of its exam, then each by itself."""

    def __init__(self, head: SequenceHead) -> None:
        super().__init__()
        self.heads = head.attention_heads
        self.before = nn.LayerNorm(head.hidden)
        self.looked_at = nn.Linear(head.hidden, 3 * head.hidden)
        self.gathered = nn.Linear(head.hidden, head.hidden)
        self.alone = nn.Sequential(
            nn.LayerNorm(head.hidden),
            nn.Linear(head.hidden, 2 * head.hidden),
            nn.GELU(),
            nn.Dropout(head.dropout),
            nn.Linear(2 * head.hidden, head.hidden),
        )
        self.dropout = nn.Dropout(head.dropout)

    def forward(self, said: Tensor, valid: Tensor | None) -> Tensor:
        asked, keys, values = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.looked_at(self.before(said)).chunk(3, dim=2)
        )
        mask = None if valid is None else valid[:, None, None, :]
        seen = scaled_dot_product_attention(asked, keys, values, attn_mask=mask)
        said = said + self.dropout(self.gathered(seen.transpose(1, 2).flatten(2)))
        return said + self.dropout(self.alone(said))
