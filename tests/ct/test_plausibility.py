"""What passes for a head CT: heads that are odd do, other things do not, however they are lit."""

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.ct.plausibility import judge
from ichnos.errors import ExamError
from ichnos.phantom import CohortSettings, PhantomExam, make_exam


@lru_cache(maxsize=8)
def head(number: int) -> PhantomExam:
    return make_exam(CohortSettings(9, 3, {}, 128, (24, 24)), number)


def judged(
    hu: NDArray[np.int16], coverage: float = 160.0, spacing: tuple[float, float] | None = None
) -> tuple[str, ...]:
    return judge(hu.astype(np.int16), spacing or head(0).pixel_spacing, coverage)


@pytest.mark.parametrize("number", range(6))
def test_plain_heads_leave_no_doubt(number: int) -> None:
    assert judge(head(number).hu, head(number).pixel_spacing, 160.0) == ()


@pytest.mark.parametrize(("first", "last"), [(0, 8), (8, 16), (16, 24), (20, 24), (12, 13)])
def test_a_slab_of_a_head_is_doubted_and_read(first: int, last: int) -> None:
    doubts = judged(head(0).hu[first:last], coverage=6.6 * (last - first))
    assert any("a brain is about 130 mm high" in doubt for doubt in doubts)


@pytest.mark.parametrize(("count", "coverage"), [(1, 5.0), (1, 100.0), (2, 105.0), (5, 100.0), (8, 160.0)])
def test_few_slices_are_never_without_a_doubt(count: int, coverage: float) -> None:
    """A thick one, or some far apart: what they cover is not what they show."""
    chosen = np.linspace(8, 16, count).astype(int)
    doubts = judged(head(0).hu[chosen], coverage=coverage)
    assert any("too few to judge a whole exam by" in each or "130 mm high" in each for each in doubts)


def test_a_head_cut_by_its_field_of_view_is_doubted_and_read() -> None:
    doubts = judged(head(0).hu[:, 34:-34, 34:-34])
    assert any("cut off by the edge" in doubt for doubt in doubts)


def test_a_picture_clipped_to_a_window_is_doubted_and_read() -> None:
    doubts = judged(np.clip(head(0).hu, -20, 200))
    assert any("no air is in the picture" in doubt for doubt in doubts)


def test_an_infant_is_read() -> None:
    """A skull thin and soft, and brain nearer to water."""
    hu = head(0).hu.astype(int)
    hu = np.where(hu > 200, 220, hu)
    hu = np.where((hu > 0) & (hu < 100), hu - 8, hu)
    assert judged(hu.astype(np.int16), spacing=(1.2, 1.2), coverage=110) == ()


def test_a_craniectomy_is_read() -> None:
    hu = head(0).hu.copy()
    side = hu[:, :, 64 + 18 :]
    side[(side > 150) & (np.mgrid[: side.shape[1], : side.shape[2]][0] < 60)] = 40
    assert judged(hu) == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda hu: hu + 1000, "not a head CT"),
        (lambda hu: hu + 300, "not a head CT"),
        (lambda hu: hu // 2, "not a head CT"),
        (lambda hu: np.where(hu > -900, hu + 60, hu), "not a head CT"),
        (lambda hu: -hu, "not a head CT"),
        (lambda hu: np.where(hu > 80, 40, hu), "no skull"),
        (lambda hu: np.full_like(hu, -1000), "every pixel has the same value"),
        (lambda hu: np.where(hu > 150, hu, -1000), "not a head CT"),
        (lambda hu: np.where((hu > -50) & (hu < 120), -90, hu), "has the HU of brain"),
        (lambda hu: np.random.default_rng(0).normal(-1000, 10, hu.shape), "next to no tissue"),
    ],
    ids=["lifted", "raised", "halved", "dense", "inverted", "skull-less", "empty", "bones", "fat", "air"],
)
def test_what_is_no_head_in_hu_is_refused(change, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ExamError, match=reason):
        judged(change(head(0).hu.astype(int)))


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (2.2, "a head at most 420"),
        (1.5, "a head at most 420"),
        (0.28, "newborn"),
        (0.2, "not a head CT"),
        (0.12, "the picture measures"),
    ],
)
def test_a_body_of_another_size_is_refused(size: float, reason: str) -> None:
    row, column = head(0).pixel_spacing
    with pytest.raises(ExamError, match=reason):
        judged(head(0).hu, spacing=(row * size, column * size))


def test_a_head_holder_as_dense_as_bone_is_no_skull() -> None:
    """Between it and the skin is air, as a patient of CT-ICH lies."""
    hu = head(0).hu.copy()
    y, x = np.mgrid[: hu.shape[1], : hu.shape[2]] - (hu.shape[1] - 1) / 2
    holder = np.abs(np.hypot(y, x) * head(0).pixel_spacing[0] - 112) < 3
    hu[:, holder & (y > -20)] = 900
    assert judged(hu) == ()


def test_a_small_head_that_the_picture_cuts_off_is_no_infants() -> None:
    doubts = judged(head(0).hu[:, 38:-38, 38:-38], spacing=(0.9, 0.9))
    assert any("cut off by the edge" in each for each in doubts)
    assert not any("born early" in each for each in doubts)


@pytest.mark.parametrize(("size", "doubt"), [(1.3, "more than heads do"), (0.4, "of a child born early")])
def test_a_head_of_an_odd_size_is_doubted_and_read(size: float, doubt: str) -> None:
    row, column = head(0).pixel_spacing
    assert any(doubt in each for each in judged(head(0).hu, spacing=(row * size, column * size)))


def ellipse(rows: float, columns: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:128, :128] - 63.5
    return (y / rows) ** 2 + (x / columns) ** 2 <= 1


def test_a_chest_and_a_leg_are_refused() -> None:
    chest = np.full((20, 128, 128), -1000)
    chest[:, ellipse(38, 58)] = -90
    chest[:, ellipse(35, 55)] = 45
    chest[:, ellipse(28, 44)] = -850
    chest[:, ellipse(24, 14)] = 40
    chest[:, 90:104, 56:72] = 400
    with pytest.raises(ExamError, match="not a head CT"):
        judged(chest.astype(np.int16), spacing=(2.8, 2.8))
    leg = np.full((20, 128, 128), -1000)
    leg[:, ellipse(40, 40)] = 55
    leg[:, ellipse(9, 9)] = 1200
    with pytest.raises(ExamError, match="not a head CT"):
        judged(leg.astype(np.int16), spacing=(1.8, 1.8))
