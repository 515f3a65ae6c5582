"""The card says what the network has seen."""

from ichnos.inference import INCLUDED, read_bundle
from ichnos.reporting.model_card import model_card


def test_synthetic_slices_are_said() -> None:
    manifest = read_bundle(INCLUDED).manifest
    tree = manifest.model_dump(mode="json")
    assert "40 % of its training slices are synthetic" in model_card(tree, manifest.map_cells)
    tree["recipe"]["synthetic"] = None
    assert "synthetic:" not in model_card(tree, manifest.map_cells)
