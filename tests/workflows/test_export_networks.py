"""Runs of other networks become bundles that read exams: with maps of their own size, or without any and saying so."""

from pathlib import Path

import pytest

from ichnos.ct.windows import BLOOD, BRAIN
from ichnos.inference import ExamClassifier, read_bundle
from ichnos.models import SliceClassifier, save_checkpoint
from ichnos.phantom import CohortSettings, make_exam
from ichnos.progress import SILENT
from ichnos.recipe import Head, InputSpec, Network, Population, SliceRecipe
from ichnos.subtypes import CLASSES
from ichnos.workflows.export import ExportOptions, export_runs
from tests.models.timm_double import double_timm


def bundle_of(backbone: str, folder: Path) -> Path:
    """Untrained."""
    recipe = SliceRecipe(
        name="other",
        title="Other",
        input=InputSpec(windows=(BRAIN, BLOOD), size=64),
        population=Population(slices="all"),
        classes=CLASSES,
        network=Network(backbone=backbone, init="random", head=Head(hidden=None)),
    )
    run = folder / "run"
    run.mkdir()
    save_checkpoint(run / "best.safetensors", SliceClassifier.seeded(recipe, 3).eval(), {})
    out = folder / "other.ichnos"
    export_runs([run], out, SILENT, ExportOptions())
    return out


@pytest.mark.parametrize(
    ("backbone", "cells", "said"),
    [
        ("small-cnn", 4, "Grad-CAM maps show where the network looked, 4×4 cells a slice"),
        pytest.param(
            "timm:vit",
            0,
            "The network has no class maps: nothing shows where it looked",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_bundle_of_another_network_reads_exams(
    backbone: str,
    cells: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    double_timm(monkeypatch)
    read = read_bundle(bundle_of(backbone, tmp_path))
    assert (read.manifest.version, read.manifest.map_cells) == (4, cells)
    assert said in read.card
    assert f"{backbone} at 64 pixels" in read.card
    hu = make_exam(CohortSettings(1, 99, matrix=128, slices=(20, 20)), 0).hu
    reading = ExamClassifier(read, threads=1).read(hu)
    assert len(reading.findings.slices) == 20
    assert (reading.maps is None) if not cells else (reading.maps is not None and reading.maps.shape == (20, 6, 4, 4))
