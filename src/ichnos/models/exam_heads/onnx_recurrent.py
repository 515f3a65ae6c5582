"""Torch's recurrent layers as ONNX's own operators, for the exported graph: one exam, no padding."""

import torch
from torch import Tensor, nn

from ichnos.models.exam_heads.head import Exams
from ichnos.models.exam_heads.recurrent import BothWays

_GATES = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}
"""Where torch has ONNX's gates: its GRU begins with reset, ONNX's with update; its LSTM's output gate stands last,
ONNX's second."""

_FORM = {"GRU": {"linear_before_reset": 1}, "LSTM": {}}
"""Torch resets what the hidden state gives, not the hidden state itself, as cuDNN does."""


class OnnxBothWays(nn.Module):
    """A BothWays, or an LSTM or GRU in both directions, as one GRU or LSTM operator a layer.

    The exporter's own translation of torch's layers writes the example's length into what comes behind them.
    """

    def __init__(self, network: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.operator = "LSTM" if isinstance(network, nn.LSTM) else "GRU"
        self.hidden = network.hidden_size
        for layer in range(network.num_layers):
            ends = (f"l{layer}", f"l{layer}_reverse")
            for name in ("weight_ih", "weight_hh"):
                both = [self._in_order(getattr(network, f"{name}_{end}")) for end in ends]
                self.register_buffer(f"{name}_{layer}", torch.stack(both))
            biases = [
                torch.cat([self._in_order(getattr(network, f"{name}_{end}")) for name in ("bias_ih", "bias_hh")])
                for end in ends
            ]
            self.register_buffer(f"bias_{layer}", torch.stack(biases))
        self.layers = network.num_layers

    def _in_order(self, weights: Tensor) -> Tensor:
        """Gates in ONNX's order."""
        gates = weights.detach().chunk(len(_GATES[self.operator]))
        return torch.cat([gates[k] for k in _GATES[self.operator]])

    def forward(self, shown: Tensor, exams: Exams | None = None) -> Tensor:
        """(1, n, width) → (1, n, 2 · hidden)."""
        assert exams is None or exams.valid is None
        said = shown.transpose(0, 1)
        for layer in range(self.layers):
            weights = [getattr(self, f"{name}_{layer}") for name in ("weight_ih", "weight_hh", "bias")]
            both = torch.onnx.ops.symbolic(
                self.operator,
                (said, *weights),
                {"direction": "bidirectional", "hidden_size": self.hidden} | _FORM[self.operator],
                dtype=said.dtype,
                shape=[said.shape[0], 2, 1, self.hidden],
            )
            said = both.transpose(1, 2).flatten(2)
        return said.transpose(0, 1)


def for_onnx(module: nn.Module) -> nn.Module:
    """Put OnnxBothWays in the place of every BothWays within, and give the module back."""
    for name, child in module.named_children():
        if isinstance(child, BothWays):
            setattr(module, name, OnnxBothWays(child.network))
        else:
            for_onnx(child)
    return module
