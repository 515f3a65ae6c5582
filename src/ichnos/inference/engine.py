"""The engine: a bundle's network on ONNX Runtime, any number of slices in the memory of a few."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ichnos.errors import BundleError, InferenceError, InputError
from ichnos.inference.bundle import Bundle
from ichnos.inference.exam_network import ExamEngine, SliceAnswers
from ichnos.inputs import MATRIX, neighbour_stacks, to_matrix
from ichnos.processes import cores

BATCH_PIXELS = 2 * 224 * 224
"""Of the network's input, that a core takes at once. More are slower on a CPU, as their feature maps leave its caches,
and cost memory: 36 slices of EfficientNet-B0 at 224 px take 0.43 s of a core in twos, 0.46 s in fours, 0.53 s all at
once."""


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """What the network says of n slices. All float32."""

    logits: NDArray[np.float32]
    """(n, outputs); the network of exams', where the bundle has one."""
    features: NDArray[np.float32]
    """(n, features): the last feature map's mean over positions."""
    maps: NDArray[np.float32] | None
    """(n, outputs, h, w): exact Grad-CAM of each output, ≥ 0, of several networks or views the mean of each one's own;
    None where the network has no class maps."""


class Engine:
    """An open network. Threads may share it.

    Slices are shared out among cores; each core runs its own by itself. So no core waits for another within a layer,
    and the numbers do not depend on how many cores there are.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """threads: None, one for each core that this process may use. Raises BundleError where it cannot be opened."""
        self._session = open_network(bundle.network, "the bundle's network")
        self._threads = threads or cores()
        self._outputs = len(bundle.manifest.readout.classes)
        self._slice_logits = bundle.manifest.slice_logits
        self._input = bundle.manifest.recipe.widest
        self._wanted = ["logits", "features", *(["maps"] if bundle.manifest.has_maps else [])]
        largest = max(stage.input.size for stage in bundle.manifest.recipe.stages.values())
        self._batch_size = max(1, BATCH_PIXELS // largest**2)
        self._check_interface()
        self._exams = None
        if bundle.exam_network is not None:
            opened = open_network(bundle.exam_network, "the bundle's network of exams")
            self._exams = ExamEngine(opened, bundle.manifest.exam_inputs, self._outputs)

    def run(
        self, hu: NDArray[np.int16] | Sequence[NDArray[np.int16]], offsets: NDArray[np.floating] | None = None
    ) -> EngineOutput:
        """int16 HU of any matrix, slices of one exam from foot to head → logits, features and maps of every slice.

        offsets: mm along the slice normal, by which a slice's neighbours are found; None: the spacing that the network
        was trained for. Raises InputError where a slice is no HU, InferenceError where the network answers with
        no numbers.
        """
        if not len(hu):
            raise InputError("there are no slices to run the network on")
        if offsets is None:
            offsets = np.arange(len(hu)) * self._input.neighbour_spacing
        stacks = neighbour_stacks(self._input, offsets)
        batches = [stacks[start : start + self._batch_size] for start in range(0, len(hu), self._batch_size)]
        run = partial(self._batch, hu)
        if self._threads == 1 or len(batches) == 1:
            parts = [run(batch) for batch in batches]
        else:
            with ThreadPoolExecutor(min(self._threads, len(batches)), "ichnos-engine") as pool:
                parts = list(pool.map(run, batches))
        logits, features, *maps = (np.concatenate(each) for each in zip(*parts, strict=True))
        if logits.shape != (len(hu), self._slice_logits) or not np.isfinite(logits).all():
            raise InferenceError(
                "the bundle's network gives no finite numbers for its classes: it is damaged or not ours"
            )
        said = SliceAnswers(logits, features, maps[0] if maps else None)
        if self._exams is not None:
            logits = self._exams.run(said, offsets)
        return EngineOutput(logits, said.features, said.maps)

    def _batch(
        self, hu: NDArray[np.int16] | Sequence[NDArray[np.int16]], stacks: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], ...]:
        shown, places = np.unique(stacks, return_inverse=True)
        inputs: dict[str, NDArray[np.generic]] = {"hu": np.stack([_square(hu[i]) for i in shown])}
        if self._input.neighbours:
            inputs["stacks"] = places.reshape(stacks.shape).astype(np.int64)
        try:
            outputs = self._session.run(self._wanted, inputs)
        except Exception as error:
            raise InferenceError(f"ONNX Runtime cannot run the bundle's network: {_first_line(error)}") from error
        return tuple(np.asarray(output, dtype=np.float32) for output in outputs)

    def _check_interface(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        wanted = [("hu", "tensor(int16)", [MATRIX, MATRIX])]
        if self._input.neighbours:
            wanted.append(("stacks", "tensor(int64)", [1 + 2 * self._input.neighbours]))
        if [(i.name, i.type, i.shape[1:]) for i in inputs] != wanted:
            said = " and ".join(f"`{name}`, {kind} (n, {', '.join(map(str, rest))})" for name, kind, rest in wanted)
            raise BundleError(f"the bundle's network must take {said}; it does not")
        if {*self._wanted} - {o.name for o in outputs}:
            *first, last = (f"`{name}`" for name in self._wanted)
            raise BundleError(f"the bundle's network must give {', '.join(first)} and {last}; it does not")


def open_network(network: bytes, name: str) -> ort.InferenceSession:
    """A session of one thread: cores share out slices, not layers. name: what to call it where it cannot be opened.

    Raises BundleError.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # its warnings are about graphs, not about exams; errors are raised
    try:
        return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise BundleError(f"ONNX Runtime cannot open {name}: {_first_line(error)}") from error


def _square(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    if not isinstance(hu, np.ndarray) or hu.dtype != np.int16:
        raise InputError(f"a slice is an array of int16 Hounsfield units, got {getattr(hu, 'dtype', type(hu))}")
    return to_matrix(hu)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
