"""What a trained slice stage says of whole exams, in torch, as its exported graph says it."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part
from ichnos.files import replacing
from ichnos.inputs import neighbour_stacks, to_matrix
from ichnos.models.export import Graph
from ichnos.progress import Progress
from ichnos.recipe import InputSpec, Population
from ichnos.subtypes import Subtype
from ichnos.training.devices import choose
from ichnos.training.exam_slices import ExamSlices, part_fingerprint
from ichnos.training.memory import told_without_room
from ichnos.workflows.trained_model import Trained

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData

_AT_ONCE = 16
"""Slices that the graph is shown together."""

_WHOLE = Population(slices="all")
"""Exams are seen whole."""

Said = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None]
"""Logits, features and, where they are wanted, maps."""


def exam_slices(
    slices: Trained,
    data: "OpenData",
    part: Part,
    progress: Progress,
    *,
    maps: bool,
    kept: Path | None = None,
    device: str = "auto",
) -> ExamSlices:
    """The exams of one part as the slice stage sees them, class maps too where they are wanted.

    kept: a file of `keep`, which is taken where it was made by the same weights of the same slices.
    """
    rows, starts, offsets = _in_order(data, part)
    labels = data.prepared.labels_of(slices.recipe.classes)[rows]
    made_by = slices.digest()
    said = _kept(kept, _key(data.prepared, part_fingerprint(rows, labels, made_by), maps=maps))
    if said is None:
        graph = slices.graph().to(choose(device, "32-true").device)
        said = _said(graph, slices.recipe.widest, data.prepared, (rows, starts, offsets), progress, maps=maps)
    logits, features, class_maps = said
    return ExamSlices(rows, starts, offsets, labels, features, logits, class_maps, made_by)


def ordered_slices(
    classes: tuple[Subtype, ...], data: "OpenData", part: Part
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of the set in the order of ExamSlices, and their labels."""
    rows, _, _ = _in_order(data, part)
    return rows, data.prepared.labels_of(classes)[rows]


def keep(path: Path, slices: ExamSlices, prepared: PreparedSet) -> None:
    """Write what the slice stage says of a part, so that heads are trained without asking it again. 5 KB a slice for
    EfficientNet-B0. Raises OutputError."""
    key = _key(prepared, slices.fingerprint(), maps=slices.maps is not None)
    tensors = {"logits": slices.logits, "features": slices.features}
    if slices.maps is not None:
        tensors["maps"] = slices.maps
    if _kept(path, key) is None:
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors, metadata={"ichnos": json.dumps({"key": key})}))


def said_of_exam(
    graph: Graph,
    road: InputSpec,
    hu: Mapping[int, NDArray[np.int16]] | Sequence[NDArray[np.int16]],
    offsets: NDArray[np.floating],
    *,
    places: NDArray[np.intp] | None = None,
    maps: bool,
) -> Said:
    """What a graph says of one exam's slices, from foot to head. road: the input road that shows most neighbours.

    places: those that are asked for, of which `hu` must hold the slices and what is shown beside them; None: all.
    """
    device = next(graph.parameters()).device
    stacks = neighbour_stacks(road, offsets)
    stacks = stacks if places is None else stacks[places]
    parts: list[list[NDArray[np.float32]]] = []
    for start in range(0, len(stacks), _AT_ONCE):
        shown, which = np.unique(stacks[start : start + _AT_ONCE], return_inverse=True)
        batch = torch.from_numpy(np.stack([to_matrix(hu[int(i)]) for i in shown])).to(device)
        beside = torch.from_numpy(which.reshape(-1, stacks.shape[1]).astype(np.int64)).to(device)
        with told_without_room("prediction", f"{_AT_ONCE} slices at a time", device), torch.inference_mode():
            answers = graph(batch, beside) if road.neighbours else graph(batch)
        parts.append([answer.float().cpu().numpy() for answer in answers[: 3 if maps else 2]])
    logits, features, *class_maps = (np.concatenate(each) for each in zip(*parts, strict=True))
    return logits, features, class_maps[0] if class_maps else None


def _in_order(data: "OpenData", part: Part) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the set exam by exam, each from foot to head; where each exam begins; and the slices' places."""
    rows = data.rows(_WHOLE, part)
    offsets = data.prepared.index["offset"].to_numpy().astype(np.float64)[rows]
    exam = np.unique(data.prepared.exams[rows], return_inverse=True)[1]
    order = np.lexsort((offsets, exam))
    counts = np.bincount(exam) if len(rows) else np.empty(0, dtype=np.int64)
    return rows[order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), offsets[order]


def _said(
    graph: Graph,
    road: InputSpec,
    prepared: PreparedSet,
    ordered: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    progress: Progress,
    *,
    maps: bool,
) -> Said:
    rows, starts, offsets = ordered
    parts: list[Said] = []
    with progress.task("What the slice stage says", len(rows)) as task:
        for first, end in pairwise(starts):
            hu = [prepared.hu(int(row)) for row in rows[first:end]]
            parts.append(said_of_exam(graph, road, hu, offsets[first:end], maps=maps and graph.map_side > 0))
            task.advance(end - first)
    if not parts:
        return np.empty((0, 0), np.float32), np.empty((0, 0), np.float32), None
    logits, features = np.concatenate([said[0] for said in parts]), np.concatenate([said[1] for said in parts])
    class_maps = [said[2] for said in parts if said[2] is not None]
    return logits, features, np.concatenate(class_maps) if class_maps else None


def _kept(path: Path | None, key: str) -> Said | None:
    """None where there is no such file, it is damaged, or it holds something else."""
    if path is None or not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            if json.loads((file.metadata() or {}).get("ichnos", "{}")).get("key") != key:
                return None
            there = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError):
        return None
    return there["logits"], there["features"], there.get("maps")


def _key(prepared: PreparedSet, fingerprint: str, *, maps: bool) -> str:
    """The set is in it for its pixels."""
    return f"{prepared.header.fingerprint} {fingerprint}{' maps' if maps else ''}"
