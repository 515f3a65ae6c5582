"""Heads: from the last feature map to one logit a class."""

from torch import Tensor, nn

from ichnos.models.backbones import FEATURES
from ichnos.recipe import Head


class DenseHead(nn.Module):
    """Global average pooling → [dropout] → Dense(hidden) ReLU → dropout → Dense(classes): the study's head (3.2).

    Dense layers start as Keras starts them, since the study used Keras: Glorot-uniform weights, biases of zero.
    """

    def __init__(self, head: Head, classes: int) -> None:
        super().__init__()
        self.dropout_before_hidden = nn.Dropout(head.dropout_before_hidden)
        self.hidden = nn.Linear(FEATURES, head.hidden)
        self.dropout = nn.Dropout(head.dropout)
        self.output = nn.Linear(head.hidden, classes)
        for layer in (self.hidden, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(n, 1280, h, w) → logits (n, classes)."""
        pooled = self.dropout_before_hidden(features.mean(dim=(2, 3)))
        hidden = self.hidden(pooled).relu()
        return self.output(self.dropout(hidden))
