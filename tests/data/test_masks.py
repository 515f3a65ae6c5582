"""A set's masks at a network's size: on its slices' road, sparse, and made anew where they do not match."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ichnos.ct import UNSAID, LabelledExam
from ichnos.ct.windows import Window
from ichnos.data import masks as module
from ichnos.data.masks import EMPTY, NO_MASK, Masks, mask_at, open_masks
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources import ExamReference
from ichnos.inputs import to_planes
from ichnos.progress import SILENT
from ichnos.recipe import InputSpec, Normalisation
from tests.data.in_memory import InMemorySource


@dataclass(frozen=True)
class Masked(InMemorySource):
    """Exam e001 with a mask on each slice, empty on those without blood; the others have none. See also its parent."""

    def read(self, reference: ExamReference) -> LabelledExam:
        exam = super().read(reference)
        if reference.exam != "e001":
            return replace(exam, slices=tuple(replace(each, mask=None) for each in exam.slices))
        marked: list[np.ndarray] = []
        for k, each in enumerate(exam.slices):
            mask = np.zeros(each.hu.shape, np.uint8)
            if each.labels.any():
                mask[4:12, 8 + k : 24] = 2
                mask[20:28, 4:8] = 1 << UNSAID
            marked.append(mask)
        return replace(exam, slices=tuple(replace(s, mask=m) for s, m in zip(exam.slices, marked, strict=True)))


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedSet:
    return prepare(Masked(exams=4, slices=5), tmp_path / "set", SILENT, workers=1)


def test_they_know_of_each_slice_whether_it_has_one(prepared: PreparedSet):
    masks = open_masks(prepared, 32, SILENT)
    assert len(masks) == 20
    assert masks.known(np.arange(20)).tolist() == [5 <= row < 10 for row in range(20)]
    assert masks.places[5:10].tolist() == [EMPTY, EMPTY, 0, 1, 2]
    for row, bits in zip(range(20), masks[np.arange(20)], strict=True):
        own = prepared.mask(row)
        np.testing.assert_array_equal(bits, np.zeros((32, 32)) if own is None else own)


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (512, 512)])
def test_a_mask_takes_its_slices_road(shape: tuple[int, int]):
    """Blood at 80 HU in air, seen by a window that makes it white: the mask at size is where it is at least grey."""
    mask = np.zeros(shape, np.uint8)
    mask[shape[0] // 8 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = 1
    mask[shape[0] // 8 : shape[0] // 4, shape[1] // 2 : shape[1] * 3 // 4] = 1
    hu = np.where(mask == 1, 80, -1000).astype(np.int16)
    spec = InputSpec(windows=(Window(-460, 1080),), size=32, normalisation=Normalisation.UNIT)
    white = to_planes(spec, hu)[0] / 255
    small = mask_at(mask, 32)
    clear = np.abs(white - 0.5) > 0.05  # the slice is rounded to HU at 512 × 512 on its way
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(small[clear] == 1, white[clear] > 0.5)
    assert small.any()
    np.testing.assert_array_equal(mask_at(mask * np.uint8(1 << UNSAID), 32), small * np.uint8(1 << UNSAID))


def test_they_are_made_once_and_anew_where_they_do_not_match(prepared: PreparedSet, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []
    real = module._build

    def build(*arguments: object) -> None:
        made.append(1)
        real(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(module, "_build", build)
    first = open_masks(prepared, 16, SILENT)[np.arange(20)]
    np.testing.assert_array_equal(open_masks(prepared, 16, SILENT)[np.arange(20)], first)
    assert len(made) == 1
    header = prepared.path / "caches" / "masks-16" / "header.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"masks": "of another preparation"}))
    np.testing.assert_array_equal(open_masks(prepared, 16, SILENT)[np.arange(20)], first)
    assert len(made) == 2


def test_a_set_without_masks_gives_none_and_writes_nothing(tmp_path: Path):
    prepared = prepare(Masked(exams=1, slices=5), tmp_path / "set", SILENT, workers=1)
    masks = open_masks(prepared, 32, SILENT)
    assert (len(masks), masks.known(np.arange(5)).any()) == (5, False)
    assert not masks[np.arange(5)].any()
    assert not (prepared.path / "caches").exists()


def test_more_behind_them_and_a_selection():
    one = Masks(np.full((1, 4, 4), 1, np.uint8), np.array([NO_MASK, 0]))
    two = Masks(np.full((2, 4, 4), 2, np.uint8) * np.array([1, 2], np.uint8)[:, None, None], np.array([1, EMPTY, 0]))
    both = one.and_then(two)
    assert both[np.arange(5)].max(axis=(1, 2)).tolist() == [0, 1, 4, 0, 2]
    assert both.known(np.arange(5)).tolist() == [False, True, True, True, True]
    assert both.of(np.array([4, 0]))[np.arange(2)].max(axis=(1, 2)).tolist() == [2, 0]
