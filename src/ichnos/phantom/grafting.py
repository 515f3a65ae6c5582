"""The phantom's lesions drawn into a real exam without hemorrhage, inside its own skull, with masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ichnos.phantom.brain import Brain
from ichnos.phantom.cohort import SHARE_BLEEDS, VISIBLE_MM2
from ichnos.phantom.fields import Field
from ichnos.phantom.lesions import Lesion, draw_lesions
from ichnos.phantom.lesions.intraparenchymal import Intraparenchymal
from ichnos.phantom.morphology import from_nearest
from ichnos.phantom.real_head import RealHead
from ichnos.phantom.slices import OEDEMA_HU, meets
from ichnos.subtypes import SUBTYPES, Subtype

_AS_WELL = 0.12
"""The chance of each further subtype beside the first."""

_BLUR_MM = 0.7
"""What is finer than this in a slice is its noise, and stays on the blood."""

_LEAST_PUSH_MM = 0.3


@dataclass(frozen=True, eq=False)
class Grafted:
    """The slices of an exam that lesions changed.

    rows: which; hu: (n, rows, columns) int16; masks: the same, uint8, bit k set where
    SUBTYPES[k] bleeds; labels: (n, 5) bool. A slice whose blood is too little to label has none set.
    """

    rows: NDArray[np.int64]
    hu: NDArray[np.int16]
    masks: NDArray[np.uint8]
    labels: NDArray[np.bool_]


def draw_grafts(rng: np.random.Generator, head: RealHead, subtypes: Sequence[Subtype]) -> list[Lesion]:
    """Lesions for a head: one of the subtypes, and now and then a second one."""
    first = subtypes[int(rng.integers(len(subtypes)))]
    others = [s for s in subtypes if s != first and rng.random() < _AS_WELL]
    return draw_lesions(rng, head.patient, frozenset((first, *others)))


def graft(head: RealHead, hu: NDArray[np.int16], spacing: tuple[float, float], lesions: Sequence[Lesion]) -> Grafted:
    """Draw lesions into the slices that `head` was found in, hu (slices, rows, columns), which stay as they are.

    spacing: mm between rows and between columns.
    """
    rows: list[int] = []
    slices: list[NDArray[np.int16]] = []
    masks: list[NDArray[np.uint8]] = []
    for row, brain in zip(head.slices, head.brains, strict=True):
        here = [lesion for lesion in lesions if meets(lesion, brain.skull.z)]
        if not here:
            continue
        drawn = _draw(brain, here, hu[row][head.box], head.step, spacing)
        if drawn is not None:
            changed, mask = hu[row].copy(), np.zeros(hu.shape[1:], np.uint8)
            changed[head.box], mask[head.box] = drawn
            rows.append(row)
            slices.append(changed)
            masks.append(mask)
    shape = (0, *hu.shape[1:])
    mask = np.stack(masks) if masks else np.zeros(shape, np.uint8)
    areas = [np.count_nonzero(mask >> k & 1, axis=(1, 2)) * spacing[0] * spacing[1] for k in range(len(SUBTYPES))]
    labels = np.stack(areas, axis=1) >= VISIBLE_MM2
    labelled = (labels << np.arange(len(SUBTYPES))).sum(axis=1).astype(np.uint8)
    return Grafted(
        np.array(rows, np.int64),
        np.stack(slices) if slices else np.zeros(shape, np.int16),
        mask & labelled[:, None, None],  # a trace that is too small to be labelled teaches nothing against its label
        labels,
    )


def _draw(
    brain: Brain, lesions: Sequence[Lesion], hu: NDArray[np.int16], step: int, spacing: tuple[float, float]
) -> tuple[NDArray[np.int16], NDArray[np.uint8]] | None:
    shares = [lesion.coverage(brain) * brain.inside for lesion in lesions]
    if max(float(share.max()) for share in shares) < SHARE_BLEEDS:
        return None
    image = _pushed(brain, lesions, hu.astype(np.float32), step)
    noise = image - ndimage.gaussian_filter(image, (_BLUR_MM / spacing[0], _BLUR_MM / spacing[1]))
    noise = np.clip(noise, -25.0, 25.0)
    for lesion in lesions:
        if isinstance(lesion, Intraparenchymal):
            _paint(image, _fine(lesion.oedema(brain) * brain.inside, step, hu.shape), OEDEMA_HU + noise)
    mask = np.zeros(hu.shape, np.uint8)
    for lesion, share in zip(lesions, shares, strict=True):
        fine = _fine(share, step, hu.shape)
        _paint(image, fine, _fine(lesion.density.on(brain), step, hu.shape) + noise)
        mask |= (fine >= SHARE_BLEEDS).astype(np.uint8) << SUBTYPES.index(lesion.subtype)
    return np.rint(image).astype(np.int16), mask


def _pushed(brain: Brain, lesions: Sequence[Lesion], hu: Field, step: int) -> Field:
    """The brain moved aside by the lesions' masses; skull and what lies outside stay where they are."""
    masses = [lesion.mass for lesion in lesions if lesion.mass is not None]
    if not masses:
        return hu
    skull, plane = brain.skull, brain.plane
    pushes = [mass.push(skull.x, skull.y, skull.z) for mass in masses]
    x, y = (np.sum([push[axis] for push in pushes], axis=0) for axis in (0, 1))
    if float(np.max(np.hypot(x, y) * brain.inside)) < _LEAST_PUSH_MM:
        return hu
    down, across = plane.down[:2], plane.across[:2]
    by_rows = (x * down[0] + y * down[1]) / float(down @ down) * step
    by_columns = (x * across[0] + y * across[1]) / float(across @ across) * step
    share = _fine(np.clip(brain.skull.depth, 0.0, 2.0) * 0.5, step, hu.shape)
    rows, columns = np.indices(hu.shape, dtype=np.float32)
    source = [rows - _fine(by_rows, step, hu.shape), columns - _fine(by_columns, step, hu.shape)]
    brain_alone = from_nearest(hu, _fine(skull.depth, step, hu.shape) > 1.0)
    moved = np.asarray(ndimage.map_coordinates(brain_alone, source, order=1, mode="nearest"))
    return hu + share * (moved - hu)


def _paint(image: Field, share: Field, value: Field) -> None:
    image += share * (value - image)


def _fine(coarse: Field, step: int, shape: tuple[int, ...]) -> Field:
    """From the grid to the exam's pixels, bilinear; a block's value stands at its middle."""
    if step == 1:
        return coarse.astype(np.float32)
    rows, columns = (_taps(n, step, m) for n, m in zip(shape, coarse.shape, strict=True))
    return rows @ coarse.astype(np.float32) @ columns.T


def _taps(fine: int, step: int, coarse: int) -> Field:
    places = np.clip((np.arange(fine) + 0.5) / step - 0.5, 0, coarse - 1)
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(coarse)[None, :])).astype(np.float32)
