"""What the slices around a slice were given, as a table for boosted trees: in numpy, and as nodes of an ONNX graph.

Both give the same bits: places are whole hundredths of a mm, logits whole 256ths, and every sum of them is exact in
single precision. So no threshold of a tree ever falls between two ways of rounding.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_LOGIT_STEPS = 256.0
"""To 1: finer than any difference that means something, coarse enough that a mean over 2,000 slices is exact."""

_LARGEST_LOGIT = 30.0
"""Beyond it a probability is 0 or 1 in single precision."""

_PLACES_IN_MM = 100.0
"""To 1 mm, as in `ichnos.inputs`: below that DICOM's and NIfTI's places of one exam differ."""


@dataclass(frozen=True)
class NeighbourTable:
    """For each slice of one exam its own logits, those of what lies beside it, and what the exam has as a whole."""

    outputs: int
    """Logits of a slice."""
    neighbours: int
    """How many below and how many above."""
    spacing_mm: float
    """From one to the next, along the slice normal."""

    @property
    def columns(self) -> int:
        """Of the table: outputs at each place from foot to head, their largest and mean over the exam, the height."""
        return self.outputs * (2 * self.neighbours + 1 + 2) + 1

    @property
    def steps(self) -> range:
        """From the farthest below, −neighbours, to the farthest above; 0 is the slice itself."""
        return range(-self.neighbours, self.neighbours + 1)

    def rows(self, logits: NDArray[np.floating], offsets: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, outputs) and (n,) mm of one exam's slices, in any order → (n, columns).

        Beside a slice stands what lies nearest to k · spacing mm from it, the farther one where two are as near; beyond
        the exam's ends its last slice stands in. Of slices at one place the first given stands for all, but beside
        itself. Height is 0 at the lowest slice, 1 at the highest, and 0 in an exam of one.
        """
        clipped = np.clip(logits.astype(np.float32), -_LARGEST_LOGIT, _LARGEST_LOGIT)
        values = np.rint(clipped * np.float32(_LOGIT_STEPS))
        millimetres = offsets.astype(np.float32)
        places = np.rint((millimetres - millimetres.min()) * np.float32(_PLACES_IN_MM))
        apart = np.float32(4) * (places[np.newaxis, :] - places[:, np.newaxis])
        beside = [values[np.abs(apart - self._target(k)).argmin(axis=1)] if k else values for k in self.steps]
        own = np.hstack(beside) / np.float32(_LOGIT_STEPS)
        largest = values.max(axis=0) / np.float32(_LOGIT_STEPS)
        mean = values.sum(axis=0) / np.float32(_LOGIT_STEPS * len(values))
        whole = np.broadcast_to(np.concatenate([largest, mean]), (len(values), 2 * self.outputs))
        return np.hstack([own, whole, (places / max(places.max(), np.float32(1)))[:, np.newaxis]]).astype(np.float32)

    def nodes(self, logits: str, offsets: str, table: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The same as nodes and constants of an ONNX graph (opset 18 or later), by the names of its tensors."""
        steps = {
            "least": -_LARGEST_LOGIT,
            "most": _LARGEST_LOGIT,
            "logit_steps": _LOGIT_STEPS,
            "places_in_mm": _PLACES_IN_MM,
            "four": 4.0,
            "one": 1.0,
        }
        constants = [_constant(name, np.array(value, np.float32)) for name, value in steps.items()]
        constants += [_constant(f"axis_{axis}", np.array([axis], np.int64)) for axis in (0, 1)]
        nodes = [
            _node("Clip", [logits, "least", "most"], "clipped"),
            _node("Mul", ["clipped", "logit_steps"], "stepped"),
            _node("Round", ["stepped"], "values"),
            _node("ReduceMin", [offsets, "axis_0"], "lowest", keepdims=1),
            _node("Sub", [offsets, "lowest"], "above_lowest"),
            _node("Mul", ["above_lowest", "places_in_mm"], "unrounded_places"),
            _node("Round", ["unrounded_places"], "places"),
            _node("Unsqueeze", ["places", "axis_0"], "places_across"),
            _node("Unsqueeze", ["places", "axis_1"], "places_down"),
            _node("Sub", ["places_across", "places_down"], "distances"),
            _node("Mul", ["distances", "four"], "apart"),
        ]
        beside: list[str] = []
        for k in self.steps:
            beside.append(f"beside_{k}" if k else "values")
            if k:
                constants.append(_constant(f"target_{k}", self._target(k)))
                nodes += [
                    _node("Sub", ["apart", f"target_{k}"], f"off_{k}"),
                    _node("Abs", [f"off_{k}"], f"how_far_{k}"),
                    _node("ArgMin", [f"how_far_{k}"], f"nearest_{k}", axis=1, keepdims=0),
                    _node("Gather", ["values", f"nearest_{k}"], f"beside_{k}", axis=0),
                ]
        nodes += [
            _node("Concat", beside, "stepped_beside", axis=1),
            _node("Div", ["stepped_beside", "logit_steps"], "around"),
            *self._summary_nodes(),
            _node("Concat", ["around", "whole_everywhere", "height"], table, axis=1),
        ]
        return nodes, constants

    def _summary_nodes(self) -> list[onnx.NodeProto]:
        """Of the exam as a whole: largest and mean of each output, the same in every row; and each slice's height."""
        return [
            _node("ReduceMax", ["values", "axis_0"], "stepped_largest", keepdims=1),
            _node("Div", ["stepped_largest", "logit_steps"], "largest"),
            _node("ReduceSum", ["values", "axis_0"], "stepped_sum", keepdims=1),
            _node("Shape", ["values"], "slices", start=0, end=1),
            _node("Cast", ["slices"], "count", to=onnx.TensorProto.FLOAT),
            _node("Mul", ["count", "logit_steps"], "stepped_count"),
            _node("Div", ["stepped_sum", "stepped_count"], "mean"),
            _node("Concat", ["largest", "mean"], "whole", axis=1),
            _node("Shape", ["whole"], "whole_width", start=1, end=2),
            _node("Concat", ["slices", "whole_width"], "whole_shape", axis=0),
            _node("Expand", ["whole", "whole_shape"], "whole_everywhere"),
            _node("ReduceMax", ["places_down", "axis_0"], "highest", keepdims=1),
            _node("Max", ["highest", "one"], "extent"),
            _node("Div", ["places_down", "extent"], "height"),
        ]

    def _target(self, k: int) -> np.float32:
        """Of four times the distance in hundredths of a mm: one beyond, so that of two as near the farther one wins."""
        return np.float32(4 * round(k * self.spacing_mm * _PLACES_IN_MM) + (1 if k > 0 else -1))


def _constant(name: str, value: NDArray[np.generic] | np.generic) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], **attributes)
