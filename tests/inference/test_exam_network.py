"""A bundle with a network of exams: exam.onnx is checked as the rest is, and answers once for all slices of an exam."""

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from ichnos.errors import BundleError, InputError
from ichnos.inference.bundle import EXAM_NETWORK, Bundle, read_bundle, write_bundle
from ichnos.inference.engine import Engine
from ichnos.inference.manifest import Manifest
from ichnos.recipe import EnsembleRecipe
from tests.inference.exam_networks import exam_manifest, tilted
from tests.inference.networks import brightness, manifest, slices

NETWORK = brightness().SerializeToString()


def opened(exam_network: onnx.ModelProto, *, threads: int = 1, **head: str) -> Engine:
    return Engine(Bundle(exam_manifest(**head), "", NETWORK, "", exam_network.SerializeToString()), threads)


def test_it_answers_anew_for_every_slice_of_an_exam() -> None:
    hu = slices(*np.arange(20, 60).tolist())
    places = np.arange(40) * 2.5 - 300.0
    plain = Engine(Bundle(manifest(), "", NETWORK, ""), 1).run(hu, places)
    for threads in (1, 3):
        anew = opened(tilted(), threads=threads).run(hu, places)
        np.testing.assert_allclose(anew.logits, plain.logits + 0.1 * 2.5 * np.arange(40)[:, None], rtol=1e-5)
        np.testing.assert_array_equal(anew.features, plain.features)
        np.testing.assert_array_equal(anew.maps, plain.maps)


def test_an_exam_of_one_slice_and_no_places() -> None:
    assert opened(tilted()).run(slices(40)).logits.shape == (1, 6)
    three = opened(tilted()).run(slices(40, 40, 40)).logits
    np.testing.assert_allclose(three[2] - three[0], 0.1 * 10, rtol=1e-5)  # taken to be 5 mm apart


def test_places_that_are_none() -> None:
    with pytest.raises(InputError, match="2 slices need as many offsets in mm, finite numbers"):
        opened(tilted()).run(slices(40, 50), np.array([0.0, np.nan]))


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        (tilted(output="logits_anew"), "must take `features`, `logits`, `offsets` as float32 and give `answers`"),
        (brightness(), "must take `features`, `logits`, `offsets` as float32"),
        (tilted(per_mm=float("inf")), "gives no finite numbers"),
        (tilted(outputs=5), "gives no finite numbers for its classes"),
        (tilted(features=7), "cannot run the bundle's network of exams"),
    ],
)
def test_a_network_of_exams_that_is_none_of_ours(network: onnx.ModelProto, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        opened(network).run(slices(40, 50))


def test_a_head_that_looks_at_maps_is_given_them() -> None:
    with pytest.raises(BundleError, match="must take `features`, `logits`, `offsets`, `maps` as float32"):
        opened(tilted(), kind="conv-lstm")
    told = exam_manifest(kind="conv-lstm")
    assert told.exam_inputs == ("features", "logits", "offsets", "maps")
    with pytest.raises(ValidationError, match="looks at class maps, and the slices' network has none"):
        Manifest.model_validate(told.model_dump(mode="json") | {"map_side": 0})


def test_an_ensembles_network_of_exams_is_given_each_members_logits() -> None:
    told = exam_manifest()
    members = {"slice": manifest().recipe.model_dump(mode="json"), "exam": told.recipe.model_dump(mode="json")}
    recipe = EnsembleRecipe.model_validate({"name": "both", "title": "Both", "members": members})
    told = Manifest.model_validate(told.model_dump(mode="json") | {"recipe": recipe.model_dump(mode="json")})
    assert (told.reads_exams_whole, told.slice_logits) == (True, 12)
    joined = tilted(12, outputs=6).SerializeToString()
    engine = Engine(Bundle(told, "", brightness(12).SerializeToString(), "", joined), 1)
    alone = opened(tilted()).run(slices(40, 50))
    np.testing.assert_allclose(engine.run(slices(40, 50)).logits, alone.logits, rtol=1e-5)
    with pytest.raises(BundleError, match="gives no finite numbers for its classes"):
        Engine(Bundle(told, "", NETWORK, "", joined), 1).run(slices(40, 50))


def test_written_read_and_written_again(tmp_path: Path) -> None:
    exam_network = tilted().SerializeToString()
    write_bundle(tmp_path / "a", exam_manifest(), NETWORK, "# Tiny\n", exam_network)
    read = read_bundle(tmp_path / "a")
    assert (read.manifest.version, read.exam_network) == (5, exam_network)
    assert set(read.manifest.digests) == {"slice.onnx", "exam.onnx", "MODEL_CARD.md"}
    write_bundle(tmp_path / "b", read.manifest, read.network, read.card, read.exam_network)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("told", "exam_network", "complaint"),
    [
        (exam_manifest(), None, "lacks exam.onnx, which its recipe needs"),
        (manifest(), b"", "holds exam.onnx, and its recipe has no network of exams"),
        (exam_manifest(), b"no model", "the bundle's network is no ONNX file"),
    ],
)
def test_members_that_do_not_fit_the_recipe(
    tmp_path: Path, told: Manifest, exam_network: bytes | None, complaint: str
) -> None:
    write_bundle(tmp_path / "b", told, NETWORK, "card", exam_network)
    with pytest.raises(BundleError, match=complaint):
        read_bundle(tmp_path / "b")


def test_an_exam_network_that_was_changed_is_noticed(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", exam_manifest(), NETWORK, "card", tilted().SerializeToString())
    with zipfile.ZipFile(tmp_path / "b") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert json.loads(members["bundle.json"])["version"] == 5
    members[EXAM_NETWORK] = tilted(per_mm=0.2).SerializeToString()
    with zipfile.ZipFile(tmp_path / "b", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(BundleError, match=r"exam\.onnx is not what the bundle was made with"):
        read_bundle(tmp_path / "b")


def test_an_exam_network_that_wants_other_files_is_refused(tmp_path: Path) -> None:
    wanting = tilted()
    tensor = wanting.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="elsewhere.bin")
    write_bundle(tmp_path / "b", exam_manifest(), NETWORK, "card", wanting.SerializeToString())
    with pytest.raises(BundleError, match="external data"):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize("version", [2, 4])
def test_an_older_version_cannot_have_one(version: int) -> None:
    with pytest.raises(ValidationError, match="version"):
        Manifest.model_validate(exam_manifest().model_dump(mode="json") | {"version": version})
