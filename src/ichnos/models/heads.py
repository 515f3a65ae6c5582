"""Heads: from the last feature map to one logit a class."""

from torch import Tensor, nn

from ichnos.recipe import Head


class DenseHead(nn.Module):
    """Global average pooling → [dropout] → Dense(hidden) ReLU → dropout → Dense(classes): the study's head (3.2).

    Without a hidden layer: pooling → dropout → Dense(classes). Dense layers start as Keras starts them, since the study
    used Keras: Glorot-uniform weights, biases of zero.
    """

    def __init__(self, head: Head, features: int, classes: int) -> None:
        super().__init__()
        self.dropout_before_hidden = nn.Dropout(head.dropout_before_hidden)
        self.hidden = None if head.hidden is None else nn.Linear(features, head.hidden)
        self.dropout = nn.Dropout(head.dropout)
        self.output = nn.Linear(features if head.hidden is None else head.hidden, classes)
        for layer in (self.hidden, self.output):
            if layer is not None:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, last: Tensor) -> Tensor:
        """The backbone's last (n, features, h, w), or pooled already (n, features) → logits (n, classes)."""
        given = self.dropout_before_hidden(pooled(last))
        if self.hidden is not None:
            given = self.hidden(given).relu()
        return self.output(self.dropout(given))

    def with_gradients(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Without dropout, pooled features (n, features) → logits and what each would change with each feature.

        The gradients are (n, classes, features), or (classes, features) where they are the same for every image: the
        output's weights, behind a hidden layer masked by where it is above 0, times its weights. No backward pass.
        """
        if self.hidden is None:
            return self.output(features), self.output.weight
        before = self.hidden(features)
        active = (before > 0).to(features.dtype)
        return self.output(before.relu()), (active.unsqueeze(1) * self.output.weight) @ self.hidden.weight


def pooled(last: Tensor) -> Tensor:
    """The mean over positions of a feature map; what is no map is pooled already."""
    return last.mean(dim=(2, 3)) if last.ndim == 4 else last
