"""Test-time views: what they show, that their mean is what is said, in torch and in the exported graph."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from ichnos import recipes
from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.errors import RecipeError, WeightsError
from ichnos.inference.bundle import Bundle, read_bundle
from ichnos.inference.engine import Engine
from ichnos.inference.manifest import Manifest, content_digest
from ichnos.inputs import exam_planes
from ichnos.models import SliceClassifier
from ichnos.models.export import SliceGraph, exported
from ichnos.models.views import MapsInPlace, Viewed, Views, sampling, viewed
from ichnos.readout import Readout
from ichnos.recipe import InputSpec, SliceRecipe, TestTime, WindowMerge
from ichnos.subtypes import CLASSES
from ichnos.workflows.trained_model import TrainedModel
from tests.inference.networks import manifest
from tests.models.test_ensemble import classifier
from tests.models.test_export import slices

WIDE = InputSpec(windows=(BRAIN, BLOOD), merge=WindowMerge.STACK, size=64)
READER = recipes.find("reader").of_one_model
MANY = TestTime(zooms=(1.1, 0.9), rotations=(-10, 10))


def looking(views: TestTime | None) -> SliceClassifier:
    plain = classifier(WIDE)
    made = SliceClassifier(plain.recipe.derive(test_time=views))
    made.load_state_dict(plain.state_dict())
    return made.eval()


def resampled(picture: np.ndarray, zoom: float, turn: float) -> np.ndarray:
    pixels, weights = sampling(len(picture), zoom, turn)
    return (picture.ravel()[pixels] * weights).sum(axis=0).reshape(picture.shape)


def test_turns_and_zooms_are_what_they_say() -> None:
    picture = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    np.testing.assert_allclose(resampled(picture, 1, 90), np.rot90(picture, -1), atol=1e-5)
    np.testing.assert_allclose(resampled(picture, 1, 0), picture)
    grown = resampled(np.pad(np.ones((8, 8), np.float32), 12), 2, 0)
    assert grown.sum() == pytest.approx(4 * 64, rel=0.1), "four times the area"
    shrunk = resampled(np.ones((32, 32), np.float32), 0.5, 0)
    assert shrunk.sum() == pytest.approx(16 * 16, rel=0.1)
    assert shrunk[0].sum() == 0, "black beyond the picture"


def test_the_views_are_the_plain_one_its_changes_and_their_mirror_images() -> None:
    unit = torch.rand(2, 3, 32, 32)
    views = Views(MANY, 32)(unit)
    assert len(views) == MANY.views == 10
    assert torch.equal(views[0], unit)
    for plain, mirrored in zip(views[:5], views[5:], strict=True):
        assert torch.equal(plain.flip(3), mirrored)
    assert len(Views(None, 32)) == 1


def test_what_is_said_is_the_mean_of_the_logits() -> None:
    made = looking(TestTime())
    planes = torch.randint(0, 256, (3, 2, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        said = viewed(made)(planes)
        wanted = (made(planes) + made(planes.flip(3))) / 2
    torch.testing.assert_close(said, wanted)
    assert (said - made(planes)).abs().max() > 1e-4, "the views differ: the test shows something"
    assert isinstance(viewed(made), Viewed)
    assert viewed(looking(None)).recipe.test_time is None


def test_the_graph_says_the_same() -> None:
    made, plain = looking(MANY), looking(None)
    hu = slices()[:3]
    with torch.inference_mode():
        logits, features, maps = SliceGraph([made])(torch.from_numpy(hu))
        wanted = viewed(made)(torch.from_numpy(exam_planes(WIDE, list(hu))))
        own = SliceGraph([plain])(torch.from_numpy(hu))
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
    assert (features.shape, maps.shape) == (own[1].shape, own[2].shape)
    with pytest.raises(WeightsError, match="views"):
        SliceGraph([made, plain])


def test_maps_are_grad_cam_of_what_is_said() -> None:
    """Of the mean over a slice and its mirror image: each one's map, where the slice lies."""
    made, plain = (SliceGraph([looking(views)]) for views in (TestTime(), None))
    hu = torch.from_numpy(slices()[:3])
    with torch.inference_mode():
        maps, own, mirrored = (graph(each)[2] for graph, each in ((made, hu), (plain, hu), (plain, hu.flip(2))))
    torch.testing.assert_close(maps, (own + mirrored.flip(3)) / 2, rtol=1e-4, atol=1e-5)
    assert (own - mirrored.flip(3)).abs().max() > 1e-3, "the maps differ: the test shows something"


def test_maps_of_what_is_turned_or_zoomed_come_back_to_their_place() -> None:
    views, side = Views(MANY, 64), 64
    spot = torch.zeros(1, 1, side, side)
    spot[..., 18:24, 40:46] = 1
    back = MapsInPlace(views, side)([change(spot) for change in (lambda x: x, *views.changed)] * 2)
    rows, columns = np.nonzero((MapsInPlace(views, side)(views(spot)) > 0.5)[0, 0].numpy())
    assert (rows.mean(), columns.mean()) == pytest.approx((20.5, 42.5), abs=0.6)
    assert back[0, 0, 18:24, 18:24].max() > 0.3, "not mirrored before, they would be mirrored back"


@pytest.mark.slow
def test_onnx_runtime_agrees() -> None:
    made = looking(MANY)
    tree = manifest(Readout.uncalibrated(CLASSES)).model_dump(mode="json")
    tree |= {"recipe": made.recipe.model_dump(mode="json"), "version": 5, "map_side": 4}
    hu = slices()
    output = Engine(Bundle(Manifest.model_validate(tree), "", exported(SliceGraph([made])), ""), threads=1).run(hu)
    said = TrainedModel(made.recipe, (), (made,)).logits(hu)
    np.testing.assert_allclose(output.logits, said, rtol=1e-4, atol=1e-3)


def test_recipes_without_views_and_the_included_bundle_keep_their_fingerprints() -> None:
    assert "test_time" not in READER.model_dump(mode="json")
    assert "test_time" not in json.loads(recipes.find("ensemble").recipe.model_dump_json())["members"]["reader"]
    assert READER.fingerprint() == READER.derive(test_time=None).fingerprint() != turned().fingerprint()
    bundle = read_bundle(Path(str(files("ichnos.inference") / "reader.ichnos")))
    assert content_digest(json.loads(bundle.manifest.text())) == bundle.digest


def turned() -> SliceRecipe:
    return READER.override({"test_time.zooms": "[1.1]", "test_time.rotations": "[10]"})


def test_views_are_set_as_any_other_field() -> None:
    assert turned().test_time == TestTime(horizontal_flip=True, zooms=(1.1,), rotations=(10.0,))
    assert SliceRecipe.model_validate_json(turned().model_dump_json()) == turned()
    assert turned().override({"test_time": "null"}) == READER
    for wrong, complaint in (
        ({"test_time.horizontal_flip": "false"}, "no view but the plain one"),
        ({"test_time.zooms": "[1]"}, "the plain view is among the views already"),
        ({"test_time.zooms": "[0.2]"}, "zooms"),
        ({"test_time.flip": "true"}, r"no such field: test_time\.flip"),
    ):
        with pytest.raises(RecipeError, match=complaint):
            READER.override(wrong)


def test_a_bundle_with_views_is_of_version_5() -> None:
    tree = manifest(Readout.uncalibrated(CLASSES)).model_dump(mode="json")
    changed = tree | {"recipe": turned().model_dump(mode="json"), "map_side": 3}
    assert Manifest.model_validate(changed | {"version": 5}).map_cells == 3
    with pytest.raises(ValueError, match="with these networks is of version 5, not 2"):
        Manifest.model_validate(changed | {"version": 2})
