"""An Exam is valid or is not made."""

from pathlib import Path

import numpy as np
import pytest

from ichnos.ct.exams import Exam, SliceReference, SourceKind


def made(**changes: object) -> Exam:
    values = {
        "hu": np.zeros((3, 4, 5), np.int16),
        "offsets": np.array([0.0, 5.0, 10.0]),
        "pixel_spacing": (0.5, 0.5),
        "positions": np.zeros((3, 3)),
        "orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "references": tuple(SliceReference(Path("a")) for _ in range(3)),
        "source": SourceKind.DICOM,
        "thickness": 5.0,
    }
    return Exam(**(values | changes))  # type: ignore[arg-type]


def test_a_valid_one_knows_its_geometry() -> None:
    exam = made()
    assert len(exam) == 3
    assert exam.gaps.tolist() == [5, 5]
    assert exam.coverage == 15


@pytest.mark.parametrize(
    "changes",
    [
        {"hu": np.zeros((3, 4, 5), np.float32)},
        {"hu": np.zeros((4, 5), np.int16)},
        {"hu": np.zeros((3, 0, 5), np.int16)},
        {"offsets": np.array([0.0, 5.0])},
        {"offsets": np.array([0.0, 5.0, 5.0])},
        {"offsets": np.array([0.0, -5.0, -10.0])},
        {"offsets": np.array([0.0, 5.0, np.nan])},
        {"positions": np.zeros((2, 3))},
        {"references": ()},
        {"pixel_spacing": (0.0, 0.5)},
        {"orientation": (1.0, 0.0, 0.0)},
    ],
)
def test_an_invalid_one_is_not_made(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"an exam|slices lie"):
        made(**changes)


def test_identifiers_and_paths_stay_out_of_the_repr() -> None:
    reference = SliceReference(Path("Known^Somebody"), None, 1, "1.2.3.4", "1.2.3.5")
    shown = repr(made(study="1.2.3", series="1.2.3.6", references=(reference,) * 3))
    assert "Somebody" not in shown
    assert "1.2.3" not in shown
