"""The engine: a bundle's network on ONNX Runtime, any number of slices in the memory of a few."""

import os
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ichnos.errors import BundleError, InputError
from ichnos.inference.bundle import Bundle
from ichnos.inputs import MATRIX

BATCH_SIZE = 6
"""Slices at once: more are no faster on a CPU, and their feature maps leave its caches."""


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """What the network says of n slices. All float32."""

    logits: NDArray[np.float32]
    """(n, outputs)."""
    features: NDArray[np.float32]
    """(n, features): the last feature map's mean over positions."""
    maps: NDArray[np.float32]
    """(n, outputs, h, w): exact Grad-CAM of each output, ≥ 0."""


class Engine:
    """An open network. Threads may share it."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """threads: None, one for each core that this process may use. Raises BundleError where it cannot be opened."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # its warnings are about graphs, not about exams; errors are raised
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread burns no core
        try:
            self._session = ort.InferenceSession(bundle.network, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise BundleError(f"ONNX Runtime cannot open the bundle's network: {_first_line(error)}") from error
        self._outputs = len(bundle.manifest.readout.classes)
        self._check_interface()

    def run(self, hu: NDArray[np.int16]) -> EngineOutput:
        """int16 HU (n, 512, 512) → logits, features and maps of every slice.

        Raises InputError where `hu` is something else, BundleError where the network answers with no numbers.
        """
        if hu.ndim != 3 or hu.shape[1:] != (MATRIX, MATRIX) or hu.dtype != np.int16 or not len(hu):
            raise InputError(f"the network takes int16 HU (slices, {MATRIX}, {MATRIX}), got {hu.dtype} {hu.shape}")
        parts = [self._batch(hu[start : start + BATCH_SIZE]) for start in range(0, len(hu), BATCH_SIZE)]
        logits, features, maps = (np.concatenate(each) for each in zip(*parts, strict=True))
        if logits.shape != (len(hu), self._outputs) or not np.isfinite(logits).all():
            raise BundleError("the bundle's network gives no finite numbers for its classes: it is damaged or not ours")
        return EngineOutput(logits, features, maps)

    def _batch(self, hu: NDArray[np.int16]) -> tuple[NDArray[np.float32], ...]:
        try:
            outputs = self._session.run(["logits", "features", "maps"], {"hu": np.ascontiguousarray(hu)})
        except Exception as error:
            raise BundleError(f"ONNX Runtime cannot run the bundle's network: {_first_line(error)}") from error
        return tuple(np.asarray(output, dtype=np.float32) for output in outputs)

    def _check_interface(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [(i.name, i.type, i.shape[1:]) for i in inputs] != [("hu", "tensor(int16)", [MATRIX, MATRIX])]:
            raise BundleError(f"the bundle's network must take `hu`, int16 (slices, {MATRIX}, {MATRIX}); it does not")
        if {"logits", "features", "maps"} - {o.name for o in outputs}:
            raise BundleError("the bundle's network must give `logits`, `features` and `maps`; it does not")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
