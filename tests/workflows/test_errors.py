"""The gallery of errors: the surest exams, surest first, each by its own slice and under its own class's map."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ichnos.ct import LabelledExam, LabelledSlice
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources import ExamReference
from ichnos.data.splits import store_splits
from ichnos.evaluation.levels import Judged
from ichnos.inference.bundle import write_bundle
from ichnos.inference.manifest import DataOrigin
from ichnos.inputs import to_matrix
from ichnos.models import SliceClassifier, save_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import SILENT
from ichnos.recipe import SliceRecipe
from ichnos.recipes.reader import RECIPE as READER
from ichnos.reporting.evaluation import EvaluationReport
from ichnos.reporting.exam.heat import brain_window, coloured, placed
from ichnos.reporting.style import Picture
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows import evaluate, validate
from ichnos.workflows.errors import error_pictures
from ichnos.workflows.exam_data import said_of_exam
from ichnos.workflows.measured import EvaluationOptions
from ichnos.workflows.trained import open_run
from tests.inference.networks import brightness, manifest
from tests.workflows.bright import BrightSource

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")

FEW = EvaluationOptions(resamples=10)
CAPTION = re.compile(r"exam (\d+), slice (\d+) of (\d+)\np = (\d\.\d\d)")
CELLS = 4
SUBDURAL_AND_ANY = (Subtype.SUBDURAL, Subtype.ANY)


@dataclass(frozen=True)
class PatchSource(BrightSource):
    """No slice looks like another, and how bright one is tells nothing of its labels, so that many are misjudged."""

    def read(self, reference: ExamReference) -> LabelledExam:
        exam = super().read(reference)
        return replace(exam, slices=tuple(patched(one) for one in exam.slices))


def patched(one: LabelledSlice) -> LabelledSlice:
    """Cells that the brain window tells apart."""
    rng = np.random.default_rng(int(one.name.replace("e", "").replace("-", "")))
    cells = (rng.integers(15, 65) + rng.integers(-14, 15, (CELLS, CELLS))).astype(np.int16)
    return replace(one, hu=np.kron(cells, np.ones((8, 8), np.int16)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    made = prepare(PatchSource(exams=24), tmp_path_factory.mktemp("patches") / "set", SILENT, workers=1)
    store_splits(made)
    return made


@dataclass(frozen=True, eq=False)
class Cell:
    """One error as a figure shows it."""

    caption: str
    shown: NDArray[np.uint8]
    mapped: NDArray[np.uint8] | None


def cells_of(picture: Picture) -> dict[str, list[Cell]]:
    """By kind of error, from left to right; places that say that there is no more are left out."""
    axes = picture.figure.axes
    rows = [axes[start : start + 4] for start in range(0, len(axes), 4)]
    found: dict[str, list[Cell]] = {}
    for k, row in enumerate(rows):
        kind = row[0].get_ylabel()
        if kind:
            below = rows[k + 1] if k + 1 < len(rows) and not rows[k + 1][0].get_ylabel() else None
            found[kind] = [
                Cell(each.get_title(), pixels(each), None if below is None else pixels(below[j]))
                for j, each in enumerate(row)
                if each.images
            ]
    return found


def pixels(axes: Axes) -> NDArray[np.uint8]:
    return np.asarray(axes.images[0].get_array())


P_ANY = np.array([0.70, 0.40, 0.30, 0.80, 0.10, 0.90, 0.20, 0.05])
"""What was said of exams e000 to e007."""

BLEEDS = np.array([False, True, True, True, True, False, True, True])


def by_hand(
    prepared: PreparedSet, rows: NDArray[np.intp], of: tuple[bool, ...] = (False, True), *, whole: bool = False
) -> tuple[Judged, Judged]:
    """Slices of `rows` and their exams, with the same errors in each class of `of` and none in the others.

    Of an exam's slices the second alone bleeds, or, with `whole`, all; the last is said to most.
    """
    names = prepared.index["name"].to_numpy().astype(np.str_)[rows]
    exam, place = (np.array([int(name[part]) for name in names]) for part in (slice(1, 4), slice(5, 6)))
    said = P_ANY[exam] * np.array([0.2, 0.6, 0.1, 1.0])[place]
    every = np.array([f"e{k:03d}" for k in range(len(P_ANY))])
    return judged(names, BLEEDS[exam] & (whole | (place == 1)), said, of), judged(every, BLEEDS, P_ANY, of)


def judged(names: NDArray[Any], bleeds: NDArray[np.bool_], said: NDArray[np.float64], of: tuple[bool, ...]) -> Judged:
    labels, probabilities = bleeds[:, None] & np.array(of), said[:, None] * np.array(of)
    called = {"balanced": probabilities >= 0.5, "high_sensitivity": probabilities >= 0.0}
    return Judged(names, names, probabilities, probabilities, labels, called)


def pattern(row: int, c: Subtype) -> NDArray[np.float32]:
    """A map that tells which slice and which class it is of."""
    return np.random.default_rng([row, CLASSES.index(c)]).random((32, 32)).astype(np.float32)


def rows_by_hand(prepared: PreparedSet) -> NDArray[np.intp]:
    """Those of the first eight exams, in no order."""
    return np.random.default_rng(3).permutation(np.flatnonzero(prepared.exams < "e008"))


def test_the_surest_misses_and_false_calls_are_shown_surest_first(prepared: PreparedSet) -> None:
    rows = rows_by_hand(prepared)
    asked: list[list[str]] = []

    def heat(own: NDArray[np.intp], place: int, c: Subtype) -> NDArray[np.float32]:
        asked.append([prepared.index["name"][int(row)] for row in own])
        return pattern(int(own[place]), c)

    slices, exams = by_hand(prepared, rows)
    (picture,) = error_pictures(prepared, rows, slices, exams, SUBDURAL_AND_ANY, (Subtype.ANY,), heat)
    assert (picture.name, picture.title) == ("errors_any", "Any hemorrhage: the surest errors in exams")
    found = cells_of(picture)
    wanted = {"Missed": [(7, 1), (4, 1), (6, 1), (2, 1)], "Called wrongly": [(5, 3), (0, 3)]}
    assert list(found) == list(wanted), "exam 1 is a miss too, and less sure than four others"
    names = prepared.index["name"].to_list()
    for kind, errors in wanted.items():
        captions = [f"exam {e + 1}, slice {k + 1} of 4\np = {P_ANY[e]:.2f}" for e, k in errors]
        assert [cell.caption for cell in found[kind]] == captions
        for (e, k), cell in zip(errors, found[kind], strict=True):
            row = names.index(f"e{e:03d}-{k}")
            np.testing.assert_array_equal(cell.shown, brain_window(prepared.hu(row)))
            np.testing.assert_array_equal(cell.mapped, coloured(cell.shown, pattern(row, Subtype.ANY)))
    assert all(whole == [f"{whole[0][:4]}-{k}" for k in range(4)] for whole in asked), "exams whole, from foot to head"


def test_where_slices_are_not_labelled_a_miss_is_shown_by_its_surest_slice(prepared: PreparedSet) -> None:
    rows = rows_by_hand(prepared)
    slices, exams = by_hand(prepared, rows, whole=True)
    (picture,) = error_pictures(prepared, rows, slices, exams, SUBDURAL_AND_ANY, (Subtype.ANY,), None)
    found = cells_of(picture)
    assert [cell.caption.split(",")[1][:13] for cell in found["Missed"]] == [" slice 4 of 4"] * 4
    assert {cell.mapped is None for kind in found.values() for cell in kind} == {True}
    assert "This network has no class maps." in picture.caption


def test_a_class_without_errors_has_no_picture_and_any_comes_first(prepared: PreparedSet) -> None:
    rows = rows_by_hand(prepared)
    three = (Subtype.EPIDURAL, *SUBDURAL_AND_ANY)
    slices, exams = by_hand(prepared, rows, (True, False, True))
    pictures = error_pictures(prepared, rows, slices, exams, three, three, None, (Subtype.EPIDURAL,))
    assert [picture.name for picture in pictures] == ["errors_any", "errors_epidural"]
    assert pictures[1].title == "Epidural †: the surest errors in exams"
    assert "†" not in pictures[0].title
    assert error_pictures(prepared, rows, slices, exams, three, (Subtype.SUBDURAL,), None) == ()


Own = Callable[[NDArray[np.intp], int, Subtype], NDArray[np.float32]]
"""(rows of an exam from foot to head, which of them, class) → the network's own map (h, w), not made by the gallery."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What an evaluation wrote, and the pictures of its report."""

    prepared: PreparedSet
    out: Path
    card: dict[str, Any]
    pictures: tuple[Picture, ...]
    slices: str
    """The table of slices as they were called."""

    def see_errors(self, own: Own) -> None:
        """Each against the tables beside the report: which exams, in which order, which slice, which map."""
        exams, slices = (Predictions.read_parquet(self.out / name) for name in ("exams.parquet", self.slices))
        kinds: set[str] = set()
        mapped = 0
        for picture in self.pictures:
            c = Subtype(picture.name.removeprefix("errors_"))
            k = exams.classes.index(c)
            said, so = exams.probabilities[:, k], exams.labels[:, k]
            called = said >= self.card["levels"]["exam"]["classes"][c]["operating_points"]["balanced"]["threshold"]
            found = cells_of(picture)
            for kind, wrong, sure in (("Missed", so & ~called, -said), ("Called wrongly", called & ~so, said)):
                shown = found.get(kind, [])
                places = [self.see_error(cell, exams, slices, c, own) for cell in shown]
                assert [sure[e] for e in places] == sorted(sure[wrong], reverse=True)[:4]
                assert wrong[places].all()
                kinds |= {kind} if len(shown) > 1 else set()
                mapped += sum(int((cell.mapped != cell.shown).any()) for cell in shown)
        assert kinds == {"Missed", "Called wrongly"}, "of both kinds some to be put in order"
        assert mapped > 3, "a map may be zero all over, and not all are"

    def see_error(self, cell: Cell, exams: Predictions, slices: Predictions, c: Subtype, own: Own) -> int:
        """Returns which exam it is."""
        told = CAPTION.fullmatch(cell.caption)
        assert told is not None
        e, place, k = int(told[1]) - 1, int(told[2]) - 1, exams.classes.index(c)
        assert told[4] == f"{exams.probabilities[e, k]:.2f}"
        rows = np.flatnonzero(self.prepared.exams == exams.exam[e])
        assert int(told[3]) == len(rows)
        mine = slices.select((slices.exam == exams.exam[e]) & (slices.labels[:, k] | ~exams.labels[e, k]))
        row = rows[place]
        assert self.prepared.index["name"][int(row)] == mine.slice_name[mine.probabilities[:, k].argmax()]
        shown = brain_window(self.prepared.hu(int(row)))
        np.testing.assert_array_equal(cell.shown, shown)
        assert cell.mapped is not None
        wanted = coloured(shown, placed(own(rows, place, c), shown.shape[:2]))
        assert np.abs(cell.mapped.astype(int) - wanted).max() <= 2, "to rounding"
        return e


def reported(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[EvaluationReport]:
    """What an evaluation gives its page."""
    kept: list[EvaluationReport] = []
    monkeypatch.setattr(module, "write_evaluation", lambda report, *_: kept.append(report))
    return kept


def lit(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """(6, ...): of a slice's 4×4 cells those that a class's map has, another two a class."""
    places = np.zeros((len(CLASSES), CELLS * CELLS), np.float32)
    for k in range(len(CLASSES)):
        places[k, [k, 15 - k]] = 1
    return places.reshape(-1, CELLS, CELLS) * cells


def test_a_bundles_errors_are_shown_under_its_own_maps(
    prepared: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = brightness(level=52)
    (tile,) = (node for node in network.graph.node if node.op_type == "Tile")
    network.graph.node.remove(tile)
    network.graph.node.append(helper.make_node("Mul", ["warm", "lit"], ["maps"]))
    network.graph.initializer.append(numpy_helper.from_array(lit(np.ones((1, CELLS, CELLS), np.float32))[None], "lit"))
    data = DataOrigin(source="ct-ich", fingerprint="0123456789abcdef", licence="ours", attribution="us")
    write_bundle(tmp_path / "b.ichnos", manifest().model_copy(update={"data": data}), network.SerializeToString(), "T")
    kept = reported(monkeypatch, validate)
    out = tmp_path / "out"
    card = validate.evaluate_bundle(tmp_path / "b.ichnos", prepared.path, out, SILENT, FEW)

    def own(rows: NDArray[np.intp], place: int, c: Subtype) -> NDArray[np.float32]:
        seen = to_matrix(prepared.hu(int(rows[place]))).astype(np.float32)
        return lit(seen.reshape(4, 128, 4, 128).mean(axis=(1, 3)))[CLASSES.index(c)]

    assert kept[0].errors is not None
    assert len(kept[0].errors) == len(CLASSES)
    Measured(prepared, out, card, kept[0].errors, "predictions.parquet").see_errors(own)


@pytest.mark.slow
def test_a_runs_errors_are_shown_under_its_own_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a set with labels of exams, all of which is tested."""
    source = PatchSource(exams=16, labels_of="exam")
    prepared = prepare(source, tmp_path / "set", SILENT, workers=1)
    recipe: SliceRecipe = READER.derive(
        network={"backbone": "separable", "init": "random"}, synthetic=None, augmentation=None, **{"input.size": 64}
    )
    classifier = SliceClassifier.seeded(recipe, 1)
    with torch.no_grad():
        classifier.head.output.weight.mul_(40)  # so that exams are told apart
    origin = {"source": "phantom", "set": "0123456789abcdef", "everyone": False}
    save_checkpoint(tmp_path / "run" / "best.safetensors", classifier, {"epoch": 1, "origin": origin})
    kept = reported(monkeypatch, evaluate)
    out = tmp_path / "out"
    card = evaluate.evaluate_run(tmp_path / "run", prepared.path, out, SILENT, FEW, device="cpu")
    graph = open_run(tmp_path / "run").graph()

    def own(rows: NDArray[np.intp], place: int, c: Subtype) -> NDArray[np.float32]:
        hu = [prepared.hu(int(row)) for row in rows]
        maps = said_of_exam(graph, recipe.input, hu, np.arange(4) * 5.0, maps=True)[2]
        assert maps is not None
        return maps[place, recipe.classes.index(c)]

    assert kept[0].errors is not None
    Measured(prepared, out, card, kept[0].errors, "slices.parquet").see_errors(own)
