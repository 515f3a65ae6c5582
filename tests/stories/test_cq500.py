"""CQ500 from its own files to a measured bundle: exams and patients judged by what three readers saw."""

import html
import json
from pathlib import Path
from typing import Any

import pytest

from ichnos.data.set import PreparedSet
from ichnos.inference.bundle import write_bundle
from ichnos.inference.manifest import DataOrigin
from ichnos.predictions import Predictions
from ichnos.subtypes import CLASSES, Subtype
from tests.data.sources.test_cq500 import HEADER, row, write_series
from tests.dicom.head_files import head
from tests.inference.networks import brightness, manifest
from tests.stories.running import ichnos

pytestmark = pytest.mark.usefixtures("undrawn")

READS = {
    0: ("", "", "ICH SDH"),
    3: ("ICH SDH", "ICH IPH", "Fracture"),
    6: ("Fracture", "Fracture", ""),
    9: ("ICH SDH", "ICH SDH Fracture", "Fracture"),
    12: ("ICH IPH IVH", "ICH IPH", "ICH IPH IVH"),
}
"""What each reader saw of an exam, whose number is also by how many HU it is brighter than exam 0."""

POSITIVE = {
    Subtype.ANY: {3, 9, 12},
    Subtype.SUBDURAL: {9},
    Subtype.INTRAPARENCHYMAL: {12},
    Subtype.INTRAVENTRICULAR: {12},
}
"""What two of three saw; of exam 3 they say that it bleeds, and not how."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cq500")
    for number in READS:
        name = f"CQ500CT{number} CQ500CT{number}"
        write_series(folder / "cq500" / name / "Unknown Study" / "CT 5mm", number, 1)
    rows = [row(number, *seen) for number, seen in READS.items()]
    (folder / "cq500" / "reads.csv").write_text("\n".join([HEADER, *rows, ""]))
    done = ichnos("prepare", "cq500", str(folder / "cq500"), "--out", str(folder / "set"), "--workers", "1")
    assert done.exit_code == 0, done.stderr
    data = DataOrigin(source="rsna", fingerprint="0123456789abcdef", licence="ours", attribution="us")
    made = manifest().model_copy(update={"data": data})
    middle = head().hu.mean(axis=(1, 2)).max() + 7.5
    write_bundle(folder / "b.ichnos", made, brightness(level=float(middle), gain=0.3).SerializeToString(), "# Tiny\n")
    return folder


@pytest.fixture(scope="module")
def card(folder: Path) -> dict[str, Any]:
    words = ("--data", str(folder / "set"), "--out", str(folder / "out"), "--resamples", "50", "--json")
    done = ichnos("evaluate", str(folder / "b.ichnos"), *words, "--prevalence", "any=0.06", "--by", "fracture")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def number_of(exam: str) -> int:
    return int(exam.removeprefix("CQ500-CT-"))


def test_exams_are_judged_by_what_two_of_three_readers_saw(folder: Path, card: dict[str, Any]) -> None:
    assert (card["source"], card["labels_of"], card["external"]) == ("cq500", "exam", True)
    assert list(card["levels"]) == ["exam", "patient"], "nobody said which slices bleed"
    exams = Predictions.read_parquet(folder / "out" / "exams.parquet")
    assert {number_of(exam) for exam in exams.exam} == set(READS)
    for k, c in enumerate(CLASSES):
        found = {number_of(exam) for exam in exams.exam[exams.labels[:, k]]}
        assert found == POSITIVE.get(c, set())
        for level in ("exam", "patient"):
            assert card["levels"][level]["classes"][c.value]["positives"] == len(found)


def test_the_numbers_are_those_of_the_exams_as_they_lie(card: dict[str, Any]) -> None:
    """The network finds an exam the likelier the brighter it is: 5 of 6 pairs with and without a hemorrhage, by hand,
    are in that order, and the threshold parts the two brightest exams from the others."""
    some = card["levels"]["exam"]["classes"]["any"]
    assert some["auc"]["value"] == pytest.approx(5 / 6)
    point = some["operating_points"]["balanced"]
    assert (point["threshold"], point["sensitivity"]["value"]) == (0.5, pytest.approx(2 / 3))
    assert point["specificity"]["value"] == 1.0
    assert card["levels"]["exam"]["classes"]["subdural"]["auc"]["value"] == pytest.approx(3 / 4)
    assert card["levels"]["exam"]["classes"]["epidural"]["auc"]["value"] is None
    assert card["levels"]["patient"]["classes"]["any"]["auc"]["value"] == pytest.approx(5 / 6)


def test_fractures_make_subgroups(card: dict[str, Any]) -> None:
    groups = card["subgroups"]["groups"]
    assert {name: tree["patients"] for name, tree in groups.items()} == {"no": 3, "yes": 2}


def test_the_report_says_that_slices_are_not_judged(folder: Path, card: dict[str, Any]) -> None:
    assert "Labels are of whole exams: single slices cannot be judged." in card["doubts"]
    page, text = html.unescape((folder / "out" / "report.html").read_text()), (folder / "out" / "report.md").read_text()
    for words in (page, text):
        assert "Labels are of whole exams: single slices cannot be judged." in words
        assert "Any hemorrhage, 5 exams (3 positive): AUC 0.833" in words
    for answer in ("cq500", "5 patients, 5 exams measured; the set has 5 patients, 5 exams, 60 slices"):
        assert answer in text
    given = Predictions.read_parquet(folder / "out" / "predictions.parquet")
    assert (len(given), given.labels_of) == (60, "exam")
    assert PreparedSet(folder / "set").header.fingerprint == card["set"]
