"""Numbers of things in sentences."""

import re
from pathlib import Path

import pytest

from ichnos.counting import counted, exactly, ranges

SOURCES = Path(__file__).parents[1] / "src" / "ichnos"


def test_one_is_singular_and_thousands_have_commas() -> None:
    assert [counted(n, "slice") for n in (0, 1, 2, 12_345)] == ["0 slices", "1 slice", "2 slices", "12,345 slices"]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


def test_what_is_said_of_exams_counts_with_it() -> None:
    """In what people read of their exams, a number of things stands in `counted`, or is never 1."""
    never_one = (
        ("doubts.py", "slices could not be read"),
        ("exams.py", "exams found"),
        ("exams.py", "series can be read"),
    )
    for name in ("dicom/doubts.py", "dicom/exams.py", "workflows/inspect.py", "workflows/predict.py", "cli/predict.py"):
        for line in (SOURCES / name).read_text().splitlines():
            if re.search(r"\} (slices|files|exams|series|gaps|doubts|things)\b", line):
                assert any(name.endswith(file) and words in line for file, words in never_one), line


@pytest.mark.parametrize("number", [0.06, 1.0, 0.12345678, 0.99999999, 1 / 3, 0.0])
def test_a_number_in_a_command_is_the_very_same(number: float) -> None:
    assert float(exactly(number)) == number
    assert exactly(1.0) == "1"


def test_numbers_in_a_row_are_joined() -> None:
    assert ranges([1, 2, 3, 6, 8, 9]) == "1–3, 6, 8–9"
    assert ranges([]) == ""
