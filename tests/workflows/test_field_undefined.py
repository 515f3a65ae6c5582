"""A field on sets where AUCs are not defined, in some folds or in all, and exams have one slice: said, and no crash."""

import html
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichnos.ct import LabelledExam
from ichnos.data.preparing import prepare
from ichnos.data.sources import ExamReference
from ichnos.data.splits import split
from ichnos.progress import SILENT
from ichnos.workflows.field import FieldOptions, study_field
from tests.data.in_memory import InMemorySource
from tests.workflows.test_field import SLICE, recipe_file

pytestmark = pytest.mark.usefixtures("one_thread", "unexported")


@dataclass(frozen=True)
class FewBleed(InMemorySource):
    """Exams of one slice; the first so many patients have a hemorrhage, all of one subtype."""

    patients: int = 1

    def read(self, reference: ExamReference) -> LabelledExam:
        exam = super().read(reference)
        bleeds = int(reference.patient[1:]) < self.patients
        labels = np.array([False, bleeds, False, False, False])
        return replace(exam, slices=tuple(replace(one, labels=labels, mask=None) for one in exam.slices))


def studied(folder: Path, patients: int) -> tuple[Path, dict[str, Any]]:
    made = prepare(FewBleed(exams=24, slices=1, patients=patients), folder / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    another = SLICE | {"fit": SLICE["fit"] | {"seed": 5}}
    recipes = (recipe_file(folder, "one", "reader", **SLICE), recipe_file(folder, "two", "reader", **another))
    return folder / "out", study_field(folder / "set", folder / "out", FieldOptions(recipes), SILENT, device="cpu")


def no_constant(word: str) -> None:
    pytest.fail(f"{word} is no JSON")


def reports(out: Path) -> tuple[str, str]:
    """The page and the text; neither shows a number that is none, nor does any JSON beside them."""
    for path in sorted(out.rglob("*.json")):
        json.loads(path.read_text(), parse_constant=no_constant)
    for path in sorted(out.rglob("report.*")):
        words = re.sub(r"base64,[^\"]*", "", path.read_text())
        assert not re.search(r"\b(nan|inf)\b", words, re.IGNORECASE), path
    page, text = (html.unescape((out / f"report.{form}").read_text()) for form in ("html", "md"))
    return page, text


def see_one_fold_alone(folder: Path) -> None:
    out, card = studied(folder, 1)
    best, other = card["ranking"]["rows"]
    aucs = {name: each["exams"]["classes"]["any"]["auc_mean_of_folds"] for name, each in card["recipes"].items()}
    note = "of the 1 of 3 folds that define it; no interval: a fold rests on one positive patient"
    assert {auc["note"] for auc in aucs.values()} == {note}
    behind = aucs[other["recipe"]]["value"] - aucs[best["recipe"]]["value"]
    assert other["difference"]["value"] == pytest.approx(behind)
    assert behind < 0
    assert other["difference"]["note"] == note
    assert other["difference"]["bootstrap_p"] is other["difference"]["holm_p"] is None
    (step,) = card["steps"]
    assert (set(step["gains"]), card["gain_tests"]) == ({"slices", "exams", "patients"}, 0)
    for gains in step["gains"].values():
        assert (gains["any"]["positive_patients"], gains["any"]["descriptive_only"]) == (1, True)
        assert gains["any"]["difference"]["value"] is not None
        assert gains["epidural"]["difference"]["value"] is gains["epidural"]["pooled"]["value"] is None
        assert gains["epidural"]["pooled"]["note"] == "not defined (0 positives)"
    page, text = reports(out)
    assert f"Any hemorrhage in exams: {best['recipe']} has the largest AUC" in page
    assert "No step has a p, in any hemorrhage or a subtype, of 1 compared." in page
    for words in (page, text):
        assert "so there is nothing for Holm's correction" in words
        assert "No recipe is ranked" not in words
    assert "| two | one | exams | 0 | – (not defined (0 positives)) | descriptive only | descriptive only |" in text
    assert page.count("<img") == 4, "AUCs, ROC curves, reliability and epochs"


@pytest.mark.usefixtures("undrawn")
def test_a_class_that_one_fold_alone_has(tmp_path: Path) -> None:
    see_one_fold_alone(tmp_path)


@pytest.mark.slow
def test_its_figures_are_drawn(tmp_path: Path) -> None:
    see_one_fold_alone(tmp_path)


@pytest.mark.slow
def test_where_nobody_bleeds_no_recipe_is_ranked_and_it_is_said(tmp_path: Path) -> None:
    out, card = studied(tmp_path, 0)
    assert (card["ranking"]["rows"], card["gain_tests"]) == ([], 0)
    for gains in card["steps"][0]["gains"].values():
        assert {gain[which]["value"] for gain in gains.values() for which in ("difference", "pooled")} == {None}
    page, text = reports(out)
    for words in (page, text):
        assert "No recipe is ranked: of none is the AUC of any hemorrhage in exams defined." in words
        assert "Ranking by exams" not in words
    said = "| two | one | exams | – (not defined (no fold has both positives and negatives)) | descriptive only |"
    assert said in text
    assert page.count("<img") == 1, "epochs alone"
