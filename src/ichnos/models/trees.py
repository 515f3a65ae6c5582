"""Boosted trees on what a network gave a slice and its neighbours, as one ONNX graph of a whole exam."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier

from ichnos.models.export import OPSET
from ichnos.models.neighbour_table import NeighbourTable
from ichnos.readout import sigmoid

ML_OPSET = 1
"""Of ai.onnx.ml, ONNX's own operators of classical models: the first version of trees, as skl2onnx writes them."""

_IR = 9
"""The form of the file that OPSET came with."""


class FromSlice(ClassifierMixin, BaseEstimator):
    """Where boosting starts: the probability that the network itself gave the slice, one column of the table."""

    def __init__(self, column: int) -> None:
        self.column = column

    def fit(self, table: NDArray[np.float32], labels: NDArray[np.bool_]) -> "FromSlice":  # noqa: ARG002
        """Learns nothing."""
        self.classes_ = np.array([False, True])
        return self

    def predict_proba(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, 2): of the class's absence and presence."""
        positive = sigmoid(self.logit(table))
        return np.column_stack([1 - positive, positive])

    def logit(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,): what boosting adds to."""
        return table[:, self.column].astype(np.float64)


def export_trees(table: NeighbourTable, trees: Sequence[GradientBoostingClassifier | None]) -> bytes:
    """The ONNX file: float32 `features` (n, F), `logits` (n, C), `offsets` (n,) in mm; gives `answers` (n, C).

    trees: of each output, fitted from FromSlice on the table's rows; None: the slice's own logit stays. Features are
    taken and not looked at, as whatever answers for exams is given them. What comes out is each slice's own logit plus
    what the trees add to it. Self-contained, only ONNX's own operators; the same trees give the same bytes.
    """
    assert len(trees) == table.outputs
    nodes, constants = table.nodes("logits", "offsets", "table")
    own = [f"own_{k}" for k in range(table.outputs)]
    nodes.append(helper.make_node("Split", ["logits"], own, axis=1, num_outputs=len(own)))
    said: list[str] = []
    for k, boosted in enumerate(trees):
        said.append(own[k] if boosted is None else f"said_{k}")
        if boosted is not None:
            nodes += _tree_nodes(table, boosted, k, own[k], said[k])
    if any(boosted is not None for boosted in trees):
        constants.append(numpy_helper.from_array(np.array([1], np.int64), "second_column"))
    nodes.append(helper.make_node("Concat", said, ["answers"], axis=1))
    graph = helper.make_graph(
        nodes,
        "ichnos-exam",
        [
            helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["slices", "features"]),
            helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["slices", table.outputs]),
            helper.make_tensor_value_info("offsets", onnx.TensorProto.FLOAT, ["slices"]),
        ],
        [helper.make_tensor_value_info("answers", onnx.TensorProto.FLOAT, ["slices", table.outputs])],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _tree_nodes(
    table: NeighbourTable, boosted: GradientBoostingClassifier, k: int, own: str, said: str
) -> list[onnx.NodeProto]:
    """Those of one output, by skl2onnx: the sum of its trees, added to the slice's own logit."""
    # The converter knows no start but zero; the graph adds the true one.
    bare = deepcopy(boosted).set_params(init="zero")
    options = {id(bare): {"zipmap": False, "raw_scores": True}}
    example = np.zeros((1, table.columns), np.float32)
    converted = to_onnx(bare, example, options=options, target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET})
    assert isinstance(converted, onnx.ModelProto)
    (ensemble,) = [node for node in converted.graph.node if node.op_type == "TreeEnsembleClassifier"]
    ensemble.name = f"trees_{k}"
    ensemble.input[:] = ["table"]
    ensemble.output[:] = [f"label_{k}", f"scores_{k}"]
    return [
        ensemble,
        helper.make_node("Gather", [f"scores_{k}", "second_column"], [f"added_{k}"], axis=1),
        helper.make_node("Add", [own, f"added_{k}"], [said]),
    ]
