"""The small parts of the loop, each alone."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from ichnos.errors import TrainingError
from ichnos.models import SliceClassifier
from ichnos.recipe import Fit, Loss, SliceRecipe
from ichnos.subtypes import SUBTYPES, Subtype
from ichnos.training import TrainingSlices, predict
from ichnos.training.augmentation import AugmentedClassifier
from ichnos.training.batches import in_batches, read_ahead
from ichnos.training.batchnorm import reestimate_batchnorm, share_batchnorm
from ichnos.training.devices import choose
from ichnos.training.loss import LossWatch, MultilabelLoss
from ichnos.training.randomness import seed_step
from ichnos.training.ranks import Ranks
from ichnos.training.schedule import learning_rate
from ichnos.training.slices import spread

CPU = torch.device("cpu")


def test_constant_schedule():
    assert {learning_rate(Fit(), step, 100) for step in range(100)} == {1e-4}


def test_cosine_schedule_rises_then_falls_to_nearly_nothing():
    rates = [learning_rate(Fit(learning_rate=1.0, schedule="cosine"), step, 200) for step in range(200)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[105] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3
    assert learning_rate(Fit(schedule="cosine"), 0, 1) > 0


def test_a_cosine_that_begins_anew():
    fit = Fit(learning_rate=1.0, schedule="cosine", restarts=1)
    rates = [learning_rate(fit, step, 220) for step in range(220)]
    assert rates[11] == 1.0
    assert rates[115] < 1e-3
    assert rates[116] > 0.99
    assert rates[-1] < 1e-3


def test_loss_is_summed_over_outputs_and_averaged_over_the_batch():
    logits, targets = torch.randn(6, 5), (torch.rand(6, 5) > 0.5).float()
    mean = nn.functional.binary_cross_entropy_with_logits(logits, targets)
    assert torch.allclose(loss_of(Loss())(logits, targets), mean * 5)


def loss_of(loss: Loss, labels: np.ndarray | None = None) -> MultilabelLoss:
    return MultilabelLoss(loss, SUBTYPES, np.zeros((4, 5), np.bool_) if labels is None else labels)


def test_focal_loss_is_the_published_one():
    """Lin 2017, equation 4: −(1 − p)^γ log p of what is so. γ = 0 is cross-entropy."""
    logits, targets = torch.randn(6, 5), (torch.rand(6, 5) > 0.5).float()
    right = torch.where(targets > 0, logits.sigmoid(), 1 - logits.sigmoid())
    expected = (-((1 - right) ** 2) * right.log()).sum(dim=1).mean()
    assert torch.allclose(loss_of(Loss(kind="focal"))(logits, targets), expected, atol=1e-5)
    assert torch.allclose(loss_of(Loss(kind="focal", gamma=0))(logits, targets), loss_of(Loss())(logits, targets))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_slice_that_is_certainly_right_has_a_focal_gradient_of_nothing(gamma: float):
    logits = torch.full((2, 5), 40.0, requires_grad=True)
    loss_of(Loss(kind="focal", gamma=gamma))(logits, torch.ones(2, 5)).backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all(), "at 40 the sigmoid is 1 to the last bit"


class WithActivation(nn.BatchNorm2d):
    """As timm's BatchNormAct2d."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        return super().forward(input).relu()


def test_a_normalisation_that_does_more_is_not_shared():
    """Taken for plain it would train without its activation, and be read with it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), WithActivation(4))
    with pytest.raises(TrainingError, match="WithActivation\\) does more"):
        share_batchnorm(network, Ranks(0, 2), CPU)
    share_batchnorm(network, Ranks(), CPU)
    assert type(network[1]) is WithActivation


def test_asymmetric_loss_is_the_published_one():
    """Ridnik 2021, equations 4 to 7: negatives' probability shifted down, then focused; positives as they are."""
    logits, targets = torch.randn(6, 5), (torch.rand(6, 5) > 0.5).float()
    p = logits.sigmoid()
    shifted = (p - 0.05).clamp(min=0)
    each = torch.where(targets > 0, -p.log(), -(shifted**2) * (1 - shifted).log())
    assert torch.allclose(loss_of(Loss(kind="asymmetric"))(logits, targets), each.sum(dim=1).mean(), atol=1e-5)
    certain = loss_of(Loss(kind="asymmetric"))(torch.full((1, 5), -8.0), torch.zeros(1, 5))
    assert certain == 0  # below the margin a negative costs nothing


def test_outputs_and_positives_are_weighed():
    logits, targets = torch.zeros(2, 5), torch.zeros(2, 5)
    plain = loss_of(Loss())(logits, targets)
    weighted = loss_of(Loss(weights={Subtype.EPIDURAL: 3.0}))(logits, targets)
    assert weighted == pytest.approx(float(plain) * 7 / 5)
    labels = np.zeros((100, 5), np.bool_)
    labels[:4, 0] = labels[:50, 1] = True
    balanced = loss_of(Loss(positives="balanced"), labels)
    assert balanced.positive_weights is not None
    assert balanced.positive_weights.tolist() == [24.0, 1.0, 100.0, 100.0, 100.0]
    one = torch.eye(5)[:1]
    assert balanced(logits[:1], one) == pytest.approx(float(np.log(2)) * (24 + 4))


def test_smoothed_labels_make_certainty_costly():
    smooth = loss_of(Loss(smoothing=0.2))
    targets = torch.ones(1, 5)
    best = torch.full((1, 5), float(np.log(0.9 / 0.1)))
    assert smooth(best, targets) < smooth(best + 3, targets)
    assert smooth(best, targets) < smooth(best - 1, targets)


@pytest.mark.parametrize("kind", ["bce", "focal", "asymmetric"])
def test_every_loss_is_finite_where_the_network_is_certain(kind):
    logits = torch.tensor([[60.0, -60.0, 30.0, -30.0, 0.0]], requires_grad=True)
    loss = loss_of(Loss(kind=kind))(logits, torch.tensor([[0.0, 1.0, 0.0, 1.0, 1.0]]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_watch_names_rows_and_step():
    watch = LossWatch(CPU)
    watch.add(torch.tensor(1.0), np.array([1, 2]), 1)
    with pytest.raises(TrainingError, match=r"step 2 is nan.*rows \[7, 9\]"):
        watch.add(torch.tensor(float("nan")), np.array([7, 9]), 2)


def test_watch_on_a_gpu_looks_later_and_names_the_first():
    watch = LossWatch(torch.device("cuda"))
    for step, loss in enumerate((1.0, float("inf"), float("nan")), start=1):
        watch.add(torch.tensor(loss), np.array([step * 10]), step)
    with pytest.raises(TrainingError, match=r"step 2 is inf.*rows \[20\]"):
        watch.check()
    watch.check()


def test_watch_on_gpus_looks_every_fifty_steps_however_many_share_them():
    watch = LossWatch(torch.device("cuda"))
    for step in range(1, 50):
        for share in (1, 2, 3, 4):
            watch.add(torch.tensor(float("nan") if (step, share) == (1, 3) else 1.0), np.array([share]), step)
    with pytest.raises(TrainingError, match=r"step 1 is nan.*rows \[3\]"):
        watch.add(torch.tensor(1.0), np.array([1]), 50)


def test_seed_of_a_step_is_its_own():
    def draw(*place: int) -> float:
        with torch.random.fork_rng(devices=[]):
            seed_step(*place)
            return torch.rand(1).item()

    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({draw(0, 1, 2), draw(0, 1, 3), draw(0, 2, 2), draw(1, 1, 2)}) == 4


def test_batches_come_in_order_and_the_thread_ends():
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    batches = in_batches(np.arange(20)[::-1], 3)
    with read_ahead(images, batches, CPU) as ready:
        assert [planes.flatten().tolist() for planes in ready] == [batch.tolist() for batch in batches]
    with read_ahead(images, batches * 10, CPU) as ready:
        next(ready)
    assert not [thread for thread in threading.enumerate() if thread.name == "ichnos-read-ahead"]


def test_an_error_while_reading_is_raised_in_the_caller():
    images = np.zeros((2, 1, 1, 1), dtype=np.uint8)
    with pytest.raises(IndexError), read_ahead(images, [np.array([5])], CPU) as ready:
        next(ready)


def test_spread():
    assert spread(3, 5).tolist() == [0, 1, 2]
    assert len(set(spread(1000, 256).tolist())) == 256


def test_reestimated_statistics_are_the_plain_average(recipe: SliceRecipe, tiny: tuple[TrainingSlices, TrainingSlices]):
    classifier = SliceClassifier.seeded(recipe, 0)
    fabric = choose("cpu")
    module = fabric.setup_module(AugmentedClassifier(classifier, recipe.augmentation)).train()
    statistics: list[torch.Tensor] = []
    stem = classifier.backbone._bn0
    hook = stem.register_forward_pre_hook(lambda _, args: statistics.append(args[0].mean(dim=(0, 2, 3))))
    reestimate_batchnorm(fabric, module, tiny[0], batch_size=5)
    hook.remove()
    assert len(statistics) == 2
    assert torch.allclose(stem.running_mean, torch.stack(statistics).mean(dim=0), atol=1e-5)
    assert stem.momentum == pytest.approx(0.01)
    assert module.training
    assert stem.training
    first = {key: value.clone() for key, value in classifier.state_dict().items()}
    reestimate_batchnorm(fabric, module, tiny[0], batch_size=5)
    assert all(torch.equal(first[key], value) for key, value in classifier.state_dict().items())


def test_reestimation_leaves_a_frozen_backbone_alone(recipe: SliceRecipe, tiny: tuple[TrainingSlices, TrainingSlices]):
    frozen = recipe.derive(**{"network.init": "imagenet", "network.frozen": True})
    classifier = SliceClassifier.seeded(frozen, 0)
    before = classifier.backbone._bn0.running_mean.clone()
    fabric = choose("cpu")
    reestimate_batchnorm(fabric, fabric.setup_module(classifier), tiny[0], batch_size=5)
    assert torch.equal(before, classifier.backbone._bn0.running_mean)


def test_predict_is_the_same_in_any_batches(recipe: SliceRecipe, tiny: tuple[TrainingSlices, TrainingSlices]):
    classifier = SliceClassifier.seeded(recipe, 0).train()
    part = tiny[0]
    whole = predict(classifier, part.images, part.rows, device="cpu")
    ones = predict(classifier, part.images, part.rows, batch_size=1, device="cpu")
    assert whole.shape == (10, 5)
    assert whole.dtype == np.float64
    assert np.allclose(whole, ones, atol=1e-5)
    assert classifier.training
    assert predict(classifier, part.images, part.rows[:0], device="cpu").shape == (0, 5)


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no CUDA device"):
        choose("cuda")
    with pytest.raises(TrainingError, match="no such device: tpu"):
        choose("tpu")
    with pytest.raises(TrainingError, match="no such precision: 8"):
        choose("cpu", "8")
    assert choose().device.type == "cpu"
    assert choose().strategy.precision.precision == "32-true"
