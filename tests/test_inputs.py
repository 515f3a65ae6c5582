"""The road from HU to uint8 planes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ichnos.ct import Window
from ichnos.data import resizing
from ichnos.errors import InputError
from ichnos.inputs import AIR, MATRIX, exam_planes, neighbour_stacks, resize, resize_matrix, to_matrix, to_planes
from ichnos.recipe import InputSpec, WindowMerge

BRAIN_AND_BLOOD = (Window(40, 80), Window(80, 200))


@given(n_in=st.integers(2, 700), n_out=st.sampled_from([32, 128, 224, 512]), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_resize_is_pytorchs_antialiased_bilinear(n_in: int, n_out: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((n_in, n_in), dtype=np.float32)
    doubles = torch.from_numpy(image.astype(np.float64))[None, None]  # in single precision its positions drift by 1e-5
    theirs = torch.nn.functional.interpolate(doubles, size=(n_out, n_out), mode="bilinear", antialias=True)[0, 0]
    np.testing.assert_allclose(resize(image, n_out), theirs.numpy(), atol=1e-6)


def test_the_matrix_is_the_same_filter() -> None:
    image = np.random.default_rng(0).random((512, 512), dtype=np.float32)
    r = resize_matrix(512, 224)
    np.testing.assert_allclose(r @ image @ r.T, resize(image, 224), atol=1e-5)
    np.testing.assert_allclose(r.sum(axis=1), 1, atol=1e-6)


@given(n_in=st.integers(2, 700), n_out=st.sampled_from([32, 128, 224, 512]), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_sparse_products_give_the_same_numbers(n_in: int, n_out: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((n_in, n_in), dtype=np.float32)
    np.testing.assert_allclose(resizing.resize(image, n_out), resize(image, n_out), rtol=0, atol=1e-6)


def test_sparse_products_make_the_same_bytes_of_a_slice() -> None:
    hu = np.random.default_rng(3).integers(-1100, 2000, (512, 512)).astype(np.int16)
    spec = InputSpec(windows=BRAIN_AND_BLOOD, merge=WindowMerge.STACK, size=224, raw_hu=True)
    apart = to_planes(spec, hu).astype(int) - to_planes(spec, hu, resizing.resize)
    assert np.count_nonzero(apart) <= 1e-5 * apart.size  # none on x86-64; elsewhere rounding may move a tie


def test_windows_are_applied_before_the_resize() -> None:
    # Two pixels far outside the window on either side: windowed first they average to grey, resized first they do not.
    hu = np.tile(np.array([[-1000, 2000], [2000, -1000]], dtype=np.int16), (256, 256))
    spec = InputSpec(windows=(Window(40, 80),), size=256)
    inner = to_planes(spec, hu)[0, 8:-8, 8:-8]
    assert abs(inner.astype(int) - 128).max() <= 1


def test_the_mean_of_two_windows_is_one_plane() -> None:
    hu = np.full((512, 512), 60, dtype=np.int16)
    spec = InputSpec(windows=BRAIN_AND_BLOOD, size=64)
    planes = to_planes(spec, hu)
    assert planes.shape == (1, 64, 64)
    assert planes.dtype == np.uint8
    assert (planes == round((0.75 + 0.40) / 2 * 255)).all()  # brain: (60-0)/80; blood: (60+20)/200


def test_stacked_windows_keep_their_order() -> None:
    hu = np.full((512, 512), 60, dtype=np.int16)
    planes = to_planes(InputSpec(windows=BRAIN_AND_BLOOD, merge=WindowMerge.STACK, size=64), hu)
    assert planes[:, 0, 0].tolist() == [round(0.75 * 255), round(0.40 * 255)]


TWO_AND_A_HALF = InputSpec(windows=BRAIN_AND_BLOOD, size=32, neighbours=1, neighbour_spacing=5)


@pytest.mark.parametrize(
    ("offsets", "wanted"),
    [
        ([0, 5, 10], [[0, 0, 1], [0, 1, 2], [1, 2, 2]]),  # the exam's ends stand for what is missing
        ([10, 0, 5], [[2, 0, 0], [1, 1, 2], [1, 2, 0]]),  # by place, whatever the order
        ([0, 2.5, 5, 7.5], [[0, 0, 2], [0, 1, 3], [0, 2, 3], [1, 3, 3]]),  # thin slices: 5 mm apart all the same
        ([0, 8, 16], [[0, 0, 1], [0, 1, 2], [1, 2, 2]]),
        ([0, 10, 20], [[0, 0, 1], [0, 1, 2], [1, 2, 2]]),  # as near as the slice itself: the other one
        ([0, 12, 24], [[0, 0, 0], [1, 1, 1], [2, 2, 2]]),  # nothing nearer than the slice itself
        ([3, 3], [[0, 0, 0], [0, 1, 1]]),  # two slices at one place are each shown as themselves
        ([7], [[0, 0, 0]]),
    ],
)
def test_neighbours_are_found_by_place(offsets: list[float], wanted: list[list[int]]) -> None:
    stacks = neighbour_stacks(TWO_AND_A_HALF, np.array(offsets, dtype=np.float64))
    if offsets == [3, 3]:
        assert stacks[:, 1].tolist() == [0, 1]
    else:
        assert stacks.tolist() == wanted


def test_an_exams_planes_go_from_foot_to_head() -> None:
    spec = TWO_AND_A_HALF.model_copy(update={"merge": WindowMerge.STACK})
    hu = [np.full((64, 64), value, dtype=np.int16) for value in (10, 20, 30)]
    planes = exam_planes(spec, hu)
    assert planes.shape == (3, 6, 32, 32)
    own = [to_planes(spec, one)[:, 0, 0].tolist() for one in hu]
    assert planes[1, :, 0, 0].tolist() == [*own[0], *own[1], *own[2]]
    np.testing.assert_array_equal(exam_planes(spec, hu[::-1], np.array([10.0, 5.0, 0.0]))[::-1], planes)


def test_padding_is_air() -> None:
    hu = np.full((512, 512), -3024, dtype=np.int16)
    assert (to_matrix(hu) == AIR).all()


@pytest.mark.parametrize("shape", [(400, 512), (512, 300), (650, 650), (256, 256), (1024, 768)])
def test_any_matrix_becomes_512_with_the_head_in_the_middle(shape: tuple[int, int]) -> None:
    hu = np.full(shape, -1000, dtype=np.int16)
    rows, columns = shape
    hu[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4] = 40
    square = to_matrix(hu)
    assert square.shape == (MATRIX, MATRIX)
    y, x = np.nonzero(square > -400)
    assert y.mean() == pytest.approx((MATRIX - 1) / 2, abs=1.5)
    assert x.mean() == pytest.approx((MATRIX - 1) / 2, abs=1.5)
    assert (y.max() - y.min()) / (x.max() - x.min()) == pytest.approx(rows / columns, rel=0.05)


@pytest.mark.parametrize("shape", [(512,), (3, 512, 512), (1, 512), (5000, 512)])
def test_what_is_no_slice_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="got shape"):
        to_matrix(np.zeros(shape, dtype=np.int16))
