"""Codes of files are shown where they are known; free text is not."""

import pytest

from ichnos.dicom.shown import IMAGE_TYPES, shown_code, shown_kernel


@pytest.mark.parametrize(
    "kernel",
    ["H31S", "HR64", "QR40", "B70F", "FC26", "FC08-H", "UB", "D", "STANDARD", "BONEPLUS", "STD+", "H_SOFT_B", ""],
)
def test_a_kernel_of_a_maker_is_shown(kernel: str) -> None:
    assert shown_kernel(kernel) == kernel


def test_of_a_kernel_with_a_strength_the_first_value_is_shown() -> None:
    assert shown_kernel("HR38F\\3") == "HR38F"
    assert shown_kernel("HR38F\\SMITH") == "HR38F"


@pytest.mark.parametrize(
    "text", ["SMITH JOHN", "SMITH", "HEAD SMITH", "DOE1950", "KNOWN-17", "19500203", "AB123456", "H31S^X"]
)
def test_a_kernel_that_may_be_a_name_or_an_identifier_is_not_shown(text: str) -> None:
    assert shown_kernel(text) == "other"


def test_image_types_are_shown_by_their_words() -> None:
    assert [shown_code(word, IMAGE_TYPES) for word in ("ORIGINAL", "CT_SOM5 SPI", "", "DOE JANE 1950")] == [
        "ORIGINAL",
        "CT_SOM5 SPI",
        "",
        "other",
    ]
