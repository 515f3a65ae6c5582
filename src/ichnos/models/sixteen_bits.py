"""An ONNX file whose weights are stored in 16 bits: half as large, and reckoned with in 32 bits as before."""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_LAYERS = ("Conv", "Gemm", "MatMul", "LSTM", "GRU")
"""Whose weights are rounded. What the input road multiplies by is an operand of none of these, and stays exact."""

_FEWEST = 1024
"""Numbers in a tensor, below which nothing is gained."""

_LARGEST = 2**15 - 1


def in_sixteen_bits(network: bytes) -> bytes:
    """The same graph with large weights as integers of 16 bits and a scale for each of their first axis.

    That axis is a convolution's or a dense layer's outputs. A weight moves by at most 1/65,534 of the largest beside
    it, a fifteenth of what half precision costs on these networks (docs/bundle.md). Two nodes a tensor bring it back to
    single precision; ONNX Runtime reckons them once, as it opens the file. The same bytes in, the same bytes out.
    """
    model = onnx.load_model_from_string(network)
    graph = model.graph
    layers = {name for node in graph.node if node.op_type in _LAYERS for name in node.input}
    others = {name for node in graph.node if node.op_type not in _LAYERS for name in node.input}
    kept: list[TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for tensor in graph.initializer:
        if tensor.name not in layers - others or not _is_large(tensor):
            kept.append(tensor)
            continue
        whole, scale = _rounded(numpy_helper.to_array(tensor))
        names = [f"{tensor.name}.{part}" for part in ("int16", "scale", "float")]
        kept += [numpy_helper.from_array(each, name) for each, name in zip((whole, scale), names[:2], strict=True)]
        nodes.append(helper.make_node("Cast", [names[0]], [names[2]], name=f"{names[2]}.cast", to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [names[2], names[1]], [tensor.name], name=f"{tensor.name}.scaled"))
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _is_large(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1 and math.prod(tensor.dims) >= _FEWEST


def _rounded(weights: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Integers, and what each slice along the first axis is multiplied by."""
    largest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    return np.rint(weights / scale).clip(-_LARGEST, _LARGEST).astype(np.int16), scale
