"""Learning from masks: they move with their images, what has none teaches nothing, and a run ends as one left alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from ichnos.ct import UNSAID
from ichnos.ct.windows import BRAIN
from ichnos.data.masks import EMPTY, NO_MASK, Masks
from ichnos.errors import TrainingError, WeightsError
from ichnos.models import SliceClassifier, load_checkpoint
from ichnos.recipe import Augmentation, InputSpec, Segmentation, SliceRecipe
from ichnos.subtypes import SUBTYPES, Subtype
from ichnos.training import TrainingSlices, train
from ichnos.training.augmentation import AugmentedClassifier, augmenter
from ichnos.training.mixing import draw_mix
from ichnos.training.segmentation import MaskTraining, mask_loss
from tests.training.test_training import Parts, PowerCutError, Recorder, cut, lines, same

ROAD = InputSpec(windows=(BRAIN,), size=64)


def hooks(n: int) -> Tensor:
    """(n, 1, 64, 64) with one shape that no turn and no mirror maps onto itself."""
    hook = torch.zeros(n, 1, 64, 64)
    hook[:, :, 14:40, 30:36] = 1
    hook[:, :, 14:20, 30:50] = 1
    return hook


def with_masks(part: TrainingSlices) -> TrainingSlices:
    """A mask for each image, where it is bright, by its labels; every third has none, every fifth an empty one."""
    n = len(part.images)
    bits = np.zeros((n, *part.images.shape[2:]), np.uint8)
    everything = np.zeros((n, 5), np.bool_)
    everything[part.rows] = part.labels
    for row in range(n):
        bright = part.images[np.array([row])][0, 0] >= 120
        bits[row][bright] = sum(1 << k for k in np.flatnonzero(everything[row]))
    places = np.arange(n)
    places[::3], places[1::5] = NO_MASK, EMPTY
    return replace(part, masks=Masks(bits, places))


@pytest.fixture(scope="module")
def masked(tiny: Parts) -> Parts:
    return with_masks(tiny[0]), with_masks(tiny[1])


@pytest.fixture(scope="module")
def outlining(recipe: SliceRecipe) -> SliceRecipe:
    return recipe.derive(segmentation=Segmentation(), **{"augmentation.cutmix": 1.0})


@pytest.mark.parametrize(
    "options",
    [{"rotation": 90, "shift": 0.2}, {"zoom": 0.3, "stretch": True}, {"crop": 0.4}, {"erasing": 0.9}],
)
def test_masks_move_with_their_images(options: dict[str, Any]):
    """The image is its own mask, so it must stay that; and images are changed as they are without masks."""
    hook = hooks(40)
    augment = augmenter(Augmentation(p=0.8, **options), ROAD)
    torch.manual_seed(0)
    alone = augment(hook)
    torch.manual_seed(0)
    moved, masks = augment.moving(hook, torch.cat([hook, hook.flip(3)], dim=1))
    assert torch.equal(moved, alone)
    assert torch.allclose(masks[:, :1], moved, atol=1e-6)
    assert ((moved - hook).abs().amax(dim=(1, 2, 3)) > 0.5).float().mean() > 0.5, "most were changed in earnest"
    assert not torch.allclose(masks[:, 1:], moved, atol=0.5)


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_masks_are_mixed_as_their_images(options: dict[str, Any]):
    torch.manual_seed(0)
    mix = draw_mix(Augmentation(**options), 40, 64, torch.device("cpu"))
    assert mix is not None
    images = torch.rand(40, 2, 64, 64)
    assert torch.equal(mix.images(images[:, :1]), mix.images(images)[:, :1])


def test_what_has_no_mask_adds_nothing_to_the_gradient():
    torch.manual_seed(0)
    logits, masks = torch.randn(4, 3, 6, 6), (torch.rand(4, 3, 24, 24) > 0.8).float()
    known = torch.tensor([[True] * 3, [True] * 3, [False] * 3, [False] * 3])

    def gradient(n: int) -> Tensor:
        given = logits[:n].clone().requires_grad_()
        mask_loss(Segmentation(), given, masks[:n], known[:n]).backward()
        assert given.grad is not None
        return given.grad

    both = gradient(4)
    assert torch.allclose(both[:2], gradient(2), atol=1e-9)
    assert not both[2:].any()
    assert both[:2].any()
    given = logits.clone().requires_grad_()
    nothing = mask_loss(Segmentation(), given, masks, torch.zeros_like(known))
    nothing.backward()
    assert nothing == 0
    assert given.grad is not None
    assert not given.grad.any()


@pytest.mark.parametrize("kind", ["bce", "dice", "bce+dice"])
def test_the_loss_is_least_where_the_share_that_bleeds_is_met(kind: str):
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., :4, :3] = 1  # the first of 2 × 2 cells bleeds in 12 of its 16 pixels
    segmentation, known = Segmentation(loss=kind), torch.ones(1, 1, dtype=torch.bool)  # pyright: ignore[reportArgumentType]

    def loss(share: float) -> float:
        probability = torch.tensor([[[[share, 1e-4], [1e-4, 1e-4]]]])
        return mask_loss(segmentation, probability.logit(), masks, known).item()

    shares = np.linspace(0.05, 0.95, 19)
    assert shares[np.argmin([loss(share) for share in shares])] == pytest.approx(0.75)


def test_blood_of_a_subtype_that_is_not_told_counts_for_any_alone():
    bits = np.zeros((2, 32, 32), np.uint8)
    bits[0, :8] = 1 << UNSAID
    bits[1, :8] = 1 << SUBTYPES.index(Subtype.SUBDURAL)
    classes = (Subtype.EPIDURAL, Subtype.SUBDURAL, Subtype.ANY)
    training = MaskTraining(Segmentation(), classes, Fabric(accelerator="cpu", devices=1), None)
    masks, known = training._masks(Masks(bits, np.array([0, 1, EMPTY, NO_MASK])), np.arange(4))
    assert known.tolist() == [[False, False, True], [True] * 3, [True] * 3, [False] * 3]
    assert masks.amax(dim=(2, 3)).tolist() == [[0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_overlaps_are_those_of_the_outlines(outlining: SliceRecipe, masked: Parts):
    """A head that outlines the upper half of every slice, whatever it sees."""

    class Upper(torch.nn.Module):
        def forward(self, planes: Tensor, _mix: None, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            outlines = torch.full((len(planes), 5, 4, 4), -9.0)
            outlines[:, :, :2] = 9.0
            return planes, outlines, masks

    bits = np.zeros((3, 32, 32), np.uint8)
    bits[0, :16], bits[1, :32], bits[2, 16:] = 1, 1, 2
    part = TrainingSlices(
        np.zeros((5, 1, 32, 32), np.uint8),
        np.arange(5),
        np.zeros((5, 5), np.bool_),
        masks=Masks(bits, np.array([0, 1, 2, EMPTY, NO_MASK])),
    )
    training = MaskTraining(Segmentation(), SUBTYPES, Fabric(accelerator="cpu", devices=1), Upper())
    found = training.overlaps(part, 2, lambda _: None)
    assert found["marked"] == dict(zip(SUBTYPES, (2, 1, 0, 0, 0), strict=True))
    assert found["dice"]["epidural"] == pytest.approx((1 + 2 * 512 / (512 + 1024)) / 2)
    assert found["iou"]["epidural"] == pytest.approx((1 + 0.5) / 2)
    assert (found["dice"]["intraparenchymal"], found["dice"]["subdural"]) == (0, None)
    assert training.overlaps(replace(part, masks=None), 2, lambda _: None)["marked"]["epidural"] == 0


@pytest.mark.slow
def test_a_run_with_masks_ends_as_one_left_alone(outlining: SliceRecipe, masked: Parts, tmp_path: Path):
    summary = train(outlining, *masked, tmp_path / "whole", device="cpu")
    with pytest.raises(PowerCutError):
        train(outlining, *masked, tmp_path / "cut", device="cpu", progress=Recorder(4, cut))
    train(outlining, *masked, tmp_path / "cut", device="cpu")
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")
    assert same(tmp_path / "whole" / "last.safetensors", tmp_path / "cut" / "last.safetensors")
    assert set(summary.journal[0]["validation"]) >= {"dice", "iou", "marked"}
    names = load_checkpoint(tmp_path / "whole" / "best.safetensors").classifier_tensors()
    assert any(name.startswith("outlines.") for name in names)


@pytest.mark.slow
def test_masks_change_what_is_learnt_and_their_absence_does_not(recipe: SliceRecipe, masked: Parts, tmp_path: Path):
    """The first step's loss tells the images and labels apart from the masks; the backbone learns from both."""
    plain = recipe.derive(**{"fit.epochs": 1, "fit.milestones": []})
    strong = plain.derive(segmentation=Segmentation(weight=5))
    losses = [
        train(each, *masked, tmp_path / each_name, device="cpu").journal[0]["validation"]["loss_mean"]
        for each, each_name in ((plain, "plain"), (strong, "strong"))
    ]
    assert losses[0] != losses[1]
    assert "dice" not in lines(tmp_path / "plain")[0]["validation"]


@pytest.mark.slow
def test_a_head_learns_to_outline(recipe: SliceRecipe, masked: Parts):
    """Some steps on one batch: the mask loss falls to a part of what it was."""
    changed = recipe.derive(segmentation=Segmentation(), augmentation=None)
    torch.manual_seed(0)
    classifier = SliceClassifier(changed).train()
    training = MaskTraining(
        Segmentation(), changed.segmented, Fabric(accelerator="cpu", devices=1), AugmentedClassifier(classifier, None)
    )
    optimizer = torch.optim.Adam(classifier.parameters(), lr=2e-3)
    positions = np.arange(len(masked[0]))
    planes = torch.from_numpy(masked[0].images[masked[0].rows])
    losses: list[float] = []
    for _ in range(15):
        _, loss = training.step(masked[0], positions, planes, None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def _swapped(part: TrainingSlices, masks: Masks | None) -> TrainingSlices:
    return replace(part, masks=masks)


def test_masks_that_do_not_fit_are_refused(outlining: SliceRecipe, masked: Parts, tmp_path: Path):
    images = len(masked[0].images)
    none = Masks(np.zeros((1, 32, 32), np.uint8), np.full(images, NO_MASK))
    for absent in (None, none):
        with pytest.raises(TrainingError, match=r"no training slice has a mask; set segmentation=null, or give a set"):
            train(outlining, _swapped(masked[0], absent), masked[1], tmp_path, device="cpu")
    larger = Masks(np.zeros((1, 64, 64), np.uint8), np.zeros(images, np.int64))
    with pytest.raises(TrainingError, match=rf"training masks must be of {images} images of 32 × 32 .* 64 × 64"):
        train(outlining, _swapped(masked[0], larger), masked[1], tmp_path, device="cpu")
    fewer = Masks(np.zeros((1, 32, 32), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(TrainingError, match=r"validation masks must be of .* got 2 of"):
        train(outlining, masked[0], _swapped(masked[1], fewer), tmp_path, device="cpu")


def test_validation_may_be_without_masks(outlining: SliceRecipe, masked: Parts, tmp_path: Path):
    short = outlining.derive(**{"fit.epochs": 1, "fit.steps_per_epoch": 1, "fit.milestones": []})
    recorder = Recorder()
    summary = train(short, masked[0], _swapped(masked[1], None), tmp_path, device="cpu", progress=recorder)
    assert any("how well it is outlined is not measured" in each for each in recorder.messages)
    assert summary.journal[0]["validation"]["dice"]["epidural"] is None


def test_a_network_without_a_map_outlines_nothing(outlining: SliceRecipe, monkeypatch: pytest.MonkeyPatch):
    from ichnos.models.backbones.backbone import Backbone

    monkeypatch.setattr(Backbone, "cells", 0)
    with pytest.raises(WeightsError, match="no last feature map, so nothing can be outlined"):
        SliceClassifier(outlining)


def test_other_slices_masks_are_another_fingerprint(masked: Parts):
    part = masked[0]
    assert part.masks is not None
    other: NDArray[np.int64] = part.masks.places.copy()
    other[part.rows[0]] = EMPTY if other[part.rows[0]] != EMPTY else NO_MASK
    changed = (part, replace(part, masks=None), replace(part, masks=Masks(part.masks.bits, other)))
    assert len({each.fingerprint() for each in changed}) == 3
