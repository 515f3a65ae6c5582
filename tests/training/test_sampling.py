"""The order of slices: shares of the classes, use of every slice, and nothing but labels, seed and epoch behind it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ichnos.errors import TrainingError
from ichnos.recipe import Fit, Sampling
from ichnos.recipes.reader import RECIPE as READER
from ichnos.training.loop import _as_drawn  # pyright: ignore[reportPrivateUsage]
from ichnos.training.sampling import BatchOrder
from ichnos.training.slices import TrainingSlices

SHARES = (0.03, 0.35, 0.2, 0.25, 0.3)
"""Of the five subtypes among positive slices, about as in RSNA 2019."""


def rsna_like(n: int = 2000) -> np.ndarray:
    labels = np.random.default_rng(0).random((n, 5)) < SHARES
    labels[np.flatnonzero(~labels.any(axis=1)), 1] = True
    return labels


def part(labels: np.ndarray, synthetic: int = 0, exam_of: int = 10) -> TrainingSlices:
    """Of exams of so many slices each, from foot to head; the images are not looked at."""
    n, real = len(labels), len(labels) - synthetic
    places = np.arange(real) % exam_of
    images = np.zeros((n, 1, 32, 32), np.uint8)
    return TrainingSlices(
        images, np.arange(n), labels, synthetic, np.arange(real) // exam_of, places / max(1, exam_of - 1)
    )


def test_balanced_batches_hold_each_class_in_equal_turns():
    labels = rsna_like()
    order = BatchOrder(part(labels), Sampling.BALANCED, Fit(batch_size=30))
    for batch in order.epoch(0) + order.epoch(1):
        assert len(batch) == 30
        # each class has its own six turns; what else shares those slices comes on top
        assert (labels[batch].sum(axis=0) >= 6).all()
    natural = np.mean([labels[batch, 0].mean() for batch in BatchOrder(part(labels), Sampling.NATURAL, Fit()).epoch(0)])
    balanced = np.mean([labels[batch, 0].mean() for batch in order.epoch(0)])
    assert natural < 0.05
    assert 0.2 <= balanced < 0.3


def test_balanced_pools_are_used_up_before_a_slice_comes_again():
    labels = np.eye(5, dtype=np.bool_)[np.repeat(np.arange(5), [3, 4, 5, 6, 7])]
    order = BatchOrder(part(labels), Sampling.BALANCED, Fit(batch_size=5, steps_per_epoch=12))
    stream = np.concatenate(order.epoch(0))
    rare = stream[labels[stream, 0]]
    assert len(rare) == 12
    for start in range(0, 12, 3):
        assert sorted(rare[start : start + 3]) == [0, 1, 2]


def test_balanced_goes_on_into_the_next_epoch():
    labels = rsna_like(50)
    short = BatchOrder(part(labels), Sampling.BALANCED, Fit(batch_size=4, steps_per_epoch=3))
    long = BatchOrder(part(labels), Sampling.BALANCED, Fit(batch_size=4, steps_per_epoch=6))
    assert np.array_equal(np.concatenate(short.epoch(0) + short.epoch(1)), np.concatenate(long.epoch(0)))


def test_balanced_leaves_an_absent_class_out_and_draws_negatives():
    labels = np.zeros((20, 5), dtype=np.bool_)
    labels[:4, 1] = labels[4:10, 3] = True
    batch = BatchOrder(part(labels), Sampling.BALANCED, Fit(batch_size=6)).epoch(0)[0]
    assert labels[batch].sum(axis=0).tolist() == [0, 2, 0, 2, 0]
    assert (~labels[batch].any(axis=1)).sum() == 2


@given(n=st.integers(2, 200), batch_size=st.integers(2, 40), epoch=st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_natural_takes_each_slice_once(n: int, batch_size: int, epoch: int):
    order = BatchOrder(part(np.ones((n, 1), dtype=np.bool_)), Sampling.NATURAL, Fit(batch_size=batch_size))
    batches = order.epoch(epoch)
    assert len(batches) == order.steps == -(-n // batch_size)
    assert sorted(np.concatenate(batches)) == list(range(n))
    sizes = {len(batch) for batch in batches}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_natural_with_set_steps_goes_through_shuffled_passes():
    order = BatchOrder(part(np.ones((10, 1), dtype=np.bool_)), Sampling.NATURAL, Fit(batch_size=4, steps_per_epoch=5))
    stream = np.concatenate(order.epoch(0))
    assert sorted(stream[:10]) == sorted(stream[10:]) == list(range(10))
    assert stream[:10].tolist() != stream[10:].tolist()


@pytest.mark.parametrize("sampling", list(Sampling))
def test_order_is_of_seed_and_epoch_alone(sampling: Sampling):
    labels = rsna_like(100)

    def stream(seed: int, epoch: int) -> list[int]:
        order = BatchOrder(part(labels), sampling, Fit(seed=seed))
        return np.concatenate(order.epoch(epoch)).tolist()

    assert stream(1, 5) == stream(1, 5)
    assert stream(1, 5) != stream(2, 5)
    assert stream(1, 5) != stream(1, 6)


@pytest.mark.parametrize("sampling", list(Sampling))
def test_each_batch_has_its_share_of_synthetic_slices(sampling):
    labels = rsna_like(100)
    order = BatchOrder(part(labels, synthetic=30), sampling, Fit(batch_size=20), share=0.25)
    assert order.steps == 5  # 70 real slices, 15 a batch
    drawn = order.epoch(0) + order.epoch(1)
    assert all((batch >= 70).sum() == 5 for batch in drawn)
    synthetic = np.concatenate(drawn)[np.concatenate(drawn) >= 70]
    assert np.bincount(synthetic - 70, minlength=30).max() <= 2  # the pool is used up before one comes again
    if sampling is Sampling.NATURAL:
        real = np.concatenate(order.epoch(0))
        assert sorted(real[real < 70]) == list(range(70))


@pytest.mark.parametrize("steps", [None, 3])
def test_one_slice_of_a_batch_at_least_is_real(steps: int | None):
    fit = Fit(batch_size=4, steps_per_epoch=steps)
    drawn = BatchOrder(part(rsna_like(20), synthetic=6), Sampling.NATURAL, fit, share=0.9).epoch(0)
    assert all((batch < 14).sum() >= 1 for batch in drawn)


def test_without_synthetic_slices_the_order_is_as_it_was():
    labels = rsna_like(60)
    plain = BatchOrder(part(labels), Sampling.BALANCED, Fit(batch_size=7))
    shared = BatchOrder(part(labels), Sampling.BALANCED, Fit(batch_size=7), share=0.5)
    assert all(np.array_equal(a, b) for a, b in zip(plain.epoch(2), shared.epoch(2), strict=True))


def test_exams_take_turns_and_give_their_middle_more_often():
    """Exams of 3 and of 60 slices count alike; the middle is drawn three times as often as the ends."""
    long_ones, short_ones = part(np.ones((600, 1), np.bool_), exam_of=60), np.repeat(np.arange(10, 20), 3)
    exams = np.concatenate([long_ones.exams, short_ones])
    heights = np.concatenate([long_ones.heights, np.tile([0, 0.5, 1], 10)])
    mixed = np.random.default_rng(0).permutation(len(exams))  # a part's slices need not lie exam by exam
    labels = np.ones((len(exams), 1), np.bool_)
    images = np.zeros((len(exams), 1, 32, 32), np.uint8)
    both = TrainingSlices(images, np.arange(len(exams)), labels, 0, exams[mixed], heights[mixed])
    order = BatchOrder(both, Sampling.EXAM, Fit(batch_size=20, steps_per_epoch=300))
    batches = order.epoch(0)
    for batch in batches:
        assert sorted(both.exams[batch]) == list(range(20)), "each exam once before one comes again"
    drawn = np.concatenate(batches)
    of_three = np.bincount((both.heights[drawn[both.exams[drawn] >= 10]] * 2).astype(int), minlength=3)
    assert of_three / of_three.sum() == pytest.approx([0.2, 0.6, 0.2], abs=0.03)
    of_sixty = both.heights[drawn[both.exams[drawn] < 10]]
    middle = ((of_sixty > 1 / 3) & (of_sixty < 2 / 3)).mean()
    assert middle == pytest.approx((8 / 9) / 2, abs=0.04), "a third of the exam, of mean weight 8/9, by 2/3 over all"


def test_exams_that_are_not_known_cannot_take_turns():
    slices = TrainingSlices(np.zeros((4, 1, 32, 32), np.uint8), np.arange(4), np.ones((4, 1), np.bool_))
    with pytest.raises(TrainingError, match="needs to know of each slice its exam"):
        BatchOrder(slices, Sampling.EXAM, Fit())


def test_positives_are_weighed_by_how_often_they_are_shown():
    """Three in ten of 150 real slices and all of 60 drawn ones, which are a quarter of each batch."""
    labels = np.zeros((210, 1), dtype=np.bool_)
    labels[:45] = labels[150:] = True
    shown = part(labels, synthetic=60)
    recipe = READER.derive(**{"synthetic.share": 0.25, "fit.batch_size": 20})
    order = BatchOrder(shown, recipe.sampling, recipe.fit, share=0.25)
    drawn = _as_drawn(recipe, shown, order)
    assert drawn.mean() == pytest.approx(0.25 + 0.75 * 0.3, abs=0.01)
    real = part(labels[:150])
    assert _as_drawn(recipe, real, BatchOrder(real, recipe.sampling, recipe.fit)) is real.labels
