"""Tiny networks of exams with a bundle's interface, made with onnx alone, and manifests of recipes that have one."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ichnos.inference.manifest import Manifest
from ichnos.recipe import ExamRecipe
from tests.inference.networks import manifest


def tilted(
    classes: int = 6, *, per_mm: float = 0.1, features: int = 1, output: str = "answers", outputs: int | None = None
) -> onnx.ModelProto:
    """answers = logits + per_mm · offset: higher slices say more. Features are taken and not looked at."""
    slices = "slices"
    nodes = [
        helper.make_node("Mul", ["offsets", "per_mm"], ["tilt"]),
        helper.make_node("Unsqueeze", ["tilt", "one"], ["column"]),
        helper.make_node("Add", ["logits", "column"], ["all"]),
        helper.make_node("Slice", ["all", "zero", "wanted", "one"], [output]),
    ]
    inputs = {"features": [slices, features], "logits": [slices, classes], "offsets": [slices]}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "tilted",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [slices, outputs or classes])],
            [
                numpy_helper.from_array(np.array(per_mm, dtype=np.float32), "per_mm"),
                numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
                numpy_helper.from_array(np.array([0], dtype=np.int64), "zero"),
                numpy_helper.from_array(np.array([outputs or classes], dtype=np.int64), "wanted"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def exam_manifest(**head: Any) -> Manifest:
    """Of a network of exams over the tiny network of slices, whose maps have 4 × 4 cells."""
    told = manifest()
    recipe = ExamRecipe.model_validate(
        {"name": "tiny_exam", "title": "Tiny exam", "slices": told.recipe.model_dump(mode="json"), "head": head}
    )
    tree = told.model_dump(mode="json") | {"recipe": recipe.model_dump(mode="json"), "version": 5, "map_side": 4}
    return Manifest.model_validate(tree)
