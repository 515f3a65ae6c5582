"""Tiny ONNX networks with a bundle's interface, made with onnx alone: no training, no torch."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ichnos.ct.exams import Exam, SliceReference, SourceKind
from ichnos.ct.windows import BRAIN
from ichnos.inference.manifest import Manifest
from ichnos.readout import Readout
from ichnos.recipe import InputSpec, Population, SliceRecipe
from ichnos.subtypes import CLASSES, Subtype


def brightness(classes: int = 6, gain: float = 0.1, outputs: int | None = None, level: float = 40) -> onnx.ModelProto:
    """Logit k = gain · (mean HU of the slice − level − 5 k); features: that mean; maps: the slice in 4×4, above 0."""
    offsets = np.array([level + 5 * k for k in range(outputs or classes)], dtype=np.float32)
    slices = "slices"
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Cast", ["hu"], ["x"], to=TensorProto.FLOAT),
                helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
                helper.make_node("Unsqueeze", ["mean", "one"], ["features"]),
                helper.make_node("Sub", ["features", "offsets"], ["lifted"]),
                helper.make_node("Mul", ["lifted", "gain"], ["logits"]),
                helper.make_node("Unsqueeze", ["x", "one"], ["plane"]),
                helper.make_node("AveragePool", ["plane"], ["pooled"], kernel_shape=[128, 128], strides=[128, 128]),
                helper.make_node("Relu", ["pooled"], ["warm"]),
                helper.make_node("Tile", ["warm", "repeats"], ["maps"]),
            ],
            "tiny",
            [helper.make_tensor_value_info("hu", TensorProto.INT16, [slices, 512, 512])],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, [slices, outputs or classes]),
                helper.make_tensor_value_info("features", TensorProto.FLOAT, [slices, 1]),
                helper.make_tensor_value_info("maps", TensorProto.FLOAT, [slices, classes, 4, 4]),
            ],
            [
                numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
                numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
                numpy_helper.from_array(np.array([1, classes, 1, 1], dtype=np.int64), "repeats"),
                numpy_helper.from_array(offsets, "offsets"),
                numpy_helper.from_array(np.array(gain, dtype=np.float32), "gain"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def manifest(
    readout: Readout | None = None, population: str = "all", neighbours: int = 0, spacing: float = 5.0
) -> Manifest:
    """Of a network of the readout's classes; all six, uncalibrated, where nobody says otherwise."""
    readout = readout or Readout.uncalibrated(CLASSES)
    classes = readout.classes
    if population == "positives":
        classes = tuple(c for c in classes if c is not Subtype.ANY)
        readout = Readout.uncalibrated(classes)
    recipe = SliceRecipe(
        name="tiny",
        title="Tiny",
        input=InputSpec(windows=(BRAIN,), size=128, neighbours=neighbours, neighbour_spacing=spacing),
        population=Population.model_validate({"slices": population}),
        classes=classes,
    )
    return Manifest(
        title="Tiny",
        made_with={"ichnos": "0"},
        recipe=recipe,
        readout=readout,
        population="made up",
        data=None,
        fitted_on=None,
        scorecard=None,
        licence="Apache-2.0",
        digests={},
    )


def slices(*means: float, matrix: int = 512) -> NDArray[np.int16]:
    """A slice of even HU for each mean."""
    return np.stack([np.full((matrix, matrix), mean, dtype=np.int16) for mean in means])


def exam(*means: float, matrix: int = 512, apart: float = 5.0) -> Exam:
    """The same as an exam that nobody has judged to be a head; apart: mm between its slices."""
    places = np.arange(len(means)) * apart
    return Exam(
        hu=slices(*means, matrix=matrix),
        offsets=places,
        pixel_spacing=(0.45, 0.45),
        positions=np.column_stack([np.zeros((len(means), 2)), places]),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        references=(SliceReference(Path()),) * len(means),
        source=SourceKind.NIFTI,
    )


def patchwork(classes: int = 6, neighbours: int = 0) -> onnx.ModelProto:
    """Logit k = a weighted sum of the mean HU of 4×4 cells: a slice that is turned, mirrored or another one differs.

    neighbours: the cells of as many slices to each side count too, so that another order or another neighbour shows.
    """
    shown = 1 + 2 * neighbours
    weights = np.random.default_rng(5).normal(size=(16 * shown, classes)).astype(np.float32)
    slices = "slices"
    inputs = [helper.make_tensor_value_info("hu", TensorProto.INT16, ["slices_shown", 512, 512])]
    own = [
        helper.make_node("Identity", ["cells"], ["features"]),
        helper.make_node("Identity", ["pooled"], ["plane_maps"]),
    ]
    if neighbours:
        inputs.append(helper.make_tensor_value_info("stacks", TensorProto.INT64, [slices, shown]))
        own = [
            helper.make_node("Gather", ["stacks", "middle"], ["self"], axis=1),
            helper.make_node("Gather", ["cells", "self"], ["features"], axis=0),
            helper.make_node("Gather", ["pooled", "self"], ["plane_maps"], axis=0),
            helper.make_node("Gather", ["above_air_each", "stacks"], ["stacked"], axis=0),
        ]
    else:
        own.append(helper.make_node("Identity", ["above_air_each"], ["stacked"]))
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Cast", ["hu"], ["x"], to=TensorProto.FLOAT),
                helper.make_node("Unsqueeze", ["x", "one"], ["plane"]),
                helper.make_node("AveragePool", ["plane"], ["pooled"], kernel_shape=[128, 128], strides=[128, 128]),
                helper.make_node("Flatten", ["pooled"], ["cells"], axis=1),
                helper.make_node("Add", ["cells", "thousand"], ["above_air_each"]),
                *own,
                helper.make_node("Flatten", ["stacked"], ["above_air"], axis=1),
                helper.make_node("MatMul", ["above_air", "weights"], ["sums"]),
                helper.make_node("Mul", ["sums", "gain"], ["logits"]),
                helper.make_node("Relu", ["plane_maps"], ["warm"]),
                helper.make_node("Tile", ["warm", "repeats"], ["maps"]),
            ],
            "patchwork",
            inputs,
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, [slices, classes]),
                helper.make_tensor_value_info("features", TensorProto.FLOAT, [slices, 16]),
                helper.make_tensor_value_info("maps", TensorProto.FLOAT, [slices, classes, 4, 4]),
            ],
            [
                numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
                numpy_helper.from_array(np.array(neighbours, dtype=np.int64), "middle"),
                numpy_helper.from_array(np.array([1, classes, 1, 1], dtype=np.int64), "repeats"),
                numpy_helper.from_array(np.array(1000, dtype=np.float32), "thousand"),
                numpy_helper.from_array(np.array(1e-3, dtype=np.float32), "gain"),
                numpy_helper.from_array(weights, "weights"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
