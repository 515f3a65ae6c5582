"""Class maps lie where the network saw them, whatever the slice's matrix."""

from dataclasses import replace

import numpy as np
import pytest

from ichnos.inputs import to_matrix
from ichnos.reporting.exam import ExamResult
from ichnos.reporting.exam.heat import class_map, labelled, overlaid, plain, png
from ichnos.subtypes import CLASSES, Subtype


@pytest.mark.parametrize("shape", [(64, 64), (64, 48), (40, 64)])
def test_a_map_lies_over_what_the_network_saw(result: ExamResult, shape: tuple[int, int]) -> None:
    hu = np.full((len(result.exam), *shape), -1000, np.int16)
    hu[:, 10:20, 26:40] = 1000
    seen = to_matrix(hu[0]).astype(np.float32)  # padded to a square, as the graph is given it
    cells = (seen.reshape(16, 32, 16, 32).mean(axis=(1, 3)) + 1000).clip(0)
    maps = np.broadcast_to(cells, (len(hu), len(CLASSES), 16, 16)).astype(np.float32)
    heat = class_map(replace(result, exam=replace(result.exam, hu=hu), maps=maps), Subtype.ANY, 0)
    assert heat.shape == shape
    rows, columns = np.indices(shape)
    centre = ((heat * rows).sum() / heat.sum(), (heat * columns).sum() / heat.sum())
    np.testing.assert_allclose(centre, (14.5, 32.5), atol=0.6)


def test_where_the_map_is_zero_the_slice_is_as_it_was(result: ExamResult) -> None:
    heat = class_map(result, Subtype.SUBDURAL, 4)
    same = (overlaid(result, Subtype.SUBDURAL, 4) == plain(result, 4)).all(axis=2)
    assert same[heat == 0].all()
    assert not same[heat == heat.max()].any()
    np.testing.assert_array_equal(overlaid(result, Subtype.SUBDURAL, 0), plain(result, 0))


def test_words_are_burned_in_and_a_grey_picture_stays_grey(result: ExamResult) -> None:
    picture = plain(result, 4)
    words = labelled(np.zeros_like(picture), "above", "below")
    assert words[:20].any()
    assert words[-20:].any()
    assert png(picture) == png(picture)
    assert len(png(picture)) < len(png(overlaid(result, Subtype.SUBDURAL, 4)))


@pytest.mark.parametrize("shape", [(128, 128), (512, 300), (512, 512)])
def test_words_fit_whatever_the_slice(shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    drawn = labelled(picture, "Intraparenchymal", "ichnos demonstration, NOT FOR DIAGNOSIS").any(axis=2)
    drawn[shape[0] // 3 : -shape[0] // 3] = False  # the R at the side
    assert drawn.any()
    assert not drawn[:, :2].any()
    assert not drawn[:, -2:].any()
