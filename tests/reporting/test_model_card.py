"""The card says what the network has seen."""

from ichnos.inference import INCLUDED, read_bundle
from ichnos.reporting.model_card import model_card


def test_synthetic_slices_are_said() -> None:
    manifest = read_bundle(INCLUDED).manifest
    tree = manifest.model_dump(mode="json")
    assert "40 % of its training slices are synthetic" in model_card(tree, manifest.map_cells)
    tree["recipe"]["synthetic"] = None
    assert "synthetic:" not in model_card(tree, manifest.map_cells)


def test_raw_hu_and_masks_are_said() -> None:
    manifest = read_bundle(INCLUDED).manifest
    tree = manifest.model_dump(mode="json")
    plain = model_card(tree, manifest.map_cells)
    assert "raw HU" not in plain
    assert "masks" not in plain
    tree["recipe"]["input"]["raw_hu"] = True
    tree["recipe"]["segmentation"] = {"weight": 1.0}
    said = model_card(tree, manifest.map_cells)
    assert "HU (mean), and raw HU, 3 slices as channels" in said
    assert "taught by masks too, those of drawn lesions among them" in said
