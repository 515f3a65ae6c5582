"""Clipped pictures: heads are read with a doubt that says at which HU; what is no head in HU stays refused."""

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.ct import reconstruction_circle
from ichnos.ct.clipping import clipped_above, clipped_below
from ichnos.ct.exams import AIR
from ichnos.ct.plausibility import judge
from ichnos.errors import ExamError
from ichnos.phantom import CohortSettings, PhantomExam, make_exam

TISSUE_HU = -200


@lru_cache(maxsize=8)
def head(number: int) -> PhantomExam:
    return make_exam(CohortSettings(9, 3, {}, 128, (24, 24)), number)


def judged(hu: NDArray[np.integer], number: int = 0) -> tuple[str, ...]:
    return judge(hu.astype(np.int16), head(number).pixel_spacing, 160.0)


def padded(hu: NDArray[np.integer], value: int) -> NDArray[np.integer]:
    """With padding around the circle of reconstruction, as most scanners write it."""
    return np.where(reconstruction_circle(*hu.shape[1:]), hu, value)


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("lowest", [-929, -900, -800, -700, -500, -250, -200, -100, -20, 0])
def test_a_head_clipped_below_is_read_with_the_hu_in_its_doubt(lowest: int, number: int) -> None:
    (doubt,) = judged(np.maximum(head(number).hu, lowest), number)
    assert doubt.startswith(f"it is clipped below at {lowest} HU: no air is in the picture")


@pytest.mark.parametrize("lowest", [-900, -500, -100, 0])
def test_padding_around_a_clipped_head_hides_nothing(lowest: int) -> None:
    (doubt,) = judged(padded(np.maximum(head(0).hu, lowest), AIR))
    assert doubt.startswith(f"it is clipped below at {lowest} HU: no air is in the picture")
    assert judged(padded(head(0).hu, AIR)) == ()


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("highest", [150, 140, 120, 100, 90, 80])
def test_a_head_clipped_above_is_read_by_the_shape_of_its_skull(highest: int, number: int) -> None:
    (doubt,) = judged(np.minimum(head(number).hu, highest), number)
    assert doubt.startswith(f"it is clipped above at {highest} HU: a skull could not be told from its density")


@pytest.mark.parametrize(("lowest", "highest"), [(-20, 100), (0, 80), (-20, 140), (-900, 140)])
def test_a_head_clipped_to_a_window_is_read_with_both_doubts(lowest: int, highest: int) -> None:
    below, above = judged(np.clip(head(0).hu, lowest, highest))
    assert f"clipped below at {lowest} HU" in below
    assert f"clipped above at {highest} HU" in above


@pytest.mark.parametrize("highest", [1500, 300, 200])
def test_a_skull_that_is_told_from_its_density_leaves_no_doubt(highest: int) -> None:
    assert judged(np.minimum(head(0).hu, highest)) == ()


def test_a_head_that_fills_a_clipped_picture_is_read() -> None:
    doubts = judged(np.maximum(head(0).hu[:, 24:-24, 24:-24], -900))
    assert any("clipped below at -900 HU" in doubt for doubt in doubts)


def test_a_picture_cut_within_the_head_is_not_clipped() -> None:
    """It has no air, and nothing lies piled up at its lowest value."""
    inner = head(0).hu[8:16, 44:-44, 44:-44]
    assert inner.min() > -250
    assert clipped_below(inner, TISSUE_HU) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda hu: hu + 100,
        lambda hu: hu + 300,
        lambda hu: hu // 2,
        lambda hu: hu // 3,
        lambda hu: hu * 8 // 10,
        lambda hu: padded(hu, AIR) // 2,
        lambda hu: padded(hu, AIR) * 8 // 10,
        lambda hu: padded(hu, AIR) + 300,
    ],
    ids=["raised a little", "raised", "halved", "third", "flat", "padded, halved", "padded, flat", "padded, raised"],
)
def test_what_is_no_hu_and_not_clipped_stays_refused(change) -> None:  # type: ignore[no-untyped-def]
    """Padding too lies at exactly one value, but air lies beside it."""
    with pytest.raises(ExamError, match="not a head CT"):
        judged(change(head(0).hu.astype(int)))


@pytest.mark.parametrize("shift", [100, 300, 1000, -300])
@pytest.mark.parametrize("window", [(-900, 3000), (-20, 100)])
def test_a_clipped_picture_of_another_intercept_stays_refused(window: tuple[int, int], shift: int) -> None:
    with pytest.raises(ExamError, match="not a head CT"):
        judged(np.clip(head(0).hu.astype(int), *window) + shift)


@pytest.mark.parametrize(("level", "width"), [(40, 80), (40, 40), (40, 400), (600, 2000), (75, 215)])
def test_pictures_in_greys_are_refused(level: int, width: int) -> None:
    grey = np.clip((head(0).hu - (level - width / 2)) / width * 255, 0, 255).astype(np.int16)
    for picture in (grey, 255 - grey):
        with pytest.raises(ExamError, match="not a head CT: its values run from 0 to 255"):
            judged(picture)


@pytest.mark.parametrize("window", [(-20, 100), (0, 80), (-20, 140), (-1000, 100)])
def test_an_inverted_clipped_picture_is_refused_however_narrow(window: tuple[int, int]) -> None:
    """Its air lies at the top, all around brain of 40 to 50 HU: no skull."""
    inverted = sum(window) - np.clip(head(0).hu.astype(int), *window)
    for edge in (0, 12, 20):
        with pytest.raises(ExamError, match="not a head CT"):
            judged(inverted[:, edge : 128 - edge, edge : 128 - edge])


@pytest.mark.parametrize("highest", [79, 60, 40])
def test_what_blood_may_have_is_taken_for_no_skull(highest: int) -> None:
    with pytest.raises(ExamError, match="no skull"):
        judged(np.minimum(head(0).hu, highest))


def disc(radius: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:128, :128] - 63.5
    return np.hypot(y, x) <= radius


@pytest.mark.parametrize("window", [(-900, 3000), (-20, 100), (-1024, 100)])
def test_a_phantom_of_water_stays_refused_however_it_is_clipped(window: tuple[int, int]) -> None:
    """In a shell of acrylic, which is as dense as the top of a window."""
    water = np.full((20, 128, 128), -1000.0)
    water[:, disc(50)] = 120
    water[:, disc(46)] = 0
    water += np.random.default_rng(0).normal(0, 4, water.shape)
    with pytest.raises(ExamError, match="not a head CT"):
        judge(np.clip(water, *window).astype(np.int16), (1.8, 1.8), 160.0)


@pytest.mark.parametrize("window", [(-20, 100), (0, 80)])
def test_a_body_with_contrast_is_no_head_where_its_fat_is_clipped_away(window: tuple[int, int]) -> None:
    """Vessels at the top of the window make a ring around the middle, and what they surround is small."""
    body = np.full((20, 128, 128), -1000.0)
    body[:, disc(50)] = -100
    body[:, disc(40)] = 40
    body[:, disc(16)] = 250
    body[:, disc(11)] = 40
    body += np.random.default_rng(0).normal(0, 4, body.shape)
    with pytest.raises(ExamError, match="not a head CT"):
        judge(np.clip(body, *window).astype(np.int16), (1.8, 1.8), 160.0)


def test_nothing_is_clipped_in_plain_heads() -> None:
    for number in range(6):
        hu = head(number).hu
        assert clipped_below(padded(hu, AIR).astype(np.int16), TISSUE_HU) is None
        assert clipped_above(hu, TISSUE_HU) is None
