"""Synthetic lesions in real heads: inside the skull that is there, where the mask says, and in whom they may be."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from ichnos.ct import LabelledExam
from ichnos.data.cache import open_cache
from ichnos.data.grafts import open_grafts
from ichnos.data.preparing import prepare
from ichnos.data.sources.ct_ich import CtIchSource
from ichnos.errors import InputError
from ichnos.phantom.grafting import graft
from ichnos.phantom.lesions import draw_lesions
from ichnos.phantom.real_head import RealHead, find_head
from ichnos.progress import SILENT
from ichnos.recipe import Population, Synthetic
from ichnos.recipes.reader import RECIPE as READER
from ichnos.subtypes import SUBTYPES, Subtype

SOUND, BLEEDING = 62, 50
"""A patient without a hemorrhage, and one with some in 11 of 25 slices: CT-ICH's numbers."""

QUICK = (Subtype.EPIDURAL, Subtype.INTRAVENTRICULAR)

_BONE_HU, _COMPACT_HU = 200, 300
"""Above the first a pixel is bone or of the rim that bone shares with what lies beside it, above the second bone."""

_DIRECTIONS = 16


@pytest.fixture(scope="module")
def two_patients(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CT-ICH with two of its patients."""
    source, root = shared_data / "ct-ich", tmp_path_factory.mktemp("ct-ich")
    (root / "Patients_CT").mkdir()
    for patient in (SOUND, BLEEDING):
        (root / "Patients_CT" / f"{patient:03d}").symlink_to(source / "Patients_CT" / f"{patient:03d}")
    with (source / "hemorrhage_diagnosis.csv").open(encoding="utf-8-sig", newline="") as given:
        header, *rows = csv.reader(given)
    with (root / "hemorrhage_diagnosis.csv").open("w", newline="") as table:
        csv.writer(table).writerows([header, *(row for row in rows if int(row[0]) in (SOUND, BLEEDING))])
    return root


@pytest.fixture(scope="module")
def exam(two_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> LabelledExam:
    """The sound patient's."""
    return exam_of(two_patients, f"{SOUND:03d}", tmp_path_factory.mktemp("scratch"))


def exam_of(root: Path, patient: str, scratch: Path) -> LabelledExam:
    source = CtIchSource(root)
    (reference,) = (each for each in source.scan(SILENT, scratch).exams if each.patient == patient)
    return source.read(reference)


def hu_of(exam: LabelledExam) -> NDArray[np.int16]:
    return np.stack([one.hu for one in exam.slices])


def head_of(exam: LabelledExam) -> RealHead:
    offsets = np.array([one.offset for one in exam.slices])
    return find_head(np.random.default_rng(0), hu_of(exam), offsets, exam.slices[0].pixel_spacing)


@pytest.fixture(scope="module")
def head(exam: LabelledExam) -> RealHead:
    return head_of(exam)


def enclosed(hu: NDArray[np.int16], pixels: NDArray[np.bool_]) -> NDArray[np.int64]:
    """In how many of 16 directions, away to the edge of the slice, some of these pixels meet bone. From a scalp half of
    the directions lead away from the head; it knows nothing of how a braincase is looked for."""
    rows, columns = np.nonzero(pixels)
    some = np.random.default_rng(0).permutation(len(rows))[:200]
    met = np.zeros(len(some), np.int64)
    far = np.arange(1, max(hu.shape))
    for angle in np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS):
        down = np.rint(rows[some, None] + far * np.sin(angle)).astype(int)
        across = np.rint(columns[some, None] + far * np.cos(angle)).astype(int)
        there = (down >= 0) & (down < hu.shape[0]) & (across >= 0) & (across < hu.shape[1])
        bone = hu[down.clip(0, hu.shape[0] - 1), across.clip(0, hu.shape[1] - 1)] > _BONE_HU
        met += (bone & there).any(axis=1)
    return met


@pytest.mark.parametrize("subtype", [pytest.param(s, marks=() if s in QUICK else pytest.mark.slow) for s in SUBTYPES])
def test_a_lesion_lies_in_the_skull_that_is_there(subtype: Subtype, exam: LabelledExam, head: RealHead) -> None:
    hu = hu_of(exam)
    lesions = draw_lesions(np.random.default_rng(1), head.patient, frozenset((subtype,)))
    grafted = graft(head, hu, exam.slices[0].pixel_spacing, lesions)
    assert grafted.labels[:, SUBTYPES.index(subtype)].sum() >= 3
    assert not np.delete(grafted.labels, SUBTYPES.index(subtype), axis=1).any()
    for row, after, mask in zip(grafted.rows, grafted.hu, grafted.masks, strict=True):
        before, bleeds = hu[row], mask > 0
        assert not (bleeds & (before > _COMPACT_HU)).any(), "no blood in bone"
        assert (enclosed(before, bleeds) >= _DIRECTIONS - 1).all(), "a foramen may be looked through"
        change = np.abs(after.astype(np.int32) - before)
        compact = ndimage.binary_erosion(before > _COMPACT_HU, iterations=3)
        assert change[compact].max(initial=0) <= 1, "but for its rim, which blood shares pixels with, bone stays"
        assert not change[ndimage.binary_erosion(before < -500, iterations=3)].any(), "so does the air"


def test_the_mask_says_where_blood_is(exam: LabelledExam, head: RealHead) -> None:
    """Of a lesion that pushes nothing aside: as dense as blood there, and hardly anything else differs."""
    hu = hu_of(exam)
    lesions = draw_lesions(np.random.default_rng(1), head.patient, frozenset((Subtype.INTRAVENTRICULAR,)))
    grafted = graft(head, hu, exam.slices[0].pixel_spacing, lesions)
    bits = (grafted.labels << np.arange(grafted.labels.shape[1])).sum(axis=1)
    assert not (grafted.masks & ~bits.astype(np.uint8)[:, None, None]).any(), "no blood that a label denies"
    before, bleeds = hu[grafted.rows], grafted.masks > 0
    change = np.abs(grafted.hu.astype(np.float64) - before)
    assert change[bleeds].sum() > 0.8 * change.sum(), "the rest is a rim that blood shares with what lies beside it"
    assert np.median(before[bleeds]) < 20, "it was fluid"
    assert 40 < np.median(grafted.hu[bleeds]) < 90, "it is blood"


@pytest.mark.slow
@pytest.mark.parametrize("patient", ["052", "061", "079"])
def test_a_braincase_is_found_in_heads_of_all_ages(patient: str, shared_data: Path, tmp_path: Path) -> None:
    """Of eight, sixty-seven and two years, with hemorrhages or without."""
    found = head_of(exam_of(shared_data / "ct-ich", patient, tmp_path))
    assert len(found.slices) >= 20
    assert 60 < found.patient.half_width < 85
    assert 75 < found.patient.half_length < 105
    for brain in found.brains:
        held = brain.hu[brain.skull.depth > 0]
        assert (held > _BONE_HU).mean() < 0.01
        assert (held < -25).mean() < 0.07, "no air, but for what lies in sinuses beside it"


@pytest.mark.slow
def test_a_newborn_has_too_little_bone_and_it_is_said(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no braincase in the exam: found in 0 of 19 slices"):
        head_of(exam_of(shared_data / "ct-ich", "085", tmp_path))


def test_only_patients_without_hemorrhage_get_lesions(two_patients: Path, tmp_path: Path) -> None:
    """Nor do the slices without blood of one who has some elsewhere."""
    prepared = prepare(CtIchSource(two_patients), tmp_path / "set", SILENT, workers=1)
    positive = prepared.labels.any(axis=1)
    exams = prepared.exams
    assert {exam: (int(positive[exams == exam].sum()), int((exams == exam).sum())) for exam in np.unique(exams)} == {
        "050": (11, 25),
        "062": (0, 23),
    }
    spec = READER.input.model_copy(update={"size": 64, "neighbours": 0})
    drawn = open_grafts(prepared, spec, Synthetic(copies=1), SILENT, workers=1)
    assert set(exams[drawn.rows]) == {"062"}
    assert drawn.labels.any(axis=1).sum() >= 3
    cache = open_cache(prepared, spec, Population(slices="all"), SILENT, workers=1)
    real = cache.images[drawn.rows].astype(np.float64)
    change = np.abs(drawn.images - real).mean(axis=1)
    assert (change.max(axis=(1, 2)) > 0).all(), "each was changed, and is of the row that it is said to be of"
    assert ((change == 0).mean(axis=(1, 2)) > 0.5).all()
    bleeds = drawn.masks > 0
    assert change[bleeds].mean() > 10 * change[~bleeds].mean(), "above all where its mask says"
    shown = np.stack([(drawn.masks >> k & 1).any(axis=(1, 2)) for k in range(len(SUBTYPES))], axis=1)
    assert not (shown & ~drawn.labels).any(), "nothing is marked that is not labelled"
