"""What benchmarks work on: synthetic exams as uncompressed DICOM, and a bundle with an untrained head."""

from collections.abc import Mapping
from pathlib import Path

from ichnos import recipes
from ichnos.dicom import SliceIdentity, SlicePlacement, derived_uid, rsna_slice_bytes
from ichnos.phantom import CohortSettings, PhantomExam, make_exam
from ichnos.progress import SILENT
from ichnos.recipe import SliceRecipe
from ichnos.subtypes import CLASSES

_DISTINCT = 5
"""Heads drawn for a batch; further exams repeat them under identifiers of their own. A head takes a second to draw."""


def write_exams(folder: Path, count: int, *, slices: int, matrix: int) -> int:
    """Write folder/000/000.dcm, ...: Explicit VR Little Endian, 16 bits, an exam a folder. Returns bytes on disk."""
    distinct = min(count, _DISTINCT)
    settings = CohortSettings(exams=distinct, seed=0, matrix=matrix, slices=(slices, slices))
    size = 0
    for head in range(distinct):
        exam = make_exam(settings, head)
        for number in range(head, count, distinct):
            size += _write_exam(exam, folder / f"{number:03d}", number)
    return size


def exam_bytes(slices: int, matrix: int) -> int:
    """About what an exam takes on disk: two bytes a pixel and a short header."""
    return slices * (2 * matrix * matrix + 1024)


def _write_exam(exam: PhantomExam, folder: Path, number: int) -> int:
    folder.mkdir(parents=True)
    size = 0
    for k, hu in enumerate(exam.hu):
        content = rsna_slice_bytes(
            hu,
            SliceIdentity(
                *(derived_uid("benchmark", kind, str(number)) for kind in (f"slice {k}", "series", "study", "patient"))
            ),
            SlicePlacement(tuple(exam.positions[k].tolist()), tuple(exam.orientation.tolist()), exam.pixel_spacing),
            explicit_vr=True,
        )
        size += (folder / f"{k:03d}.dcm").write_bytes(content)
    return size


def untrained_recipe(changes: Mapping[str, str]) -> SliceRecipe:
    """The package's network for readers: all slices, six classes, 224 px; `changes` as `--set` gives them.

    The backbone is the phantom's: values flow through it as through a trained one. The head is random.
    """
    base = recipes.find("paper_model_2").of_one_model
    named = {"name": "benchmark", "title": "Benchmark, untrained head", "network.init": "phantom"}
    whole = {"population.slices": "all", "classes": [c.value for c in CLASSES]}
    return base.derive(**named, **whole).override(changes)


def write_untrained_bundle(recipe: SliceRecipe, folder: Path) -> tuple[Path, Path]:
    """Export an untrained network: the bundle, and its weights as a checkpoint. Needs torch."""
    from ichnos.models import SliceClassifier, save_checkpoint
    from ichnos.models.initial_weights import initialise
    from ichnos.workflows.export import ExportOptions, export_runs

    classifier = SliceClassifier(recipe)
    initialise(classifier, recipe.network.init, seed=0)
    run = folder / "run"
    run.mkdir(parents=True)
    save_checkpoint(run / "best.safetensors", classifier, {})
    bundle = folder / "untrained.ichnos"
    export_runs([run], bundle, SILENT, ExportOptions(title=recipe.title))
    return bundle, run / "best.safetensors"
