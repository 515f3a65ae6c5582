"""Synthetic lesions in a set's exams without hemorrhage, as planes beside a cache: made once, kept with the set."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ichnos.data.cache import CACHE_VERSION, SliceCache
from ichnos.data.images import Images, JoinedImages, StackedImages
from ichnos.data.masks import EMPTY, Masks, mask_at
from ichnos.data.set import LABEL_COLUMNS, PreparedSet
from ichnos.errors import InputError, SetError
from ichnos.files import cache_folder, can_be_written, explained, locked, replacing, write_json, write_parquet
from ichnos.inputs import neighbour_stacks, to_planes
from ichnos.phantom.grafting import draw_grafts, graft
from ichnos.phantom.real_head import find_head
from ichnos.processes import in_processes
from ichnos.progress import Progress
from ichnos.recipe import InputSpec, Synthetic
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype

GRAFTS_VERSION = 2
"""Raised whenever other lesions, or the same ones elsewhere, come of the same set and settings."""

_SCHEMA: dict[str, Any] = {
    "copy": pl.Int32,
    "row": pl.Int64,
    **dict.fromkeys(LABEL_COLUMNS, pl.Boolean),
}


@dataclass(frozen=True, eq=False)
class Grafts:
    """Slices that lesions were drawn into.

    images: (n, planes, size, size) uint8; masks: (n, size, size) uint8, bit k set where SUBTYPES[k] bleeds; both mapped
    from the disk. rows: (n,) the set's row that each was; copies: (n,) which synthetic exam it belongs to; labels:
    (n, 5). A slice whose blood is too little to label has no label, and is no negative either.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    rows: NDArray[np.int64]
    copies: NDArray[np.int64]
    labels: NDArray[np.bool_]


def open_grafts(
    prepared: PreparedSet, spec: InputSpec, synthetic: Synthetic, progress: Progress, workers: int | None = None
) -> Grafts:
    """The synthetic exams of a set for an input road: made, or gone on with, or made anew as need be.

    Raises SetError where the set has no exam without hemorrhage in which a braincase can be found.
    """
    exams = _exams_without(prepared)
    key = {
        "version": [GRAFTS_VERSION, CACHE_VERSION],
        "set": prepared.header.fingerprint,
        "input": spec.cached(),
        "synthetic": synthetic.model_dump(mode="json", exclude={"share"}),
    }
    name = f"synthetic-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}"
    folder = prepared.path / "caches" / name
    if not (folder / "header.json").exists() and not can_be_written(folder):
        folder = cache_folder() / "sets" / prepared.header.fingerprint / name
    if not (folder / "header.json").exists():
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        waiting = partial(progress.message, "another process is drawing the synthetic lesions: waiting for it")
        with locked(folder, before_waiting=waiting), explained(folder):
            if not (folder / "header.json").exists():
                _build(prepared, spec, synthetic, exams, folder, key, progress, workers)
    table = pl.read_parquet(folder / "index.parquet")
    n = len(table)
    if not n:
        raise SetError(
            f"no synthetic lesion could be drawn: the set has {len(exams)} exams without hemorrhage, and no braincase "
            "was found in them; set synthetic=null"
        )
    return Grafts(
        np.memmap(folder / "images.u8", np.uint8, "r", shape=(n, spec.planes, spec.size, spec.size)),
        np.memmap(folder / "masks.u8", np.uint8, "r", shape=(n, spec.size, spec.size)),
        table["row"].to_numpy(),
        table["copy"].to_numpy().astype(np.int64),
        table.select(LABEL_COLUMNS).to_numpy().astype(np.bool_),
    )


@dataclass(frozen=True, eq=False)
class SyntheticSlices:
    """Synthetic exams' slices as a network takes them. images: (n, stacked, S, S); labels: (n, 5); masks: of each."""

    images: Images
    labels: NDArray[np.bool_]
    masks: Masks

    def labels_of(self, classes: tuple[Subtype, ...]) -> NDArray[np.bool_]:
        """(n, len(classes)): the columns of `classes`, `any` being their union."""
        everything = np.column_stack([self.labels, self.labels.any(axis=1)])
        return everything[:, [CLASSES.index(c) for c in classes]]


def synthetic_slices(
    prepared: PreparedSet, spec: InputSpec, cache: SliceCache, grafts: Grafts, rows: NDArray[np.int64]
) -> SyntheticSlices:
    """The slices with a lesion of the synthetic exams made of `rows`, and of each exam the nearest ones without.

    cache: of all slices of the set. Neighbours are those of the synthetic exam, changed ones where lesions reach them.
    """
    exam = _runs(prepared.exams)
    offsets = prepared.index["offset"].to_numpy()
    stacks, labels = [np.empty((0, 1 + 2 * spec.neighbours), np.int64)], [np.empty((0, len(SUBTYPES)), np.bool_)]
    first, counts = np.unique(exam, return_index=True, return_counts=True)[1:]
    mine = np.flatnonzero(np.isin(grafts.rows, rows))
    for changed in np.split(mine, np.flatnonzero(np.diff(grafts.copies[mine])) + 1) if len(mine) else ():
        of = int(exam[grafts.rows[changed[0]]])
        start, count = int(first[of]), int(counts[of])
        shown = np.arange(start, start + count)
        bleeds = np.zeros((count, len(SUBTYPES)), np.bool_)
        at = grafts.rows[changed] - start
        shown[at] = len(prepared.labels) + changed
        bleeds[at] = grafts.labels[changed]
        beside = np.zeros(count, np.bool_)
        beside[(at[:1] - 1).clip(0)] = beside[(at[-1:] + 1).clip(max=count - 1)] = True
        beside[at] = False
        taken = bleeds.any(axis=1) | beside
        stacks.append(shown[neighbour_stacks(spec, offsets[start : start + count])][taken])
        labels.append(bleeds[taken])
    joined = JoinedImages([cache.slices, grafts.images])
    shown_with = np.concatenate(stacks)
    drawn = shown_with[:, spec.neighbours] - len(prepared.labels)  # the slice itself; below 0: left as it was
    masks = Masks(grafts.masks, np.where(drawn >= 0, drawn, EMPTY))
    return SyntheticSlices(StackedImages(joined, shown_with), np.concatenate(labels), masks)


def _exams_without(prepared: PreparedSet) -> list[NDArray[np.int64]]:
    """The rows of each series of the exams in which no slice has a hemorrhage, in the set's order."""
    named = prepared.index["exam"].to_numpy()
    bleeding = np.unique(named[prepared.labels.any(axis=1)])
    rows = np.split(np.arange(len(named)), np.flatnonzero(np.diff(_runs(prepared.exams))) + 1)
    return [each for each in rows if named[each[0]] not in bleeding]


def _runs(names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Numbers from 0, one more at each change of name: a set holds its series one after the other."""
    return np.concatenate([[0], np.cumsum(names[1:] != names[:-1])])


def _build(
    prepared: PreparedSet,
    spec: InputSpec,
    synthetic: Synthetic,
    exams: list[NDArray[np.int64]],
    folder: Path,
    key: dict[str, Any],
    progress: Progress,
    workers: int | None,
) -> None:
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    names = [parts / f"{number:06d}.npz" for number in range(len(exams))]
    todo = [number for number, name in enumerate(names) if not name.exists()]
    with progress.task("Drawing synthetic lesions", len(exams)) as task:
        task.advance(len(exams) - len(todo))
        work = [(number, exams[number], names[number]) for number in todo]
        for _ in in_processes(partial(_draw_exam, prepared, spec, synthetic), work, workers):
            task.advance(1)
    tables: list[pl.DataFrame] = []
    with (
        replacing(folder / "images.u8") as images,
        replacing(folder / "masks.u8") as masks,
        images.open("wb") as image_file,
        masks.open("wb") as mask_file,
    ):
        for number, name in enumerate(names):
            with np.load(name) as part:
                image_file.write(part["images"].tobytes())
                mask_file.write(part["masks"].tobytes())
                copies = (number * synthetic.copies + part["copies"]).astype(np.int32)
                columns = dict(zip(LABEL_COLUMNS, part["labels"].T, strict=True))
                tables.append(pl.DataFrame({"copy": copies, "row": part["rows"], **columns}, schema=_SCHEMA))
    write_parquet(folder / "index.parquet", pl.concat([pl.DataFrame(schema=_SCHEMA), *tables]))
    write_json(folder / "header.json", key)
    shutil.rmtree(parts)


def _draw_exam(
    prepared: PreparedSet, spec: InputSpec, synthetic: Synthetic, work: tuple[int, NDArray[np.int64], Path]
) -> None:
    number, rows, part = work
    drawn = _drawn(prepared, spec, synthetic, number, rows)
    with replacing(part) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **drawn)


def _drawn(
    prepared: PreparedSet, spec: InputSpec, synthetic: Synthetic, number: int, rows: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """All copies of one exam. An exam whose braincase cannot be made out gives none."""
    matrices = prepared.index.select("rows", "columns").to_numpy()[rows]
    rows = rows[(matrices == matrices[0]).all(axis=1)]
    index = prepared.index[rows.tolist()]
    spacing = (float(index["row_spacing"][0]), float(index["column_spacing"][0]))
    hu = np.stack([prepared.hu(int(row)) for row in rows])
    images = [np.empty((0, spec.planes, spec.size, spec.size), np.uint8)]
    masks, labels = [np.empty((0, spec.size, spec.size), np.uint8)], [np.empty((0, len(SUBTYPES)), np.bool_)]
    taken, copies = [rows[:0]], [rows[:0]]
    seed = [synthetic.seed, number]
    try:
        head = find_head(np.random.default_rng(seed), hu, prepared.index["offset"].to_numpy()[rows], spacing)
    except InputError:
        head = None
    for copy in range(synthetic.copies if head is not None else 0):
        assert head is not None
        rng = np.random.default_rng([*seed, copy])
        grafted = graft(head, hu, spacing, draw_grafts(rng, head, synthetic.subtypes))
        if len(grafted.rows):
            images.append(np.stack([to_planes(spec, one) for one in grafted.hu]))
            masks.append(np.stack([mask_at(one, spec.size) for one in grafted.masks]))
            labels.append(grafted.labels)
            taken.append(rows[grafted.rows])
            copies.append(np.full(len(grafted.rows), copy))
    return {
        "images": np.concatenate(images),
        "masks": np.concatenate(masks),
        "labels": np.concatenate(labels),
        "rows": np.concatenate(taken),
        "copies": np.concatenate(copies),
    }
