"""Weights stored in 16 bits: half the file, and nothing else of the graph touched."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ichnos.inference.onnx_file import check_self_contained
from ichnos.models.sixteen_bits import in_sixteen_bits

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> bytes:
    """A road that multiplies by a large table, a convolution whose outputs differ a thousandfold, a dense layer, and a
    recurrent one."""
    convolution = normal(32, 8, 3, 3) * np.logspace(-3, 0, 32, dtype=np.float32).reshape(-1, 1, 1, 1)
    convolution[5] = 0
    tables = {
        "road": normal(8, 16, 16),
        "convolution": convolution,
        "bias": normal(2048),
        "dense": normal(32, 2048) / 6,
        "given": normal(1, 40, 2048) / 45,
        "kept": normal(1, 40, 10) / 3,
    }
    nodes = [
        helper.make_node("Mul", ["x", "road"], ["planes"]),
        helper.make_node("Conv", ["planes", "convolution"], ["cells"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["cells"], ["means"]),
        helper.make_node("Flatten", ["means"], ["features"]),
        helper.make_node("Gemm", ["features", "dense", "bias"], ["logits"]),
        helper.make_node("Unsqueeze", ["logits", "axis"], ["steps"]),
        helper.make_node("LSTM", ["steps", "given", "kept"], ["", "answers"], hidden_size=10),
    ]
    initializers = [numpy_helper.from_array(each, name) for name, each in tables.items()]
    initializers.append(numpy_helper.from_array(np.array([1]), "axis"))
    shapes = {"planes": ["n", 8, 16, 16], "logits": ["n", 2048], "answers": [1, 1, 10]}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 16, 16])
    graph = helper.make_graph(nodes, "small", [given], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString(deterministic=True)


def answers(network: bytes, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    return [np.asarray(each) for each in session.run(["planes", "logits", "answers"], {"x": x})]


def test_the_file_is_half_as_large_and_its_answers_are_the_same_to_four_digits(network: bytes) -> None:
    small = in_sixteen_bits(network)
    assert len(small) < 0.55 * len(network)
    check_self_contained(small)
    x = normal(4, 8, 16, 16)
    (planes, *before), (exact, *after) = answers(network, x), answers(small, x)
    np.testing.assert_array_equal(exact, planes, err_msg="what the road multiplies by is as it was")
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old, atol=2e-4 * np.abs(old).max())
        assert not np.array_equal(new, old), "and rounded they are"


def test_only_weights_of_layers_are_rounded_each_output_by_its_own_scale(network: bytes) -> None:
    stored = {
        t.name: numpy_helper.to_array(t)
        for t in onnx.load_model_from_string(in_sixteen_bits(network)).graph.initializer
    }
    whole = {name.removesuffix(".int16") for name in stored if name.endswith(".int16")}
    assert whole == {"convolution", "dense", "given"}, "tables of fewer numbers than pay stay, and so do biases"
    was = {t.name: numpy_helper.to_array(t) for t in onnx.load_model_from_string(network).graph.initializer}
    for name in whole:
        numbers, scale = stored[f"{name}.int16"], stored[f"{name}.scale"]
        assert numbers.dtype == np.int16
        largest = np.abs(was[name]).max(axis=tuple(range(1, was[name].ndim)), keepdims=True)
        assert (np.abs(numbers * scale - was[name]) <= 1.01 * largest / 65_534).all()
    assert not stored["convolution.int16"][5].any(), "an output of nothing but zeros stays one"


def test_the_same_bytes_give_the_same_bytes_and_twice_is_once(network: bytes) -> None:
    once = in_sixteen_bits(network)
    assert in_sixteen_bits(network) == once
    assert in_sixteen_bits(once) == once
