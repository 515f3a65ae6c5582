"""What no comparison of many recipes can be of: refused before the set is opened, with nothing left behind."""

import shutil
from pathlib import Path

import pytest

from ichnos.errors import RecipeError, UsageError
from ichnos.progress import SILENT
from ichnos.workflows.field import FieldOptions, study_field
from tests.workflows.test_field import SLICE, recipe_file


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"recipes": ("paper_model_9",)}, "no recipe 'paper_model_9'"),
        ({"recipes": ()}, "give --recipes"),
        ({"recipes": ("reader", "cascade", "reader")}, "--recipes: reader given twice; name each recipe once"),
        ({"recipes": ("reader",), "against": {"reader": "cascade"}}, "cascade is not in this study"),
        ({"recipes": ("reader",), "against": {"each": "cascade"}}, "cascade is not in this study"),
        ({"recipes": ("reader",), "against": {"reader": "reader"}}, "gains nothing over itself"),
        ({"recipes": ("reader",), "changes": {"fit.lr": "1"}}, r"no such field: fit\.lr"),
        ({"recipes": ("reader",), "changes": {"cascade:fit.epochs": "1"}}, "cascade is not in this study"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(
    changed: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, RecipeError), match=complaint):
        study_field(tmp_path / "set", tmp_path / "out", FieldOptions(**changed), SILENT, device="cpu")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    file = recipe_file(tmp_path, "mine", "reader", **SLICE)
    (tmp_path / "more").mkdir()
    other = shutil.copy(file, tmp_path / "more" / "mine.py")
    with pytest.raises(UsageError, match="two of the recipes are called mine; give each a name of its own"):
        study_field(tmp_path / "set", tmp_path / "out", FieldOptions((file, str(other))), SILENT, device="cpu")
    assert not (tmp_path / "out").exists()
